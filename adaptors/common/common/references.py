"""Lazy arguments: functions in place of values, which a verb resolves.

A job writes `each(state.data.rows, ...)`, and the verb gets `lambda state: state.data.rows`.  A
verb resolves such arguments when it runs, against its own state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from .errors import ArgumentError, kind
from .flow import State
from .paths import find

P = ParamSpec("P")
R = TypeVar("R")

MAX_REFERENCES = 100
"""Most functions that return functions in a row; more are taken for an endless chain."""


ABSENT: Any = object()
"""Stands for the value of a path that finds nothing, where that differs from None."""


def is_reference(value: object) -> bool:
    """Return whether *value* is a reference: functions are references, classes are values."""
    return callable(value) and not isinstance(value, type)


def resolve(state: State, value: Any, skip: Callable[[Any], bool] | None = None) -> Any:
    """Return *value* with every function in it replaced by what it returns for *state*.

    Dicts, lists and tuples are searched at any depth and returned as new objects.  Other values are
    returned as they are.
    """
    if skip is not None and skip(value):
        return value
    value = dereference(state, value)
    if isinstance(value, dict):
        return {key: resolve(state, inner, skip) for key, inner in value.items()}
    if type(value) is list:
        return [resolve(state, inner, skip) for inner in value]
    if type(value) is tuple:
        return tuple(resolve(state, inner, skip) for inner in value)
    return value


def dereference(state: State, value: Any) -> Any:
    """Return *value*, or its result for *state* if it is a function; containers are not searched.

    Raises:
        ArgumentError: Functions return functions without end.

    """
    value = dereference_or_absent(state, value)
    return None if value is ABSENT else value


def dereference_or_absent(state: State, value: Any) -> Any:
    """Do the same as `dereference`, but return `ABSENT` for a path that finds nothing."""
    for _ in range(MAX_REFERENCES):
        if not is_reference(value):
            return value
        value = getattr(value, "or_absent", value)(state)
    raise ArgumentError("an argument is a function that returns functions without end")


def without_absent(state: State, fields: dict[Any, Any]) -> dict[Any, Any]:
    """Return *fields* with every function in it resolved, and without the keys that are absent."""
    found = {key: dereference_or_absent(state, value) for key, value in fields.items()}
    return {key: resolve(state, value) for key, value in found.items() if value is not ABSENT}


def reference_to(read: Callable[[State], Any]) -> Callable[[State], Any]:
    """Return a reference from a function that returns `ABSENT` if it finds nothing.

    Its callers get None in that case, unless they ask `or_absent`.
    """

    def reference(state: State) -> Any:
        value = read(state)
        return None if value is ABSENT else value

    vars(reference)["or_absent"] = read
    return reference


def bind(function: Callable[..., Any], state: State) -> Callable[..., Any]:
    """Return the function that an argument means, without the wrapper that makes it lazy.

    `map_(rows, lambda row: row["a"] + state.n)` arrives as `lambda state: lambda row: ...`.  So a
    function is unwrapped if its only parameter is called `state` and it returns a function.
    """
    for _ in range(MAX_REFERENCES):
        result = function(state) if parameters(function) == ("state",) else None
        if not is_reference(result):
            return function
        function = cast("Callable[..., Any]", result)
    raise ArgumentError("an argument is a function that returns functions without end")


def parameters(function: object) -> tuple[str, ...] | None:
    """Return the names of the positional parameters of *function*; None if they are unknown."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:  # CO_VARARGS: takes any number
        return None
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names[1:] if getattr(function, "__self__", None) is not None else names


