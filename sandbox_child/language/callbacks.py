"""The guards that attach a function of a job to an operation: `then`, `catch` and callbacks.

An operation is a function of state.  It may return an awaitable of state; then the operation that
is made here also returns an awaitable.
"""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

from protocol.static import class_name
from sandbox_child.language.guards import JobSecurityError
from sandbox_child.language.plain_data import exception_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Operation = Callable[[Any], Any]
    Report = Callable[[str], None]

__all__ = ["make_guards"]

_VARIABLE = 0x04
"""CO_VARARGS of `inspect`, which takes long to import."""

_CALLBACK = "callback"
_MAX_TEXT: Final = 300
_TOLD_EACH: Final = 10
"""Number of failures at one place that are logged one by one; later ones at each power of ten."""

_UNCAUGHT: Final = (MemoryError, JobSecurityError)
"""Exceptions that end the run: no function of a job goes on after them."""


def make_guards(warn: Report) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the guard of `x.then` and `x.catch`, and the guard of calls with a callback.

    Args:
        warn: Takes a message about an operation: that a caught failure has happened, or that a
            function returned None.

    """
    notes = _Notes(warn)
    then = _make_then(notes)
    attach = {"then": then, "catch": _make_catch(notes)}

    def chain(target: Any, name: str, told: str) -> Any:
        if not callable(target) or isinstance(target, type) or hasattr(target, name):
            return getattr(target, name)  # a method of its own, or Python's own error
        if not _may_be_operation(target):
            raise AttributeError(
                f"{told} is not an operation: it does not take the state alone", name=name
            )

        def method(function: Any, /, *more: Any) -> Operation:
            if more:
                raise TypeError(f"{name} of {told} takes one function: write .then(f).catch(g)")
            return attach[name](target, function, told)

        return method

    def verb(told: str, function: Any, /, *args: Any, **named: Any) -> Any:
        callback = _callback_of(function, args, named)
        if callback is None:
            return function(*args, **named)
        if _CALLBACK in named:
            rest = {name: value for name, value in named.items() if name != _CALLBACK}
            operation = function(*args, **rest)
        else:
            operation = function(*args[:-1], **named)
        if not _may_be_operation(operation):  # this is Python's own error
            return function(*args, **named)
        return then(operation, callback, told)

    return chain, verb


class _Notes:
    """Warnings about operations, a few for each place."""

    def __init__(self, warn: Report) -> None:
        self._warn = warn
        self._caught: dict[str, int] = {}
        self._empty: set[str] = set()

    def of_failure(self, told: str, error: BaseException) -> None:
        """Take note of a failure that a job handles."""
        count = self._caught[told] = self._caught.get(told, 0) + 1
        if count > _TOLD_EACH and str(count).strip("0") != "1":
            return
        text = exception_text(error)
        text = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
        number = f" (failure {count} at this place)" if count > 1 else ""
        name = class_name(type(error))
        self._warn(f"{told} failed with {name}: {text}; its catch handles this{number}")

    def usable(self, told: str, result: Any) -> Any:
        """Return the state for the next function; after None it is empty, with a warning."""
        if result is not None:
            return result
        if told not in self._empty:
            self._empty.add(told)
            self._warn(f"{told} returned None to its then; an operation should return state")
        return {}


def _make_then(notes: _Notes) -> Callable[[Operation, Any, str], Operation]:
    def then(operation: Operation, function: Any, told: str) -> Operation:
        _check_function(function, told, "then", 1)

        def chained(state: Any) -> Any:
            result = operation(state)
            if _is_awaitable(result):
                return chained_later(result)
            return _perform(function, notes.usable(told, result))

        async def chained_later(pending: Awaitable[Any]) -> Any:
            result = _perform(function, notes.usable(told, await pending))
            return await result if _is_awaitable(result) else result

        return chained

    return then


def _make_catch(notes: _Notes) -> Callable[[Operation, Any, str], Operation]:
    def catch(operation: Operation, function: Any, told: str) -> Operation:
        _check_function(function, told, "catch", 2)

        def chained(state: Any) -> Any:
            try:
                result = operation(state)
            except Exception as error:  # noqa: BLE001 - the job asks for all of them
                # Inside of this block, so that the function can write `raise`.
                handled = handle(error, state)
                return handled_later(error, handled) if _is_awaitable(handled) else handled
            return chained_later(result, state) if _is_awaitable(result) else result

        async def chained_later(pending: Awaitable[Any], state: Any) -> Any:
            try:
                return await pending
            except Exception as error:  # noqa: BLE001 - as above
                handled = handle(error, state)
                return await handled if _is_awaitable(handled) else handled

        async def handled_later(error: Exception, pending: Awaitable[Any]) -> Any:
            try:
                raise error
            except Exception:  # noqa: BLE001 - it is `error`; the function can write `raise` here, too
                return await pending

        def handle(error: Exception, state: Any) -> Any:
            if _is_fatal(error):
                raise error
            notes.of_failure(told, error)
            return _handle(function, error, state)

        return chained

    return catch


def _callback_of(function: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Return the callback of a call: the one function that the verb does not take by itself."""
    inner = function
    while type(inner) is FunctionType:
        wrapped = inner.__dict__.get("__wrapped__")
        if wrapped is None:
            break
        inner = wrapped
    if type(inner) is not FunctionType:
        return None
    code = inner.__code__
    if _CALLBACK in named:
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return None if _CALLBACK in parameters else named[_CALLBACK]
    if code.co_flags & _VARIABLE or len(args) != code.co_argcount + 1:
        return None
    return args[-1] if _is_function(args[-1]) else None


