"""The interpreters and the C library with which the shortcuts of a zygote were tested.

A shortcut depends on internals of CPython or of the C library.  The child takes it only where its
tests and its measurement were run.  Elsewhere the documented way has the same effect, but needs
more time and memory.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Final

PYTHONS: Final = frozenset({(3, 11), (3, 12), (3, 13)})
"""Versions of CPython, as it is built by default."""

C_LIBRARY: Final = "glibc"


@functools.cache
def is_tested() -> bool:
    """Return whether this process runs on an interpreter and a C library that were tested."""
    return (
        sys.implementation.name == "cpython"
        and sys.version_info[:2] in PYTHONS
        and not sys.abiflags  # a build for debugging or without the lock has another allocator
        and _c_library() == C_LIBRARY
    )


def _c_library() -> str:
    """Return the name of the C library, or nothing.  Source: confstr(3)."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")[0]
    except (ValueError, OSError):  # another C library does not know the name
        return ""
