"""Keeps the fixed parts of the engine's messages readable where a secret is a word in them.

A message such as ``the child died at its memory limit of 500 MB (memory_mb)`` has fixed parts and
values.  With a secret ``memory``, the fixed part must stay, but a value must be hidden.  The engine
gets a message as one text, often from a child.  So the fixed parts are read from the place where
they are written: the string literals in the source of our packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("engine", "protocol", "sandbox_child")
_LITERAL: Final = re.compile(r'"((?:[^"\\\n]|\\.)+)"')
_VALUE: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|%[sdr]")
"""A value within a literal of an f-string, of `str.format` or of ``%``."""

_ESCAPES: Final = {"\\n": "\n", '\\"': '"', "\\'": "'", "\\\\": "\\"}
_CONTEXT_CHARACTERS: Final = 2
"""A part must be longer than the secret by this number of characters, to show that the word is
ours."""

_SIBLING_CHARACTERS: Final = 6
"""Without that, another part of the same literal, of this length or more, must be in the
message."""

_LITERALS, _VALUES = "\0", "\1"
"""The characters between literals, and in place of a value."""

_MAX_PLACES: Final = 200
"""Most occurrences of a secret among all parts that are compared; an ordinary word has fewer."""


class OwnWords:
    """Fixed parts of messages.  The object never changes.

    Args:
        literals: The literals, each with the character 1 in place of its values.

    """

    def __init__(self, literals: Iterable[str]) -> None:
        self._joined = _LITERALS + _LITERALS.join(sorted(set(literals))) + _LITERALS

    def cover(self, text: str, start: int, stop: int) -> bool:
        """Whether ``text[start:stop]`` is within a fixed part that *text* has at this place.

        The part must be longer than the covered text: otherwise any word of ours would excuse a
        secret.
        """
        hit = text[start:stop]
        if not hit or _LITERALS in hit or _VALUES in hit:
            return False
        joined = self._joined
        place = joined.find(hit)
        for _ in range(_MAX_PLACES):
            if place < 0:
                return False
            begin, end = self._part_around(place, place + len(hit))
            first = start - (place - begin)
            if (
                first >= 0
                and text.startswith(joined[begin:end], first)
                and (
                    end - begin >= len(hit) + _CONTEXT_CHARACTERS
                    or self._has_sibling(text, first, begin, end)
                )
            ):
                return True
            place = joined.find(hit, place + 1)
        return False

    def frame_number(self, text: str, start: int, stop: int) -> bool:
        """Whether ``text[start:stop]`` is a number at a place where a literal has a value."""
        if not text[start:stop].replace(".", "", 1).isdecimal():
            return False
        before = text[max(0, start - _SIBLING_CHARACTERS) : start]
        after = text[stop : stop + _SIBLING_CHARACTERS]
        longest = max(len(before), len(after))
        return longest == _SIBLING_CHARACTERS and f"{before}{_VALUES}{after}" in self._joined

    def _part_around(self, start: int, stop: int) -> tuple[int, int]:
        joined = self._joined
        begin = max(joined.rfind(_LITERALS, 0, start), joined.rfind(_VALUES, 0, start)) + 1
        ends = (joined.find(_LITERALS, stop), joined.find(_VALUES, stop))
        return begin, min(end for end in ends if end >= 0)

    def _has_sibling(self, text: str, place: int, begin: int, end: int) -> bool:
        """Whether *text* has another part of the literal before or after the part at *place*."""
        joined = self._joined
        size = end - begin
        behind = joined[end : joined.index(_LITERALS, end)].split(_VALUES)[1:]
        ahead = joined[joined.rindex(_LITERALS, 0, begin) + 1 : begin].split(_VALUES)[:-1]
        return any(
            len(part) >= _SIBLING_CHARACTERS and text.find(part, place + size) >= 0
            for part in behind
        ) or any(
            len(part) >= _SIBLING_CHARACTERS and text.find(part, 0, place) >= 0 for part in ahead
        )


@cache
def own_words() -> OwnWords:
    """Return the fixed parts of all messages of the engine and of the child.

    The source is read once, when a secret is first found in a message of ours; this takes about 20
    ms.  If the packages come without source, the result is empty, and our messages are redacted
    like others.
    """
    return OwnWords(literal for file in _sources() for literal in literals_of(file))


def literals_of(file: Path) -> Iterator[str]:
    """Yield each double-quoted literal in a source file, with the character 1 for each value."""
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for literal in _LITERAL.findall(source):
        plain = re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], _VALUES), literal)
        if len(plain) > _SIBLING_CHARACTERS and _LITERALS not in plain:
            yield _VALUE.sub(_VALUES, plain)


def _sources() -> Iterator[Path]:
    for package in _PACKAGES:
        spec = find_spec(package)
        for directory in (spec and spec.submodule_search_locations) or ():
            yield from Path(directory).rglob("*.py")
