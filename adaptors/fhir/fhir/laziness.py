"""Lazy arguments: functions of state in place of values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

from .errors import ArgumentError

State: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[State], State]
P = ParamSpec("P")
R = TypeVar("R")

MAX_FUNCTIONS = 100
"""Most functions that return functions; more are taken for an endless chain."""


def is_reference(value: object) -> bool:
    """Whether *value* is a function of state; classes are values."""
    return callable(value) and not isinstance(value, type)


def is_lazy(value: Any) -> bool:
    """Whether *value* is a function of state, or a dict or list with one in it."""
    if is_reference(value):
        return True
    if isinstance(value, dict):
        return any(map(is_lazy, value.values()))
    return isinstance(value, list | tuple) and any(map(is_lazy, value))


def resolve(state: State, value: Any) -> Any:
    """Return *value* with each function in it replaced by the result of the function for *state*.

    Raises:
        ArgumentError: Functions return functions without end.

    """
    for _ in range(MAX_FUNCTIONS):
        if not is_reference(value):
            break
        value = value(state)
    else:
        raise ArgumentError("an argument is a function that returns functions without end")
    if isinstance(value, dict):
        return {key: resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve(state, inner) for inner in value]
    return tuple(resolve(state, inner) for inner in value) if isinstance(value, tuple) else value


def lazily(function: Callable[P, R]) -> Callable[P, R]:
    """Let a builder take lazy arguments, for which it returns a function of state.

    `create(b.patient({"name": state.data.name}))` calls the builder before the state exists.  Its type
    is that for plain arguments, because a job uses the function in place of the resource.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        if not is_lazy([*args, *kwargs.values()]):
            return function(*args, **kwargs)

        def reference(state: State) -> Any:
            named = {name: resolve(state, value) for name, value in kwargs.items()}
            return call(*(resolve(state, value) for value in args), **named)

        return reference

    call: Callable[..., R] = function
    return wrapper