def _handle(function: Any, error: Exception, state: Any) -> Any:
    """Call the function given to `catch`, with as many of (error, state) as it takes.

    A function whose only parameter is called `state` gets the state: it is an operation, or the
    engine made it from an argument that uses the state.  In the second case it returns a function.
    """
    for _ in range(100):
        count = _positional(function)
        if count == 1 and _first_name(function) == "state":
            result = function(state)
        else:
            result = function(*(error, state)[: 1 if count is None else count])
        if not _is_function(result):
            return result
        function = result
    raise TypeError("the function given to catch returns functions without end")


def _perform(function: Any, state: Any) -> Any:
    """Call a function with the state; do the same with an operation that it returns.

    The engine makes `lambda state: post(...)` of an argument that uses the state.
    """
    result = function(state)
    return result(state) if _is_function(result) else result


def _check_function(function: Any, told: str, name: str, most: int) -> None:
    if not callable(function) or isinstance(function, type):
        kind = "None" if function is None else f"a value of type {type(function).__name__}"
        raise TypeError(f"{name} of {told} needs a function, not {kind}: {_FORMS[name]}")
    least = _required(function)
    count = _positional(function)
    if (least is not None and least > most) or count == 0:
        takes = "no argument" if count == 0 else f"{least} arguments"
        raise TypeError(
            f"the function given to {name} of {told} takes {takes}; write {_FORMS[name]}"
        )


_FORMS: Final = {
    "then": "then(lambda state: ...)",
    "catch": "catch(lambda error, state: ...)",
}


def _is_fatal(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_fatal, error.exceptions))
    return isinstance(error, _UNCAUGHT)


def _may_be_operation(value: object) -> bool:
    """Whether *value* can be called with the state alone."""
    names = _parameters(value)
    return _is_function(value) and (names is None or (len(names) >= 1 >= (_required(value) or 0)))


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_awaitable(value: object) -> bool:
    return hasattr(type(value), "__await__")


def _parameters(function: Any) -> tuple[str, ...] | None:
    """Return the names of the positional parameters; None for any number of them, or if they are unknown."""
    bound = type(function) is MethodType
    inner = function.__func__ if bound else function
    if type(inner) is not FunctionType or inner.__code__.co_flags & _VARIABLE:
        return None
    code = inner.__code__
    return tuple(code.co_varnames[bound : code.co_argcount])


def _positional(function: Any) -> int | None:
    """Return the number of positional parameters, at most 2 of any number; None if it is not known."""
    names = _parameters(function)
    if names is None:
        inner = function.__func__ if type(function) is MethodType else function
        return 2 if type(inner) is FunctionType else None
    return len(names)


def _required(function: Any) -> int | None:
    names = _parameters(function)
    if names is None:
        return None
    inner = function.__func__ if type(function) is MethodType else function
    return len(names) - len(inner.__defaults__ or ())


def _first_name(function: Any) -> str | None:
    names = _parameters(function)
    return names[0] if names else None
