"""Looks at a value that a job throws away, and reports an operation that was never run."""

from __future__ import annotations

import functools
import sys
from types import CoroutineType, FunctionType, GeneratorType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_ITEMS = 100
"""Most items of a collection that are looked at."""


def make_guard(warn: Callable[[str], None]) -> Callable[[Any, str], Any]:
    """Return the guard of a scope, which returns its argument.

    It warns once for each place, if nothing else refers to the value.  The value must be a function
    of one argument, a collection with such a function, a `map`, or a generator or coroutine that has
    not begun.  A value with another reference may still be used, or belongs to the code that
    registered it.
    """
    reported: set[str] = set()

    def unrun(value: Any, told: str) -> Any:
        kind = type(value)
        if kind in _PLAIN or told in reported:
            return value
        if sys.getrefcount(value) > _references():
            return value
        if kind in _COLLECTIONS:
            items = value.values() if kind is dict else value
            lost = any(takes_state(item) for item, _ in zip(items, range(_MAX_ITEMS), strict=False))
        else:
            lost = kind is map or _has_not_begun(value) or takes_state(value)
        if lost:
            reported.add(told)
            verb = told.partition("(")[0]
            fix = f"pass it to another operation, or call it with state: {verb}(...)(state)"
            if kind is CoroutineType:
                fix = "write await before it"
                value.close()  # otherwise Python would also warn, without the line
            elif kind is GeneratorType or kind is map:
                fix = "nobody iterates over it"
            warn(f"{told} was never run; {fix}")
        return value

    return unrun


def _has_not_begun(value: Any) -> bool:
    """Whether *value* is a generator or a coroutine that has not begun."""
    if type(value) is GeneratorType:
        return value.gi_frame is not None and not value.gi_suspended and not value.gi_running
    if type(value) is CoroutineType:
        return value.cr_frame is not None and not value.cr_suspended and not value.cr_running
    return False


def takes_state(value: object) -> bool:
    """Whether *value* takes exactly one argument, like an operation."""
    if isinstance(value, functools.partial):
        given = len(value.args)
        return (
            type(value.func) is FunctionType and _required(value.func, given, value.keywords) == 1
        )
    if type(value) is MethodType:
        function = value.__func__
        return type(function) is FunctionType and _required(function, 1, ()) == 1
    if type(value) is FunctionType:
        wrapped = value.__dict__.get("__wrapped__", value)
        return type(wrapped) is FunctionType and _required(wrapped, 0, ()) == 1
    call = getattr(type(value), "__call__", None)  # noqa: B004 - the function itself is wanted
    if type(call) is not FunctionType or isinstance(value, type):
        return False
    # Another callable object counts only if it names its argument ``state``.
    return _required(call, 1, ()) == 1 and call.__code__.co_varnames[1:2] == ("state",)


def _required(function: FunctionType, given: int, named: Any) -> int:
    """Return the number of arguments that a function needs besides the *given* ones."""
    code = function.__code__
    positional = code.co_varnames[given : code.co_argcount - len(function.__defaults__ or ())]
    keywords = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
    optional = function.__kwdefaults__ or {}
    needed = [name for name in positional if name not in named]
    if any(name not in optional and name not in named for name in keywords):
        return -1
    return len(needed)


@functools.cache
def _references() -> int:
    """Return the reference count that the guard sees if nothing else refers to its value."""

    def count(value: Any, _told: str) -> int:
        return sys.getrefcount(value)

    return count(lambda state: state, "")


_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_COLLECTIONS = frozenset({dict, frozenset, list, set, tuple})
