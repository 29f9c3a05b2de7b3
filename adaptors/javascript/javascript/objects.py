"""Reads and changes keys of objects and items of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from .values import MAX_SAFE, Error, kind, nullish, undefined


class _Maybe:
    """Says that the next key is read with `?.`."""

    def __repr__(self) -> str:
        return "maybe"


maybe: Final = _Maybe()
"""Before a key of `get`: the whole chain is undefined if there is null or undefined here."""

_OF_OBJECTS: Final = frozenset(
    {"constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString"}
    | {"toString", "valueOf", "__proto__", "__defineGetter__", "__defineSetter__"}
    | {"__lookupGetter__", "__lookupSetter__"}
)
_OF_ARRAYS: Final = _OF_OBJECTS | frozenset(
    [
        "at",
        "concat",
        "copyWithin",
        "entries",
        "every",
        "fill",
        "filter",
        "find",
        "findIndex",
        "findLast",
        "findLastIndex",
        "flat",
        "flatMap",
        "forEach",
        "includes",
        "indexOf",
        "join",
        "keys",
        "lastIndexOf",
        "map",
        "pop",
        "push",
        "reduce",
        "reduceRight",
        "reverse",
        "shift",
        "slice",
        "some",
        "sort",
        "splice",
        "toReversed",
        "toSorted",
        "toSpliced",
        "unshift",
        "values",
        "with",
    ]
)
_OF_TEXTS: Final = _OF_OBJECTS | frozenset(
    [
        "anchor",
        "at",
        "big",
        "blink",
        "bold",
        "charAt",
        "charCodeAt",
        "codePointAt",
        "concat",
        "endsWith",
        "fixed",
        "fontcolor",
        "fontsize",
        "includes",
        "indexOf",
        "isWellFormed",
        "italics",
        "lastIndexOf",
        "link",
        "localeCompare",
        "match",
        "matchAll",
        "normalize",
        "padEnd",
        "padStart",
        "repeat",
        "replace",
        "replaceAll",
        "search",
        "slice",
        "small",
        "split",
        "startsWith",
        "strike",
        "sub",
        "substr",
        "substring",
        "sup",
        "toLocaleLowerCase",
        "toLocaleUpperCase",
        "toLowerCase",
        "toUpperCase",
        "toWellFormed",
        "trim",
        "trimEnd",
        "trimLeft",
        "trimRight",
        "trimStart",
    ]
)
_OF_NUMBERS: Final = _OF_OBJECTS | frozenset({"toExponential", "toFixed", "toPrecision"})


def get(value: Any, *path: Any) -> Any:
    """Return `value.a.b` for the keys "a" and "b"; `maybe` before a key is the `?.` of JavaScript.

    Raises:
        Error: A key of null or undefined is read, or a method of a value is not called.

    """
    optional = False
    for key in path:
        if key is maybe:
            optional = True
            continue
        if value is None or value is undefined:
            if optional:
                return undefined
            raise Error(f"cannot read {key!r} of {kind(value)}")
        optional = False
        value = _read(value, key)
    return value


def find(value: Any, *path: str | int) -> Any:
    """Return what the JSONPath of *path* finds first, or undefined."""
    for key in path:
        if isinstance(value, dict) and not isinstance(key, int):
            value = value.get(key, undefined)
        elif isinstance(value, list) and isinstance(key, int):
            value = value[key] if key < len(value) else undefined
        else:
            return undefined
    return value


def name_of(key: Any) -> str:
    """Return a key as the text that JavaScript makes of it."""
    from .texts import text  # it needs this module

    return key if isinstance(key, str) else text(key)


def place_of(key: Any) -> int | None:
    """Return the place in an array that a key means, or None."""
    if isinstance(key, int) and not isinstance(key, bool):
        return key if 0 <= key <= MAX_SAFE else None
    if isinstance(key, float) and key.is_integer() and key >= 0:
        return int(key)
    if isinstance(key, str) and key.isascii() and key.isdigit() and str(int(key[:16])) == key:
        return int(key)
    return None


def _read(value: Any, key: Any) -> Any:
    name = name_of(key)
    if isinstance(value, dict):
        if name in value:
            return value[name]
        return _absent(name, _OF_OBJECTS, value)
    if isinstance(value, list):
        place = place_of(key)
        if place is not None:
            return value[place] if place < len(value) else undefined
        return len(value) if name == "length" else _absent(name, _OF_ARRAYS, value)
    if isinstance(value, str):
        return _read_text(value, key, name)
    if isinstance(value, bool | int | float):
        return _absent(name, _OF_OBJECTS if isinstance(value, bool) else _OF_NUMBERS, value)
    raise Error(f"cannot read {name!r} of {kind(value)}")


def _read_text(value: str, key: Any, name: str) -> Any:
    if name == "length":
        return len(value.encode("utf-16-le", "surrogatepass")) // 2
    place = place_of(key)
    if place is None:
        return _absent(name, _OF_TEXTS, value)
    if not value.isascii():
        only_units(value)
    return value[place] if place < len(value) else undefined


def only_units(value: str) -> str:
    """Return a text in which Python counts the characters that JavaScript counts.

    Raises:
        Error: It has a character that is two in JavaScript.

    """
    if any(sign > "\uffff" for sign in value):
        raise Error("a text with a character beyond U+FFFF is counted differently in JavaScript")
    return value


def _absent(name: str, inherited: frozenset[str], value: Any) -> Any:
    if name in inherited:
        raise Error(f"{name!r} of {kind(value)} is inherited, which is not translated")
    return undefined


def put(target: Any, key: Any, value: Any) -> None:
    """Do `target[key] = value`.

    Raises:
        Error: The target is not an object, or an array that has no such item and does not end there.

    """
    if isinstance(target, dict):
        name = name_of(key)
        if name == "__proto__":
            raise Error("'__proto__' cannot be set")
        target[name] = value
        return
    place = place_of(key)
    if isinstance(target, list) and place is not None and place <= len(target):
        target[place : place + 1] = [value]
        return
    raise Error(f"cannot set {name_of(key)!r} of {kind(target)}")


def remove(target: Any, key: Any) -> None:
    """Do `delete target[key]`."""
    if not isinstance(target, dict):
        raise Error(f"cannot delete {name_of(key)!r} of {kind(target)}")
    target.pop(name_of(key), None)


def parts(value: Any) -> dict[str, Any]:
    """Return the object that `{...value}` copies from."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(place): item for place, item in enumerate(value)}
    if nullish(value) or isinstance(value, bool | int | float):
        return {}
    raise Error(f"{kind(value)} is spread into an object")


