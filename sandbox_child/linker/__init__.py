"""From an import name to a module of the repo: one realm for each adaptor version.

A realm has its own module table, its own ``builtins`` with its own ``__import__``, and looks for
modules in the standard library (shared by all) and in its own directory, nowhere else.
"""

from sandbox_child.linker.linker import Linker, StepLinks

__all__ = ["Linker", "StepLinks"]
