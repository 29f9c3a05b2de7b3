"""Regular expressions of JavaScript, and what is certain of them in Python.

The text is read part by part, and only known parts pass.  The two languages differ in flags other than g and i, names,
looking around, references, and groups that repeat with something that they keep.  These are left.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from jobcell.moving.script.tree import MAX_DEPTH, Node, UntranslatedError, text_of

_SPACE: Final = r"\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_LINE_ENDS: Final = r"\n\r\u2028\u2029"
_CLASSES: Final = {"d": "[0-9]", "w": "[A-Za-z0-9_]", "s": f"[{_SPACE}]"}
_OTHERS: Final = {"D": "[^0-9]", "W": "[^A-Za-z0-9_]", "S": f"[^{_SPACE}]"}
_SIGNS: Final = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f", "v": r"\v"}
_TIMES: Final = re.compile(r"[*+?]|\{[0-9]{1,3}(?:,(?:[0-9]{1,3})?)?\}")
_MOST: Final = 2_000
"""Longest expression, in characters."""


class Pattern(NamedTuple):
    """An expression in Python's words."""

    text: str
    every: bool
    """Whether it has the flag g."""
    least: int
    """The fewest characters that it matches."""
    wide: bool
    """Whether it can match a character that is not written in it."""
    groups: int


class _Part(NamedTuple):
    text: str
    least: int


class _Reader:
    def __init__(self, text: str, node: Node, *, ignore_case: bool) -> None:
        self._text = text
        self._node = node
        self._place = 0
        self._ignore_case = ignore_case
        self.wide = False
        self.groups = 0

    def whole(self) -> _Part:
        part = self._choice(0)
        if self._place < len(self._text):
            raise self._left("a bracket that is not opened")
        return part

    def _left(self, why: str) -> UntranslatedError:
        return UntranslatedError(f"a regular expression with {why}", self._node)

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _next(self) -> str:
        sign = self._peek()
        self._place += 1
        return sign

    def _choice(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            raise self._left("too many brackets in each other")
        ways = [self._sequence(depth)]
        while self._peek() == "|":
            self._next()
            ways.append(self._sequence(depth))
        return _Part("|".join(way.text for way in ways), min(way.least for way in ways))

    def _sequence(self, depth: int) -> _Part:
        found, least = "", 0
        while (sign := self._peek()) and sign not in "|)":
            part = self._repeated(depth)
            found, least = found + part.text, least + part.least
        return _Part(found, least)

    def _repeated(self, depth: int) -> _Part:
        before = self.groups
        sign = self._peek()
        part = self._atom(depth)
        times = _TIMES.match(self._text, self._place)
        if times is None:
            return part
        if sign in "^$" or part.text == r"\b":
            raise self._left("an anchor that repeats")
        if self.groups > before or part.least == 0:
            raise self._left("a group that repeats, and keeps or matches nothing")
        self._place = times.end()
        lazy = self._next() if self._peek() == "?" else ""
        numbers = [int(one) for one in re.findall(r"[0-9]+", times[0])]
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            raise self._left("a range of numbers that is empty")
        fewest = {"*": 0, "?": 0, "+": 1}.get(times[0], numbers[0] if numbers else 0)
        return _Part(part.text + times[0] + lazy, part.least * fewest)

    def _atom(self, depth: int) -> _Part:
        sign = self._next()
        if sign == "^":
            return _Part("^", 0)
        if sign == "$":
            return _Part(r"\Z", 0)
        if sign == ".":
            self.wide = True
            return _Part(f"[^{_LINE_ENDS}]", 1)
        if sign == "(":
            return self._group(depth)
        if sign == "[":
            return _Part(self._class(), 1)
        if sign == "\\":
            return self._escape()
        if sign in "*+?{}]":
            raise self._left(f"{sign} in this place")
        return _Part(self._literal(sign), 1)

    def _group(self, depth: int) -> _Part:
        kept = not self._text.startswith("?", self._place)
        if not kept and not self._text.startswith("?:", self._place):
            raise self._left(f"({self._text[self._place : self._place + 2]}")
        self._place += 0 if kept else 2
        self.groups += kept
        part = self._choice(depth + 1)
        if self._next() != ")":
            raise self._left("a bracket that is not closed")
        return _Part(f"({part.text})" if kept else f"(?:{part.text})", part.least)

    def _escape(self) -> _Part:
        sign = self._next()
        if sign == "b":
            return _Part(r"\b", 0)
        if sign in _OTHERS:
            self.wide = True
            return _Part(_OTHERS[sign], 1)
        known = _CLASSES.get(sign) or _SIGNS.get(sign)
        return _Part(known or self._literal(self._punctuation(sign)), 1)

    def _punctuation(self, sign: str) -> str:
        if not sign or sign.isalnum() or not sign.isascii():
            raise self._left(f"\\{sign}")
        return sign

    def _literal(self, sign: str) -> str:
        if not sign.isascii() and (self._ignore_case or sign > "\uffff"):
            raise self._left(f"the character {sign}")
        return re.escape(sign)

    def _class(self) -> str:
        negated = self._peek() == "^"
        if negated:
            self._next()
            self.wide = True
        items: list[str] = []
        while (sign := self._next()) != "]":
            if not sign:
                raise self._left("a bracket that is not closed")
            item, is_single = self._item(sign)
            if self._peek() == "-" and self._text[self._place + 1 : self._place + 2] != "]":
                self._next()
                end, ends_single = self._item(self._next())
                if not (is_single and ends_single):
                    raise self._left("a range of classes")
                item += f"-{end}"
            items.append(item)
        if not items:
            raise self._left("[] or [^]")
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _item(self, sign: str) -> tuple[str, bool]:
        if not sign:
            raise self._left("a bracket that is not closed")
        if sign != "\\":
            return self._literal(sign) if sign.isalnum() else _in_class(
                self._literal(sign), sign
            ), True
        sign = self._next()
        if sign in _CLASSES:
            return _CLASSES[sign][1:-1], False
        if sign in _SIGNS:
            return _SIGNS[sign], True
        return _in_class(self._literal(self._punctuation(sign)), sign), True


def _in_class(escaped: str, sign: str) -> str:
    """Return a sign in a class; Python warns of some that have no backslash."""
    return f"\\{sign}" if sign.isascii() and not sign.isspace() else escaped


def pattern_of(node: Node) -> Pattern:
    """Return an expression `/.../flags` of a script in Python's words.

    Raises:
        UntranslatedError: The two languages may read it in two ways.

    """
    body, _, flags = text_of(node)[1:].rpartition("/")
    if set(flags) - set("gi"):
        raise UntranslatedError(f"a regular expression with the flags {flags}", node)
    if len(body) > _MOST:
        raise UntranslatedError(f"a regular expression of more than {_MOST} characters", node)
    reader = _Reader(body, node, ignore_case="i" in flags)
    part = reader.whole()
    text = f"(?i:{part.text})" if "i" in flags else part.text
    try:
        re.compile(text, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise UntranslatedError(
            f"a regular expression that Python refuses: {error}", node
        ) from None
    return Pattern(text, "g" in flags, part.least, reader.wide, reader.groups)
