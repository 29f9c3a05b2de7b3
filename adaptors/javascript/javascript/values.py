"""Values and tests of values: undefined, truth, equality."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

MAX_SAFE: Final = 2**53 - 1
"""The largest number up to which JavaScript knows every integer."""

MAX_DEPTH: Final = 500
"""The deepest nesting of values that is followed."""


class Error(Exception):
    """JavaScript would raise an error here, or its value is not certain."""


class Undefined:
    """The value of a key that an object lacks."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "undefined"


undefined: Final = Undefined()


def kind(value: object) -> str:
    """Return the word for the type of a value in an error."""
    if value is undefined or value is None:
        return "undefined" if value is undefined else "null"
    for types, word in ((bool, "a boolean"), ((int, float), "a number"), (str, "a text")):
        if isinstance(value, types):
            return word
    if isinstance(value, list):
        return "an array"
    return "an object" if isinstance(value, dict) else type(value).__name__


def nullish(value: object) -> bool:
    """Return whether a value is null or undefined, as `value == null` does."""
    return value is None or value is undefined


def truthy(value: Any) -> bool:
    """Return whether a value counts as true: an empty array or object does.

    Raises:
        Error: JavaScript has no value of this type.

    """
    if value is None or value is undefined or value is False:
        return False
    if isinstance(value, str):
        return value != ""
    if isinstance(value, bool | list | dict) or callable(value):
        return True
    if isinstance(value, int | float):
        return value == value and value != 0  # noqa: PLR0124 - NaN is not equal to itself
    raise Error(f"{kind(value)} has no value in JavaScript")


def same(one: Any, other: Any) -> bool:
    """Return `one === other`: equal numbers, texts or booleans, or the same array or object."""
    if one is other:
        return not (isinstance(one, float) and one != one)  # noqa: PLR0124 - NaN
    if isinstance(one, bool) or isinstance(other, bool):
        return False  # True and False are the only ones of their kind
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return False


def loose(one: Any, other: Any) -> bool:
    """Return `one == other` for values of one type, and for null and undefined.

    Raises:
        Error: The values are of two types, which JavaScript would convert.

    """
    if nullish(one) or nullish(other):
        return nullish(one) and nullish(other)
    if kind(one) != kind(other):
        raise Error(
            f"== would convert {kind(one)} or {kind(other)}; compare values of one type here"
        )
    return same(one, other)


def either(first: Any, second: Callable[[], Any]) -> Any:
    """Return `first || second()`."""
    return first if truthy(first) else second()


def both(first: Any, second: Callable[[], Any]) -> Any:
    """Return `first && second()`."""
    return second() if truthy(first) else first


def coalesce(first: Any, second: Callable[[], Any]) -> Any:
    """Return `first ?? second()`."""
    return second() if nullish(first) else first


def is_list(value: object) -> bool:
    """Return `Array.isArray(value)`."""
    return isinstance(value, list)


def typeof(value: Any) -> str:
    """Return `typeof value`."""
    if value is undefined:
        return "undefined"
    if value is None or isinstance(value, list | dict):
        return "object"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    if callable(value):
        return "function"
    raise Error(f"{kind(value)} has no type in JavaScript")


def plain(value: Any) -> Any:
    """Return a value without undefined, as JSON would have it.

    A key of an object with this value is removed, and an item of an array becomes None.  The objects
    and arrays stay the same.
    """
    if value is undefined:
        return None
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise Error(f"a value is nested in more than {MAX_DEPTH} others, or contains itself")
        level, depth = [inner for outer in level for inner in _cleaned(outer)], depth + 1
    return value


def _cleaned(container: Any) -> list[Any]:
    """Remove undefined from a container; return the containers in it."""
    if isinstance(container, dict):
        for key in [key for key, inner in container.items() if inner is undefined]:
            del container[key]
        found: Iterable[Any] = container.values()
    elif isinstance(container, list):
        if undefined in container:
            container[:] = [None if item is undefined else item for item in container]
        found = container
    else:
        return []
    return [inner for inner in found if isinstance(inner, dict | list)]
