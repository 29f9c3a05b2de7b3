"""Resolves the arguments of verbs: names, queries, keys and callbacks."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final, NamedTuple, TypeAlias

from .errors import ArgumentError, kind
from .times import end_of, start_of

State: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[State], Any]

Lazy: TypeAlias = Callable[[State], Any]
"""A function of the state in place of an argument."""
Text: TypeAlias = str | Lazy
Number: TypeAlias = float | Lazy
Time: TypeAlias = str | date | Lazy
"""A text such as `2024-01`, a date, or a datetime, which is a date as well."""

_MOST_CALLS: Final = 100

_TIMES: Final = {
    "created_after": end_of,
    "created_before": start_of,
    "updated_after": end_of,
    "updated_before": start_of,
}
"""Options with a time, and the end of a period that each one means."""

_OPTIONS: Final = ("key", "limit", "page_size", "cursor", *_TIMES)

_CAMEL: Final = {
    "pageSize": "page_size",
    "createdAfter": "created_after",
    "createdBefore": "created_before",
    "updatedAfter": "updated_after",
    "updatedBefore": "updated_before",
}
"""The names of OpenFn."""

PAGE: Final = 1_000
"""Values that are fetched at once."""

MOST: Final = 10_000
"""Most values that can be fetched at once."""


class Query(NamedTuple):
    """A query, checked."""

    key: str
    single: bool
    """Whether it asks for the value of one key."""
    limit: float
    """The largest number of values; infinity without a limit."""
    page_size: int
    cursor: str | None
    times: dict[str, int]
    paged: tuple[str, ...]
    """The options that were given and that choose a page."""

    def refuse_paging(self) -> None:
        """Check that the query means all values that match.

        Raises:
            ArgumentError: It does not.

        """
        if self.paged:
            raise ArgumentError(
                f"remove has no option {self.paged[0]!r}: it removes all values that match, or none"
            )

    def page(self, size: float, cursor: str | None) -> dict[str, Any]:
        """Return the query for a page of at most *size* values."""
        found: dict[str, Any] = {"key": self.key, **self.times, "limit": int(size)}
        return found if cursor is None else {**found, "cursor": cursor}


def resolve(state: State, value: Any) -> Any:
    """Return *value* with each function in it replaced by the result of the function for *state*."""
    for _ in range(_MOST_CALLS):
        if not callable(value) or isinstance(value, type):
            break
        value = value(state)
    else:
        raise ArgumentError("an argument is a function that returns functions without end")
    if isinstance(value, Mapping):
        return {key: resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(state, inner) for inner in value]
    return value


def name_of(state: State, name: Any) -> str:
    """Return the name of a collection.

    Raises:
        ArgumentError: It is not text.

    """
    found = resolve(state, name)
    if not isinstance(found, str):
        raise ArgumentError(f"the name of a collection is text, not {kind(found)}")
    return found


def query_of(state: State, query: Any, options: Mapping[str, Any], *, whole: bool = True) -> Query:
    """Return a query.

    Args:
        state: The state.
        query: A key or a pattern, or a dict of options, or a function that returns one of these.
        options: Options that were given as keywords.
        whole: Whether a query without options means all values.

    Raises:
        ArgumentError: It is not a query, or it says something twice.

    """
    found = resolve(state, query)
    if isinstance(found, str):
        found = {"key": found}
    elif found is None:
        found = {}
    elif not isinstance(found, dict):
        raise ArgumentError(f"a query is a key, a pattern or a dict, not {kind(found)}")
    given = {_CAMEL.get(name, name): value for name, value in found.items() if value is not None}
    for name, value in resolve(state, dict(options)).items():
        if value is not None:
            if name in given:
                raise ArgumentError(f"{name} is given twice: in the query, and as an option")
            given[name] = value
    for name in given:
        if name not in _OPTIONS:
            raise ArgumentError(
                f"a query has no option {name!r:.60}; {_meant(name)}there are: {', '.join(_OPTIONS)}"
            )
    if not given and not whole:
        raise ArgumentError("the query is empty; write '*' for all values of the collection")
    key = given.get("key", "*")
    if not isinstance(key, str) or not key:
        raise ArgumentError(f"key is a text that is not empty, not {key!r:.60}")
    times = {
        f"{name}_ms": bound(name, given[name]) for name, bound in _TIMES.items() if name in given
    }
    cursor = given.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise ArgumentError(f"cursor is the text that an earlier query gave, not {kind(cursor)}")
    return Query(
        key=key,
        single="*" not in key and not times and cursor is None,
        limit=_number("limit", given.get("limit", math.inf), endless=True),
        page_size=int(_number("page_size", given.get("page_size", PAGE))),
        cursor=cursor,
        times=times,
        paged=tuple(name for name in ("limit", "page_size", "cursor") if name in given),
    )


def _meant(name: Any) -> str:
    """Return the option that a wrong name is near to, as the beginning of an advice."""
    import difflib  # it is for errors only

    near = difflib.get_close_matches(str(name)[:60], [*_OPTIONS, *_CAMEL], 1, 0.7)
    return f"did you mean {near[0]!r}? " if near else ""


def _number(name: str, value: Any, *, endless: bool = False) -> float:
    if endless and value == math.inf:
        return math.inf
    most = 2**53 if endless else MOST
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not is_whole or not 1 <= value <= most:
        raise ArgumentError(f"{name} is a whole number from 1 to {most}, not {value!r:.60}")
    return int(value)


def key_maker(state: State, key: Any) -> str | Callable[[Any, int], Any]:
    """Return a fixed key, or a function from a value and its index to a key.

    A function of the author gets the value, the state and the index, as far as it has parameters.  If
    its only parameter is called ``state``, it is an argument that uses the state.

    Raises:
        ArgumentError: It is neither a text nor a function.

    """
    for _ in range(_MOST_CALLS):
        if not callable(key) or _parameters(key) != ["state"]:
            break
        key = key(state)
    if isinstance(key, str):
        return key
    if not callable(key):
        raise ArgumentError(
            f"the key is a text, or a function that makes one from a value, not {kind(key)}"
        )
    function, number = key, len(_parameters(key))
    return lambda value, index: function(*(value, state, index)[:number])


def key_of(made: Any) -> str:
    """Return the key that a function of the author has made.

    Raises:
        ArgumentError: It is not text.

    """
    if not isinstance(made, str):
        raise ArgumentError(
            f"the function for keys returned {kind(made)}, and a key is text; write str(...) around it"
        )
    return made


class Callback:
    """A callback of `each`: it gets the state, the value and the key, as far as it has parameters.

    Raises:
        ArgumentError: It is not a function.

    """

    def __init__(self, function: Any) -> None:
        if not callable(function):
            raise ArgumentError(
                f"the callback is a function of state, value and key, not {kind(function)}"
            )
        self._function = function
        self._number = len(_parameters(function))

    def __call__(self, state: State, value: Any, key: str) -> Any:
        """Call it, and return what it returns."""
        result = self._function(*(state, value, key)[: self._number])
        for _ in range(_MOST_CALLS):
            if not callable(result) or self._number != 1:
                break
            # The argument used the state, so that it was made a function of it.
            self._function, self._number = result, len(_parameters(result))
            result = result(*(state, value, key)[: self._number])
        return result


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that take a value by position; at most three."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function in C without a signature
        return ["value"]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in found):
        return ["value", "state", "index"]
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in found if parameter.kind in by_position][:3]
