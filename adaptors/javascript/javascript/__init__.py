"""The operators and methods of JavaScript, for jobs that `jobcell import` has translated.

A function of `semantics` gives the value that JavaScript gives, or raises an `Error`.  It raises if
JavaScript raises, and also if the value would need a part of JavaScript that is not here.
"""

from __future__ import annotations

from . import semantics

__version__ = "1.0.0"

__all__ = ["semantics"]