def lazily(function: Callable[P, R]) -> Callable[P, R]:
    """Let a plain function take lazy arguments, for which it returns a reference.

    In `each(chunk(state.data.rows, 10), ...)` the engine makes the argument of the inner call lazy,
    so `chunk` is called before the state exists.  Its type is that for plain arguments, because a
    job uses the reference in place of that value.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        if not any(map(is_reference, (*args, *kwargs.values()))):
            return function(*args, **kwargs)

        def reference(state: State) -> Any:
            named = {name: dereference(state, value) for name, value in kwargs.items()}
            return call(*(dereference(state, value) for value in args), **named)

        return reference

    call: Callable[..., R] = function
    return wrapper


def expand_references(
    value: Any, skip_filter: Callable[[Any], bool] | None = None
) -> Callable[[State], Any]:
    """Resolve every function in *value* against the state, at any depth.

    Args:
        value: Any value.  Functions in dicts, lists and tuples are called with state, and again as
            long as they return functions.
        skip_filter: Called with each value that is met; a value with the answer True stays as it
            is.

    Example:
        `expand_references({"name": data_value("user.name")})(state)`

    """

    def run(state: State) -> Any:
        return resolve(state, value, None if skip_filter is None else bind(skip_filter, state))

    return run


@lazily
def source(path: str) -> Callable[[State], list[Any]]:
    """Return a reference to all values that a JSONPath points at, as a list.

    Example:
        `source("$.data.books[*].title")`

    """
    return lambda state: find(state, path)


@lazily
def source_value(path: str) -> Callable[[State], Any]:
    """Return a reference to the first value that a JSONPath points at, or to None.

    `fields` and `merge` leave a key out if its path finds nothing.

    Example:
        `field("name", source_value("$.data.name"))`

    """
    return reference_to(lambda state: _first(state, path))


def json_value(document: Any, path: str) -> Any:
    """Return the first value of *document* that a JSONPath points at, or None.

    Example:
        `json_value({"a": {"b": 1}}, "a.b")` is 1

    """
    if is_reference(document) or is_reference(path):
        return reference_to(
            lambda state: _first(dereference(state, document), dereference(state, path))
        )
    found = _first(document, path)
    return None if found is ABSENT else found


def _first(document: Any, path: str) -> Any:
    return next(iter(find(document, path)), ABSENT)


@lazily
def data_path(path: str) -> str:
    """Return *path* so that it begins at the data of the state.

    Example:
        `data_path("key")` is `"$.data.key"`

    """
    return "$.data." + path.removeprefix("$").removeprefix(".")


@lazily
def data_value(path: str) -> Callable[[State], Any]:
    """Return a reference to the first value in `state["data"]` that a JSONPath points at.

    Example:
        `field("name", data_value("form.name"))`

    """
    return source_value(data_path(path))


@lazily
def reference_path(path: str) -> str:
    """Return *path* so that it begins at the references of the state.

    Example:
        `reference_path("[0].id")` is `"$.references[0].id"`

    """
    inner = path.removeprefix("$").removeprefix(".")
    return "$.references" + (inner if inner.startswith("[") else "." + inner)


@lazily
def last_reference_value(path: str) -> Callable[[State], Any]:
    """Return a reference to the value that a JSONPath points at in `state["references"][0]`.

    Example:
        `field("parent", last_reference_value("id"))`

    """
    return source_value(reference_path("[0]." + path.removeprefix("$").removeprefix(".")))


def as_data(data: Any, state: State) -> Any:
    """Return the data that an argument means.

    Args:
        data: A JSONPath into *state* (which means its values, as a list), a function to call with
            *state*, or the data itself.
        state: The current state.

    Example:
        `as_data("$.data.rows[*]", state)`

    """
    value = dereference(state, data)
    return find(state, value) if isinstance(value, str) else value


def items_of(source_of_items: Any, state: State, *, verb: str) -> list[Any]:
    """Return the items on which a verb works.

    Raises:
        ArgumentError: The source is neither a list nor a path.

    """
    items = as_data(source_of_items, state)
    if not isinstance(items, list | tuple):
        raise ArgumentError(
            f"{verb}: needs a list or a JSONPath such as '$.data.rows[*]', not {kind(items)}",
            verb=verb,
            got=kind(items),
        )
    return list(items)
