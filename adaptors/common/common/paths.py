"""The part of JSONPath that job authors use.

| written | means |
|---|---|
| `$`, or nothing | the document |
| `.name`, `['name']` | the value of a key (of a list, `.0` is an item) |
| `[0]`, `[-1]` | an item of a list, counted from the end if negative |
| `[1:3]`, `[::2]` | a slice of a list |
| `[*]`, `.*` | every item of a list, every value of a dict |
| `[0,2]`, `['a','b']` | several of these |
| `..name`, `..*` | at any depth |
| `[?(@.age > 18 && @.name)]` | the items for which a condition holds |

Conditions compare a path that begins at `@` with a literal (`== != === !== < <= > >=`), or ask
whether it exists; `&&` and `||` join them, `&&` first.  Script expressions (`[(@.length-1)]`) are
left out, because they need an evaluator: write `[-1]`.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from .errors import PathError

Choice: TypeAlias = Callable[[Any], Iterator[Any]]


class Segment(NamedTuple):
    """A step of a path: the choices, and whether they apply at any depth."""

    choices: tuple[Choice, ...]
    descend: bool


_NAME = re.compile(r"[^.\[\]]+")
_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?[1-9]\d*))?")
_TEST = re.compile(
    r"(!?)@((?:\[[^\]]*\]|[^=!<>\s\[])*)\s*(?:(===|!==|==|!=|<=|>=|<|>)\s*(.+))?", re.DOTALL
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "===": operator.eq,
    "!=": operator.ne,
    "!==": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def find(document: Any, path: str) -> list[Any]:
    """Return every value of *document* that *path* points at, in the order of the document.

    Raises:
        PathError: *path* does not have one of the forms above.

    """
    found = [document]
    for segment in _segments(path):
        places = (
            [place for value in found for place in _descend(value)] if segment.descend else found
        )
        found = [hit for place in places for choice in segment.choices for hit in choice(place)]
    return found


def find_first(document: Any, path: str) -> Any:
    """Return the first value that *path* points at, or None."""
    return next(iter(find(document, path)), None)


def _segments(path: str) -> Iterator[Segment]:
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        descend = path.startswith("..", at)
        at += 2 if descend else path.startswith(".", at)
        if path.startswith("[", at):
            end = _closing(path, at)
            yield Segment(tuple(_choices(path[at + 1 : end], path)), descend)
            at = end + 1
        elif match := _NAME.match(path, at):
            yield Segment((_named(match[0]) if match[0] != "*" else _every,), descend)
            at = match.end()
        else:
            raise PathError(f"not a JSONPath: {path!r}, at character {at + 1}", path=path)


def _closing(path: str, start: int) -> int:
    """Return the place that closes the bracket at *start*, outside quotes."""
    depth, quote = 0, ""
    for at in range(start, len(path)):
        char = path[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return at
    raise PathError(f"not a JSONPath: {path!r}, '[' is not closed", path=path)


def _choices(text: str, path: str) -> Iterator[Choice]:
    inner = text.strip()
    if inner.startswith("?"):
        yield _filtered(inner[1:].strip(), path)
        return
    for part in map(str.strip, _split(inner, ",")):
        if part == "*":
            yield _every
        elif len(part) > 1 and part[0] in "'\"" and part[-1] == part[0]:
            yield _named(part[1:-1])
        elif re.fullmatch(r"-?\d+", part):
            yield _item(int(part))
        elif match := _SLICE.fullmatch(part):
            yield _sliced(*(int(number) if number else None for number in match.groups()))
        else:
            raise PathError(f"not a JSONPath: {path!r}, [{part}] is not understood", path=path)


def _split(text: str, separator: str) -> list[str]:
    """Split *text* at *separator*, outside quotes."""
    parts, quote, start = [], "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif text.startswith(separator, at):
            parts.append(text[start:at])
            start = at + len(separator)
    return [*parts, text[start:]]


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value


def _named(name: str) -> Choice:
    def choose(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        elif isinstance(value, list | tuple) and name.isdecimal() and int(name) < len(value):
            yield value[int(name)]

    return choose


def _item(index: int) -> Choice:
    def choose(value: Any) -> Iterator[Any]:
        if isinstance(value, list | tuple) and -len(value) <= index < len(value):
            yield value[index]

    return choose


def _sliced(*bounds: int | None) -> Choice:
    return lambda value: iter(value[slice(*bounds)] if isinstance(value, list | tuple) else ())


def _descend(value: Any) -> Iterator[Any]:
    yield value
    for child in _every(value):
        yield from _descend(child)


def _filtered(text: str, path: str) -> Choice:
    inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    alternatives = [
        [_test(part.strip(), path) for part in _split(alternative, "&&")]
        for alternative in _split(inner, "||")
    ]

    def choose(value: Any) -> Iterator[Any]:
        for item in _every(value):
            if any(all(test(item) for test in tests) for tests in alternatives):
                yield item

    return choose


def _test(text: str, path: str) -> Callable[[Any], bool]:
    match = _TEST.fullmatch(text)
    if match is None:
        raise PathError(
            f"not a JSONPath: {path!r}, condition {text!r} is not understood", path=path
        )
    negated, inner, comparison, literal_text = match.groups()
    if comparison is None:
        return lambda item: bool(find(item, inner)) != bool(negated)
    literal, compare = _literal(literal_text, path), _COMPARE[comparison]

    def holds(item: Any) -> bool:
        try:
            return any(compare(value, literal) for value in find(item, inner)) != bool(negated)
        except TypeError:  # values of different kinds have no order
            return False

    return holds


def _literal(text: str, path: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        raise PathError(f"not a JSONPath: {path!r}, {text!r} is not a literal", path=path) from None
