"""The fixed parts of the engine's own messages, to be left readable where a secret is a word of them.

A message such as ``the child died at its memory limit of 500 MB (memory_mb)`` is made of fixed
parts and of values.  With a secret ``memory`` the fixed part must stay, and a value must go.
The message that arrives is one text, often made in a child.  So the fixed parts are taken from
where they are written: the string literals in the source of our packages.
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
"""A value within a literal: of an f-string, of `str.format`, of ``%``."""

_ESCAPES: Final = {"\\n": "\n", '\\"': '"', "\\'": "'", "\\\\": "\\"}
_CONTEXT_CHARACTERS: Final = 3
"""A part that is hardly longer than a secret says too little about where the secret comes from."""

_MAX_PLACES: Final = 500
"""Occurrences of a secret among all parts that are compared; an ordinary word has fewer."""


class OwnWords:
    """Fixed parts of messages.  Unchanging."""

    def __init__(self, parts: Iterable[str]) -> None:
        self._joined = "\0" + "\0".join(sorted(set(parts))) + "\0"

    def cover(self, text: str, start: int, stop: int) -> bool:
        """Whether ``text[start:stop]`` lies within a fixed part that *text* has at this place.

        The part must be longer than what it covers, or any word of ours would excuse a secret.
        """
        hit = text[start:stop]
        if "\0" in hit:
            return False
        joined = self._joined
        place = joined.find(hit)
        for _ in range(_MAX_PLACES):
            if place < 0:
                return False
            begin = joined.rindex("\0", 0, place) + 1
            end = joined.index("\0", place)
            first = start - (place - begin)
            longer = end - begin >= len(hit) + _CONTEXT_CHARACTERS
            if longer and first >= 0 and text.startswith(joined[begin:end], first):
                return True
            place = joined.find(hit, place + 1)
        return False


@cache
def own_words() -> OwnWords:
    """Return the fixed parts of all messages of the engine and of the child.

    Read once, when a secret is first found in a message of ours; it takes some 20 ms.  Where the
    packages have no source, there are none, and such a message is redacted like any other.
    """
    return OwnWords(part for file in _sources() for part in parts_of(file))


def parts_of(file: Path) -> Iterator[str]:
    """Yield the parts between the values of each double-quoted literal in a source file."""
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for literal in _LITERAL.findall(source):
        for part in _VALUE.split(literal):
            if len(part) > _CONTEXT_CHARACTERS:
                yield re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], "\0"), part)


def _sources() -> Iterator[Path]:
    for package in _PACKAGES:
        spec = find_spec(package)
        for directory in (spec and spec.submodule_search_locations) or ():
            yield from Path(directory).rglob("*.py")
