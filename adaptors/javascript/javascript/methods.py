"""Methods of texts and arrays, which are chosen at run time by the type of the value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .numbers import _SPACE, number
from .objects import only_units
from .texts import text
from .values import Error, kind, same, undefined


def call(value: Any, name: str, *given: Any) -> Any:
    """Return `value.name(...given)` for a text or an array.

    Raises:
        Error: The value has no such method, or its arguments are of a kind that is not translated.

    """
    methods = _TEXTS if isinstance(value, str) else _ARRAYS if isinstance(value, list) else {}
    method = methods.get(name)
    if method is None:
        raise Error(f"{kind(value)} has no method {name!r} that is translated")
    try:
        return method(value, *given)
    except TypeError as error:
        raise Error(f"{name}: {error}") from None


def includes(value: Any, wanted: Any) -> bool:
    """Return `value.includes(wanted)`."""
    return bool(call(value, "includes", wanted))


def _plain_text(value: Any, method: str) -> str:
    if not isinstance(value, str):
        raise Error(f"{method}: {kind(value)} is used as a text")
    return value


def _bounds(length: int, start: Any, end: Any) -> tuple[int, int]:
    places = []
    for bound, otherwise in ((start, 0), (end, length)):
        if bound is undefined:
            places.append(otherwise)
            continue
        place = int(number(bound))
        places.append(max(place + length, 0) if place < 0 else min(place, length))
    return places[0], places[1]


def _slice(value: Any, start: Any = undefined, end: Any = undefined) -> Any:
    if isinstance(value, str):
        only_units(value)
    first, last = _bounds(len(value), start, end)
    return value[first : max(first, last)]


def _substring(value: str, start: Any, end: Any = undefined) -> str:
    only_units(value)
    places = [
        min(max(int(number(bound)), 0), len(value)) if bound is not undefined else otherwise
        for bound, otherwise in ((start, 0), (end, len(value)))
    ]
    return value[min(places) : max(places)]


def _substr(value: str, start: Any, count: Any = undefined) -> str:
    only_units(value)
    first, _ = _bounds(len(value), start, undefined)
    return (
        value[first:] if count is undefined else value[first : first + max(int(number(count)), 0)]
    )


def _split(value: str, separator: Any) -> list[str]:
    separator = _plain_text(separator, "split")
    return list(only_units(value)) if separator == "" else value.split(separator)


def _replace(value: str, old: Any, new: Any, count: int = 1) -> str:
    old, new = _plain_text(old, "replace"), _plain_text(new, "replace")
    if "$" in new:
        raise Error("replace: '$' in the new text has a meaning of its own")
    return value.replace(old, new, count)


def _at(value: Any, place: Any) -> Any:
    if isinstance(value, str):
        only_units(value)
    index = int(number(place))
    return value[index] if -len(value) <= index < len(value) else undefined


def _index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return only_units(value).find(_plain_text(wanted, "indexOf"))
    return next((place for place, item in enumerate(value) if same(item, wanted)), -1)


def _includes(value: list[Any], wanted: Any) -> bool:
    return any(same(item, wanted) for item in value)


def _join(value: list[Any], separator: Any = ",") -> str:
    shown = ["" if item is None or item is undefined else text(item) for item in value]
    return _plain_text(separator, "join").join(shown)


def _concat(value: list[Any], *given: Any) -> list[Any]:
    new = list(value)
    for item in given:
        new += item if isinstance(item, list) else [item]
    return new


def _push(value: list[Any], *given: Any) -> int:
    value.extend(given)
    return len(value)


def _pop(value: list[Any]) -> Any:
    return value.pop() if value else undefined


def _shift(value: list[Any]) -> Any:
    return value.pop(0) if value else undefined


def _unshift(value: list[Any], *given: Any) -> int:
    value[:0] = given
    return len(value)


def _reverse(value: list[Any]) -> list[Any]:
    value.reverse()
    return value


def _flat(value: list[Any]) -> list[Any]:
    return [inner for item in value for inner in (item if isinstance(item, list) else [item])]


def _pad(value: str, length: Any, filler: Any, *, at_start: bool) -> str:
    missing = int(number(length)) - len(only_units(value))
    filler = only_units(_plain_text(filler, "pad"))
    if missing <= 0 or not filler:
        return value
    if missing > 1_000_000:
        raise Error("a text is padded to more than a million characters")
    padding: str = (filler * (missing // len(filler) + 1))[:missing]
    return padding + value if at_start else value + padding


def _case(change: Callable[[str], str]) -> Callable[[str], str]:
    """Return a change of case, for texts in which Python and JavaScript agree."""

    def method(value: str) -> str:
        if not value.isascii() and "\u03a3" in value:
            raise Error("the case of a final sigma depends on the version of Unicode")
        return change(value)

    return method


_TEXTS: Final[dict[str, Callable[..., Any]]] = {
    "at": _at,
    "charAt": lambda value, place: (
        only_units(value)[int(number(place)) : int(number(place)) + 1] if number(place) >= 0 else ""
    ),
    "concat": lambda value, *given: value + "".join(map(text, given)),
    "endsWith": lambda value, end: value.endswith(_plain_text(end, "endsWith")),
    "includes": lambda value, part: _plain_text(part, "includes") in value,
    "indexOf": _index_of,
    "padEnd": lambda value, length, filler=" ": _pad(value, length, filler, at_start=False),
    "padStart": lambda value, length, filler=" ": _pad(value, length, filler, at_start=True),
    "replace": _replace,
    "replaceAll": lambda value, old, new: _replace(value, old, new, -1),
    "slice": _slice,
    "split": _split,
    "startsWith": lambda value, start: value.startswith(_plain_text(start, "startsWith")),
    "substr": _substr,
    "substring": _substring,
    "toLowerCase": _case(str.lower),
    "toString": lambda value: value,
    "toUpperCase": _case(str.upper),
    "trim": lambda value: value.strip(_SPACE),
    "trimEnd": lambda value: value.rstrip(_SPACE),
    "trimStart": lambda value: value.lstrip(_SPACE),
}

_ARRAYS: Final[dict[str, Callable[..., Any]]] = {
    "at": _at,
    "concat": _concat,
    "flat": _flat,
    "includes": _includes,
    "indexOf": _index_of,
    "join": _join,
    "pop": _pop,
    "push": _push,
    "reverse": _reverse,
    "shift": _shift,
    "slice": _slice,
    "toString": text,
    "unshift": _unshift,
}
