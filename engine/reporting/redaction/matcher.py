"""Finds any of many byte strings in one pass, with nothing but `re`.

A trie of whole needles is slow in the common case, in which nothing is found: at every byte of
the text it has to rule out the first byte of every needle.  So each needle is represented by a
piece of it that begins at its rarest byte.  The pieces of hundreds of needles begin with few
different bytes, none of them frequent, and `re` skips all others at a nanosecond each.  Where a
piece is found, the needles that it stands for are compared in full.

`benchmarks/bench_redaction.py` compares this with pyahocorasick (three times slower) and with
an ordinary alternation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final

_PIECE_BYTES: Final = 6
"""A longer piece makes a larger pattern, and is hardly ever found where its needle is not."""

_MIN_PIECE_BYTES: Final = 3
_MIN_NEEDLE_BYTES: Final = 6
_ANCHOR_REACH: Final = 256
"""So far into a needle its rarest byte is looked for."""

_ALTERNATIVES: Final = 4
"""From so many of its rarest bytes a needle chooses ..."""

_SHARING: Final = 4
"""... if so many needles share a piece: the forms of one secret may, the keys of one vendor,
which all begin alike, shall not."""

_CAPITALS: Final = b"QXJKVWYHGUFBLPOMDNRCEISTAZ"
_BY_FREQUENCY: Final = (
    _CAPITALS + b"+/=%\\'(){}[]<>;&*~^$#@!?|`qzjxkvb5768943gwypfmu210chdlrsnoiate-_.:,\"\n "
)
_RANKS: Final = bytes(
    _BY_FREQUENCY.index(byte) if byte in _BY_FREQUENCY else len(_CAPITALS) for byte in range(256)
)
"""Bytes of JSON and prose, the rarest first; between capitals and the rest come control
characters, the heads of msgpack, and what is not ASCII.  A wrong guess costs time, nothing else."""

_LAST_BYTES: Final = 16
_FREE_COMPARISONS: Final = 1000
_BYTES_PER_COMPARISON: Final = 8


class Matcher:
    """Finds needles of six bytes or more.  Unchanging; time is linear in the text.

    Linear for every text: one that keeps almost matching (both it and the needles may come
    from the same author) is taken for a single hit once the comparisons of needles are more
    than one for eight bytes.
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
        # The pattern matches the longest piece: it stands for those that it begins with, too.
        for piece, standing in self._candidates.items():
            for size in range(_MIN_PIECE_BYTES, len(piece)):
                standing.extend(
                    pair
                    for pair in self._candidates.get(piece[:size], ())
                    if pair[1][pair[0] : pair[0] + _PIECE_BYTES] == piece[:size]
                )
        self._openings: _Openings | None = None

    def may_be_in(self, data: bytes) -> bool:
        """Whether a needle may occur in *data*: never False where one does, seldom wrong."""
        return self._pieces.search(data) is not None

    def found_in(self, data: bytes) -> bool:
        """Whether any needle occurs in *data*."""
        return next(self._hits(data), None) is not None

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where needles occur, in order; those that overlap are one span."""
        return merge(self._hits(data))

    def opening(self, data: bytes) -> int:
        """Return where *data* begins to end in what may be the beginning of a needle.

        ``len(data)`` if it does not.
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
    """Matchers of needles that came one after another; they find what one of all would find.

    A run may get a credential for each step.  A layer is built anew only together with one
    of about its size, so every needle is compiled a few times, not once for each credential.
    """

    def __init__(self, layers: tuple[Matcher, ...] = ()) -> None:
        self._layers = layers

    @property
    def finder(self) -> Matcher | Layers:
        """The function that searches: that of a sole layer by itself, which avoids a call for each text."""
        return self._layers[0] if len(self._layers) == 1 else self

    def and_also(self, needles: Iterable[bytes]) -> Layers:
        """Return matchers of these needles, too."""
        added = set(needles)
        layers = list(self._layers)
        while layers and len(layers[-1].needles) <= _GROWTH * len(added):
            added.update(layers.pop().needles)
        return Layers((*layers, Matcher(added))) if added else self

    def with_layer(self, layer: Matcher) -> Layers:
        """Return matchers of the needles of one that was made elsewhere, too."""
        return Layers((layer, *self._layers))

    def may_be_in(self, data: bytes) -> bool:
        """Whether a needle may occur in *data*: never False where one does, seldom wrong."""
        return any(layer.may_be_in(data) for layer in self._layers)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where needles occur, in order; those that overlap are one span."""
        return merge(span for layer in self._layers for span in layer.spans(data))

    def opening(self, data: bytes) -> int:
        """Return where *data* begins to end in what may be the beginning of a needle."""
        return min((layer.opening(data) for layer in self._layers), default=len(data))


_GROWTH: Final = 4
"""A layer stays as it is if it is so many times larger than what is added."""


def merge(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *spans* in order, those that overlap as one."""
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
                # The last bytes differ nearly always; else a long text is compared and copied.
                if len(needle) > size and data.endswith(needle[max(0, size - _LAST_BYTES) : size]):
                    allowance -= size // _BYTES_PER_COMPARISON
                    if needle.startswith(data[place:]):
                        return place
            if allowance < 0:
                return place  # as if it were one: more is held back, and time is linear
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
    """Compile as `re.compile` does, without its cache, which keeps the last 512 patterns.

    A pattern consists of pieces of secrets: it must be gone when the run is.  `re.purge` would
    empty the cache for the whole program.
    """
    compiled: re.Pattern[bytes] = _compiler.compile(pattern, re.DOTALL)
    return compiled


_compiler: Final[Any] = import_module("re._compiler")
"""What `re.compile` calls, in CPython 3.11 to 3.14; a test fails where it does not exist any more."""


_END: Final = -1


def _pattern(node: dict[int, Any]) -> bytes:
    if len(node) == 1:  # most of them
        [(byte, child)] = node.items()
        return b"" if byte == _END else _ESCAPED[byte] + _pattern(child)
    # `re` tries branches in order, so the most frequent byte comes first.
    branches = [
        _ESCAPED[byte] + _pattern(node[byte])
        for byte in sorted(node.keys() - {_END}, key=_RANKS.__getitem__, reverse=True)
    ]
    return b"(?:" + b"|".join(branches) + b")" + (b"?" if _END in node else b"")


_ESCAPED: Final = [re.escape(bytes([byte])) for byte in range(256)]
