"""Finds any of many byte strings (needles) in one pass, with only `re`.

A trie of whole needles is slow in the common case, in which nothing is found.  At every byte of the
text it has to rule out the first byte of every needle.  So each needle is represented by a piece of
it that begins at its rarest byte.  The pieces of hundreds of needles begin with few different
bytes, all of them rare, and `re` skips all other bytes at a nanosecond each.  Where a piece is
found, its needles are compared in full.

`benchmarks/bench_redaction.py` compares this with pyahocorasick (three times slower) and with
an ordinary alternation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final

_PIECE_BYTES: Final = 6
"""Length of a piece.  A longer piece makes a larger pattern, but hardly saves comparisons."""

_MIN_PIECE_BYTES: Final = 3
_MIN_NEEDLE_BYTES: Final = 6
_ANCHOR_REACH: Final = 256
"""The rarest byte of a needle is chosen among this number of its first bytes."""

_ALTERNATIVES: Final = 4
"""Number of rare byte positions that are tried for each needle, if its piece is shared too much."""

_SHARING: Final = 4
"""A piece of this number of needles is shared too much.  The forms of one secret may share a piece;
the keys of one vendor, which all begin alike, should not."""

_CAPITALS: Final = b"QXJKVWYHGUFBLPOMDNRCEISTAZ"
_BY_FREQUENCY: Final = (
    _CAPITALS + b"+/=%\\'(){}[]<>;&*~^$#@!?|`qzjxkvb5768943gwypfmu210chdlrsnoiate-_.:,\"\n "
)
_RANKS: Final = bytes(
    _BY_FREQUENCY.index(byte) if byte in _BY_FREQUENCY else len(_CAPITALS) for byte in range(256)
)
"""Rank of each byte in JSON and prose, the rarest first.  Control characters, the heads of msgpack
and bytes beyond ASCII come between the capitals and the other characters.  A wrong guess only costs
time."""

_LAST_BYTES: Final = 16
_FREE_COMPARISONS: Final = 1000
_BYTES_PER_COMPARISON: Final = 8


class Matcher:
    """Finds needles of six bytes or more, in time that is linear in the text.  It never changes.

    The time is linear even for a text that almost matches again and again (text and needles may
    come from the same author).  Such a text counts as a single hit, once needles were compared more
    often than once for eight bytes.
    """

    def __init__(self, needles: Iterable[bytes]) -> None:
        self.needles = sorted(set(needles))
        self._candidates: dict[bytes, list[tuple[int, bytes]]] = {}
        for needle in self.needles:
            if len(needle) < _MIN_NEEDLE_BYTES:
                raise ValueError(f"a needle has at least {_MIN_NEEDLE_BYTES} bytes")
            offset = self._choose_anchor(needle)
            piece = needle[offset : offset + _PIECE_BYTES]
            self._candidates.setdefault(piece, []).append((offset, needle))
        self._pieces = _compile_trie(self._candidates)
        # The pattern matches the longest piece, which also represents the shorter pieces it begins
        # with.
        for piece, standing in self._candidates.items():
            for size in range(_MIN_PIECE_BYTES, len(piece)):
                standing.extend(
                    pair
                    for pair in self._candidates.get(piece[:size], ())
                    if pair[1][pair[0] : pair[0] + _PIECE_BYTES] == piece[:size]
                )
        self._openings: _Openings | None = None

    def may_be_in(self, data: bytes) -> bool:
        """Whether a needle may occur in *data*: never False with one, seldom True without."""
        return self._pieces.search(data) is not None

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return the spans of needles, in order; needles that overlap are one span."""
        return merge(self._hits(data))

    def opening(self, data: bytes) -> int:
        """Return the place from which the rest of *data* may be the beginning of a needle.

        Without such a rest the place is ``len(data)``.
        """
        if self._openings is None:
            self._openings = _Openings(self.needles)
        return self._openings.find(data)

    def _hits(self, data: bytes) -> Iterator[tuple[int, int]]:
        search = self._pieces.search
        allowance = _FREE_COMPARISONS + len(data) // _BYTES_PER_COMPARISON
        match = search(data)
        while match:
            place = match.start()
            for offset, needle in self._candidates[match[0]]:
                allowance -= 1
                start = place - offset
                if start >= 0 and data.startswith(needle, start):
                    yield start, start + len(needle)
            if allowance < 0:
                yield 0, len(data)
                return
            match = search(data, place + 1)

    def _choose_anchor(self, needle: bytes) -> int:
        last = min(len(needle) - _MIN_PIECE_BYTES, _ANCHOR_REACH)
        ranks = needle[: last + 1].translate(_RANKS)
        best = ranks.index(min(ranks))
        if self._load(needle, best) < _SHARING:
            return best
        places = sorted(range(last + 1), key=ranks.__getitem__)
        return min(places[:_ALTERNATIVES], key=lambda place: self._load(needle, place) // _SHARING)

    def _load(self, needle: bytes, place: int) -> int:
        return len(self._candidates.get(needle[place : place + _PIECE_BYTES], ()))


class Layers:
    """Matchers of needles that came one after another, used like a single matcher.

    A run may get a credential for each step.  A layer is rebuilt only together with another of
    about its size, so every needle is compiled a few times, and not once for each credential.
    """

    def __init__(self, layers: tuple[Matcher, ...] = ()) -> None:
        self._layers = layers

    @property
    def finder(self) -> Matcher | Layers:
        """The object that searches: a sole layer itself, which avoids a call for each text."""
        return self._layers[0] if len(self._layers) == 1 else self

    def and_also(self, needles: Iterable[bytes]) -> Layers:
        """Return matchers that also find *needles*."""
        added = set(needles)
        layers = list(self._layers)
        while layers and len(layers[-1].needles) <= _GROWTH * len(added):
            added.update(layers.pop().needles)
        return Layers((*layers, Matcher(added))) if added else self

    def with_layer(self, layer: Matcher) -> Layers:
        """Return matchers that also find the needles of *layer*, which was made elsewhere."""
        return Layers((layer, *self._layers))

    def may_be_in(self, data: bytes) -> bool:
        """Whether a needle may occur in *data*: never False with one, seldom True without."""
        return any(layer.may_be_in(data) for layer in self._layers)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return the spans of needles, in order; needles that overlap are one span."""
        return merge(span for layer in self._layers for span in layer.spans(data))

    def opening(self, data: bytes) -> int:
        """Return the place from which the rest of *data* may be the beginning of a needle."""
        return min((layer.opening(data) for layer in self._layers), default=len(data))


_GROWTH: Final = 4
"""A layer stays as it is if it is this many times larger than the added needles."""


def merge(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *spans* in order; spans that overlap become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


class _Openings:
    """Finds the beginning of a needle at the end of a text."""

    def __init__(self, needles: list[bytes]) -> None:
        self._longest = max(map(len, needles))
        self._by_head: dict[bytes, list[bytes]] = {}
        self._short = {needle[:size] for needle in needles for size in range(1, _MIN_NEEDLE_BYTES)}
        for needle in needles:
            self._by_head.setdefault(needle[:_MIN_NEEDLE_BYTES], []).append(needle)
        self._heads = _compile_trie(self._by_head)

    def find(self, data: bytes) -> int:
        begin = max(0, len(data) - self._longest + 1)
        match = self._heads.search(data, begin)
        allowance = _FREE_COMPARISONS + (len(data) - begin) // _BYTES_PER_COMPARISON
        while match:
            place = match.start()
            size = len(data) - place
            for needle in self._by_head[match[0]]:
                allowance -= 1
                # The last bytes nearly always differ; without this test a long text would be
                # compared and copied.
                if len(needle) > size and data.endswith(needle[max(0, size - _LAST_BYTES) : size]):
                    allowance -= size // _BYTES_PER_COMPARISON
                    if needle.startswith(data[place:]):
                        return place
            if allowance < 0:
                return place  # treated as a beginning: more is held back, but the time is linear
            match = self._heads.search(data, place + 1)
        for size in range(min(_MIN_NEEDLE_BYTES - 1, len(data)), 0, -1):
            if data[-size:] in self._short:
                return len(data) - size
        return len(data)


def _compile_trie(words: Iterable[bytes]) -> re.Pattern[bytes]:
    """Compile a pattern that matches the longest of *words* and looks at each byte once."""
    root: dict[int, Any] = {}
    for word in words:
        node = root
        for byte in word:
            node = node.setdefault(byte, {})
        node[_END] = None
    return _compile(_pattern(root))


def _compile(pattern: bytes) -> re.Pattern[bytes]:
    """Compile like `re.compile`, but without its cache, which keeps the last 512 patterns.

    A pattern consists of pieces of secrets, and must be gone after the run.  `re.purge` would empty
    the cache for the whole program.
    """
    compiled: re.Pattern[bytes] = _compiler.compile(pattern, re.DOTALL)
    return compiled


_compiler: Final[Any] = import_module("re._compiler")
"""The module that `re.compile` calls, in CPython 3.11 to 3.14; a test fails where it does not
exist."""


_END: Final = -1


def _pattern(node: dict[int, Any]) -> bytes:
    if len(node) == 1:  # most nodes
        [(byte, child)] = node.items()
        return b"" if byte == _END else _ESCAPED[byte] + _pattern(child)
    # `re` tries branches in order, so the most frequent byte is the first.
    branches = [
        _ESCAPED[byte] + _pattern(node[byte])
        for byte in sorted(node.keys() - {_END}, key=_RANKS.__getitem__, reverse=True)
    ]
    return b"(?:" + b"|".join(branches) + b")" + (b"?" if _END in node else b"")


_ESCAPED: Final = [re.escape(bytes([byte])) for byte in range(256)]
