"""Pieces of Python that are put together from a translation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Final

LINE: Final = 88
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Code:
    """A Python expression.

    Attributes:
        text: The expression.
        kind: The type of its value, as far as it is certain: bool, text, number, list, dict, or any.
        undefined: Whether it may be undefined, or contain it.
        whole: Whether it needs no brackets as a part of another expression.

    """

    text: str
    kind: str = "any"
    undefined: bool = True
    whole: bool = True

    def part(self) -> str:
        """Return the text as a part of an operation."""
        return self.text if self.whole else f"({self.text})"


def literal(value: object) -> Code:
    """Return the code of a constant."""
    if isinstance(value, str):
        return Code(quoted(value), "text", undefined=False)
    kind = "bool" if isinstance(value, bool) else "any" if value is None else "number"
    return Code(repr(value), kind, undefined=False, whole=not repr(value).startswith("-"))


def quoted(value: str) -> str:
    """Return a text as a Python literal, in double quotes if it can be."""
    shown = repr(value)
    if shown[0] == "'" and '"' not in value and "'" not in value:
        return f'"{shown[1:-1]}"'
    return shown


def call(
    function: str, arguments: Sequence[str], kind: str = "any", *, undefined: bool = True
) -> Code:
    """Return the code of a call."""
    return Code(f"{function}{enclosed('(', arguments, ')')}", kind, undefined=undefined)


def listed(items: Sequence[str], *, undefined: bool) -> Code:
    """Return the code of a list."""
    return Code(enclosed("[", items, "]"), "list", undefined=undefined)


def mapped(items: Sequence[str], *, undefined: bool) -> Code:
    """Return the code of a dict, whose items are `key: value` or `**value`."""
    return Code(enclosed("{", items, "}"), "dict", undefined=undefined)


def enclosed(opening: str, items: Sequence[str], closing: str) -> str:
    """Return items in brackets, on a line each if one line is too short."""
    short = opening + ", ".join(items) + closing
    if len(short) <= LINE and "\n" not in short:
        return short
    if len(items) == 1 and "\n" in items[0] and items[0][0] in "[{":
        return opening + items[0] + closing
    return f"{opening}\n{shifted(items)}\n{closing}"


def shifted(items: Iterable[str]) -> str:
    """Return items on a line each, four columns to the right."""
    return "\n".join(indent(f"{item},", "    ") for item in items)


def is_identifier(name: str) -> bool:
    """Return whether Python and the language of jobs take a text for a name."""
    return _IDENTIFIER.fullmatch(name) is not None