def spread(value: Any) -> list[Any]:
    """Return the items that `[...value]` goes through."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return list(value)
    raise Error(f"{kind(value)} is not iterable")


def unique(value: Any) -> list[Any]:
    """Return the items of `new Set(value)`, each at its first place."""
    # Two numbers of one value are one item, and so are texts; an array or an object is equal to itself only.
    found: dict[object, Any] = {}
    for one in spread(value):
        plain = isinstance(one, str | int | float) or nullish(one)
        found.setdefault((kind(one), one if plain else id(one)), one)
    return list(found.values())


def first_place(found: Iterable[bool]) -> int:
    """Return `value.findIndex(...)`: the place of the first true one, or -1."""
    return next((place for place, one in enumerate(found) if one), -1)


def items(value: Any) -> list[Any]:
    """Return an array, of which a method such as `map` is called.

    Raises:
        Error: It is not an array.

    """
    if not isinstance(value, list):
        raise Error(f"{kind(value)} has no method of arrays")
    return list(value)  # a function for the items may make the array longer


def chained(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return `value?.method(...)`, of which *function* does the call."""
    return undefined if nullish(value) else function(value)


def reduce(value: Any, function: Callable[[Any, Any], Any], start: Any) -> Any:
    """Return `value.reduce(function, start)`."""
    return functools.reduce(function, items(value), start)


def taken(value: Any) -> list[Any]:
    """Return an array whose items are taken apart, as in `rows.map(({ id }) => id)`.

    Raises:
        Error: It is not an array, or an item is null or undefined.

    """
    if any(nullish(item) for item in items(value)):
        raise Error("null or undefined cannot be taken apart")
    return items(value)


def item(value: Any, place: int) -> Any:
    """Return an item of an array that is taken apart, as in `const [first, second] = value`."""
    found = items(value)
    return found[place] if place < len(found) else undefined


def rest(value: Any, *taken: str) -> dict[str, Any]:
    """Return what `const { a, ...rest } = value` leaves in `rest`."""
    if nullish(value):
        raise Error(f"{kind(value)} cannot be taken apart")
    return {key: inner for key, inner in parts(value).items() if key not in taken}


def keys(value: Any) -> list[str]:
    """Return `Object.keys(value)`: integers first and in order, then the rest."""
    if nullish(value) or isinstance(value, str):
        raise Error(f"Object.keys of {kind(value)}")
    names = list(parts(value))
    numbered = [
        name for name in names if (place_of(name) or 0) < 2**32 - 1 and place_of(name) is not None
    ]
    ordered = sorted(numbered, key=int)
    return [*ordered, *(name for name in names if name not in set(numbered))]


def values(value: Any) -> list[Any]:
    """Return `Object.values(value)`."""
    found = parts(value)
    return [found[name] for name in keys(value)]


def entries(value: Any) -> list[Any]:
    """Return `Object.entries(value)`."""
    found = parts(value)
    return [[name, found[name]] for name in keys(value)]


def assign(target: Any, *sources: Any) -> Any:
    """Return `Object.assign(target, ...sources)`."""
    if not isinstance(target, dict):
        raise Error(f"Object.assign to {kind(target)}")
    for source in sources:
        target.update(parts(source))
    return target


def sorted_by(value: Any, key: Callable[[Any], Any], *, falling: bool = False) -> list[Any]:
    """Return `value.sort((a, b) => key(a) - key(b))`, with *falling* the other way round.

    Raises:
        Error: A key is not a number: then the order of JavaScript depends on its way of sorting.

    """
    if not isinstance(value, list):
        raise Error(f"{kind(value)} has no method 'sort' that is translated")
    if undefined in value:
        raise Error("sort: an item is undefined")
    keys = [key(row) for row in value]
    for one in keys:
        if isinstance(one, bool) or not isinstance(one, int | float) or one != one:  # noqa: PLR0124
            raise Error(f"sort: {kind(one)} is used as a number")
        if abs(one) > MAX_SAFE:
            raise Error("sort: a number beyond 2^53, which JavaScript would round")
    order = sorted(range(len(value)), key=lambda place: -keys[place] if falling else keys[place])
    value[:] = [value[place] for place in order]
    return value


def names(value: Any) -> Iterator[str]:
    """Yield the keys of `for (const key in value)`; a key that was removed before its turn is left out.

    Raises:
        Error: The value is neither an object nor null or undefined.

    """
    if value is None or value is undefined:
        return
    if not isinstance(value, dict):
        raise Error(f"for ... in over {kind(value)}")
    for name in keys(value):
        if name in value:
            yield name
