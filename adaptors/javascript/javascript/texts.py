"""Texts of values: `String(value)`, templates, and JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from .numbers import normal
from .objects import keys, parts
from .values import MAX_DEPTH, Error, kind, undefined

_EXPONENT: Final = re.compile(r"e([+-])0*([0-9]+)$")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def text(value: Any, depth: int = 0) -> str:
    """Return `String(value)`.

    Raises:
        Error: JavaScript has no text for the value that this module knows.

    """
    if isinstance(value, str):
        return value
    if value is None or value is undefined:
        return "null" if value is None else "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return digits(value)
    if depth > MAX_DEPTH:
        raise Error(f"an array is nested in more than {MAX_DEPTH} others")
    if isinstance(value, list):
        shown = (
            "" if item is None or item is undefined else text(item, depth + 1) for item in value
        )
        return ",".join(shown)
    if isinstance(value, dict) and not {"toString", "valueOf"} & value.keys():
        return "[object Object]"
    raise Error(f"{kind(value)} has no text in JavaScript")


def digits(value: float) -> str:
    """Return a number as JavaScript writes it."""
    exact = normal(value)
    if isinstance(exact, int):
        return str(exact)
    shown = repr(exact)
    if not 1e-6 <= abs(exact) < 1e21:
        return _EXPONENT.sub(r"e\1\2", shown).replace(".0e", "e")
    return shown if "e" not in shown else _without_exponent(exact)


def _without_exponent(value: float) -> str:
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole = mantissa.replace(".", "").removesuffix("0" if mantissa.endswith(".0") else "")
    sign, places = "-" if value < 0 else "", int(exponent)
    if places < 0:
        return f"{sign}0.{'0' * (-places - 1)}{whole}"
    return sign + whole.ljust(places + 1, "0")


def template(*pieces: Any) -> str:
    """Return the text of a template: the texts of all pieces."""
    return "".join(map(text, pieces))


def stringify(value: Any, indent: Any = 0) -> Any:
    """Return `JSON.stringify(value, null, indent)`."""
    if isinstance(indent, bool) or not isinstance(indent, int):
        raise Error("the indent of JSON.stringify is not a whole number")
    if value is undefined:
        return undefined
    return _json(value, " " * min(max(indent, 0), 10), "\n", 0)


def _json(value: Any, indent: str, line: str, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise Error(f"a value is nested in more than {MAX_DEPTH} others, or contains itself")
    if value is None or isinstance(value, bool | int | float):
        return text(value)
    if isinstance(value, str):
        written = json.dumps(value, ensure_ascii=False)
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
    inner = line + indent
    if isinstance(value, list):
        shown = [
            "null" if item is undefined else _json(item, indent, inner, depth + 1) for item in value
        ]
        return _enclosed("[", shown, "]", indent, line)
    if isinstance(value, dict):
        if "toJSON" in value:
            raise Error("an object with toJSON writes itself")
        found, colon = parts(value), ": " if indent else ":"
        shown = [
            _json(name, "", "", 0) + colon + _json(found[name], indent, inner, depth + 1)
            for name in keys(value)
            if found[name] is not undefined
        ]
        return _enclosed("{", shown, "}", indent, line)
    raise Error(f"{kind(value)} has no JSON")


def _enclosed(opening: str, shown: list[str], closing: str, indent: str, line: str) -> str:
    if not shown or not indent:
        return opening + ",".join(shown) + closing
    return f"{opening}{line}{indent}{(',' + line + indent).join(shown)}{line}{closing}"


def parse(source: Any) -> Any:
    """Return `JSON.parse(source)`."""
    if not isinstance(source, str):
        source = text(source)

    def refuse(word: str) -> Any:
        raise Error(f"{word} is not JSON")

    try:
        return json.loads(
            source,
            parse_float=lambda found: normal(float(found)),
            parse_int=lambda found: normal(int(found)),
            parse_constant=refuse,
        )
    except (ValueError, RecursionError) as error:
        raise Error(f"a text is not JSON: {error}") from None
