"""Finds a function that an operation has put into the state, as soon as the operation has returned.

Classes of a job do not run any code here: containers are read with the methods of their base.
"""

from __future__ import annotations

from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from protocol.state_look import KEY_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["find_function"]

MOST: Final = 2_000
"""Number of values that are looked at after each operation.  The encoding at the end of the step looks
at all of them."""

_FUNCTIONS: Final = frozenset({FunctionType, BuiltinFunctionType, MethodType, type})


def find_function(state: Any) -> tuple[str, Any] | None:
    """Return the path of a function or class among the first values of a state, and that value.

    The values are looked at level by level.
    """
    if type(state) in _FUNCTIONS:
        return "state", state
    level = [state] if issubclass(type(state), (dict, list, tuple)) else []
    left = MOST
    while level:
        below = []
        for container in level:
            for value in islice(_values(container), left):
                kind = type(value)
                if kind in KEY_TYPES:
                    continue
                if issubclass(kind, (dict, list, tuple)):
                    below.append(value)
                elif kind in _FUNCTIONS:
                    return _path_to(value, state), value
            left -= len(container)
            if left <= 0:
                return None
        level = below
    return None


def _values(container: Any) -> Iterable[Any]:
    kind = type(container)
    if issubclass(kind, dict):
        return dict.values(container)
    return (list if issubclass(kind, list) else tuple).__iter__(container)


def _path_to(function: Any, state: Any) -> str:
    """Return the path of *function*, which is among the first values of *state*."""
    waiting = [("state", state)]
    for path, container in waiting:  # it grows while it is read
        is_map = issubclass(type(container), dict)
        pairs = dict.items(container) if is_map else enumerate(_values(container))
        for key, value in islice(pairs, MOST):
            inner = f"{path}.{key}" if _is_name(key) else f"{path}[{_shown(key)}]"
            if value is function:
                return inner
            if issubclass(type(value), (dict, list, tuple)) and len(waiting) < MOST:
                waiting.append((inner, value))
    return "state"


def _is_name(key: Any) -> bool:
    return type(key) is str and key.isascii() and key.isidentifier() and len(key) < 100


def _shown(key: Any) -> str:
    return f"{key!r:.60}" if type(key) in KEY_TYPES else "..."
