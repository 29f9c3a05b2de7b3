"""Turns an import name into a module of the repo, with a realm for each adaptor version.

A realm has its own module table, and its own ``builtins`` with its own ``__import__``. It looks for
modules only in the standard library, which all realms share, and in its own directory.
"""

from sandbox_child.linker.linker import Linker, StepLinks
from sandbox_child.linker.realm import Realm

__all__ = ["Linker", "Realm", "StepLinks"]
