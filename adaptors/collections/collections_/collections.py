"""The verbs under the name that jobs use: `collections.get(...)`.

They are not in scope by themselves, because `set` is a built-in function of Python.
"""

from __future__ import annotations

from .verbs import each, get, remove, set  # noqa: A004 - the names of OpenFn

__all__ = ["each", "get", "remove", "set"]
