"""Runs operations one after another, both synchronous and asynchronous ones.

An operation is a function from state to state; it may return an awaitable of state instead. As soon
as an operation does that, the whole chain becomes an awaitable. Without such an operation an event
loop is not needed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias, TypeGuard

from .errors import ArgumentError, kind

State: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[State], Any]
"""A function from state to state, or to an awaitable of state."""


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Return whether *value* can be awaited, without loading `inspect` or `asyncio`."""
    return hasattr(type(value), "__await__")


def require_operation(value: object, *, verb: str) -> Operation:
    """Return *value* if it can be called.

    Raises:
        ArgumentError: *value* cannot be called. A common cause is an operation that was called with
            state.

    """
    if not callable(value):
        raise ArgumentError(
            f"{verb}: an operation is a function from state to state, not {kind(value)}",
            verb=verb,
            got=kind(value),
        )
    return value


def perform(operation: Operation, state: State) -> Any:
    """Run an operation.

    An argument such as `lambda state: post(...)` returns an operation in place of its result. Then
    that operation is run with the same state.
    """
    result = operation(state)
    return result(state) if callable(result) else result


def after(value: Any, then: Callable[[Any], Any]) -> Any:
    """Return `then(value)`, or an awaitable of it if *value* is awaitable."""
    return _await_then(value, then) if is_awaitable(value) else then(value)


async def _await_then(value: Awaitable[Any], then: Callable[[Any], Any]) -> Any:
    result = then(await value)
    return await result if is_awaitable(result) else result


def run_all(steps: Iterator[Operation], state: State) -> Any:
    """Run *steps* in order, each with the result of the step before it.

    After a step that returned None, the next step gets `{}`. The engine warns of None if the
    operation is the job's own.
    """
    result: Any = state
    for step in steps:
        result = perform(step, _usable(result))
        if is_awaitable(result):
            return _await_all(result, steps)
    return result


async def _await_all(pending: Awaitable[Any], steps: Iterator[Operation]) -> Any:
    result = await pending
    for step in steps:
        result = perform(step, _usable(result))
        if is_awaitable(result):
            result = await result
    return result


def _usable(result: Any) -> State:
    return {} if result is None else result
