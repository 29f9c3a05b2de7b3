"""Checks msgpack without decoding it: the number of its items, and whether its keys are allowed.

Both are known before a single object is made, because a child chooses what decoding costs.  `re`
does the work: one call passes over a run of small items, in 40 to 140 ns for each.  Between two
calls another thread may use the interpreter.
"""

from __future__ import annotations

import re
import time
from functools import cache
from typing import Final, NamedTuple

from protocol.errors import TooManyItemsError
from protocol.state_look import BIG_INTEGER

_RUNS: Final = (256, 16)
"""Numbers of items that one match passes over.  Where fewer items remain, they are matched one by
one."""

_LONG_RUN: Final = 64
"""If a container has fewer items, they are passed over one by one, without patterns."""

_SLICE: Final = 4_096
_HEAD_COSTS: Final = 4
_MATCHES: Final = 64
_PAUSE_S: Final = 0.000_05
"""The thread sleeps `_PAUSE_S` after `_SLICE` items or `_MATCHES` matches, which take half a
millisecond.

The head of a container counts as `_HEAD_COSTS` items, because it takes the time of four.

Without the sleep a thread that releases the interpreter's lock has it back before another thread
has woken up."""


class PackedError(ValueError):
    """The bytes are not the msgpack of a state."""


class _Patterns(NamedTuple):
    """For each kind of item, the patterns of a run of 256, a run of 16 and a single item."""

    items: tuple[tuple[int, re.Pattern[bytes]], ...]
    """Patterns of small items, and of the heads of containers."""
    scalars: tuple[tuple[int, re.Pattern[bytes]], ...]
    """Patterns of items that do not hold other items."""
    pairs: tuple[tuple[int, re.Pattern[bytes]], ...]
    """Patterns of keys with a value that does not hold other items."""


def count_items(data: bytes | memoryview, most: int) -> int:
    """Return the number of items: each key, each value, each list and each map is an item.

    Raises:
        TooManyItemsError: *data* has more items than *most*.
        PackedError: *data* ends within a scalar or the head of a container, or has a byte that no
            item begins with.  A container that lacks items is not noticed.

    """
    patterns = _patterns().items
    place, end = 0, len(data)
    items = matches = coarse = before = 0
    while place < end:
        for index in range(coarse, len(patterns)):
            size, pattern = patterns[index]
            match = pattern.match(data, place)
            if match is not None:
                place = match.end()
                items += size
                # After two runs of one length in succession, the next longer run is tried again.
                # Not after each run, because a match that fails takes as long as the run.
                coarse = max(0, index - 1) if index == before else index
                before = index
                break
        else:
            if data[place] not in _LONG and data[place] not in _EXTENSIONS:
                raise PackedError(
                    f"no item begins with the byte {data[place]:#x}, or it is cut off"
                )
            place = _after(data, place)
            items += 1
            coarse = min(coarse + 1, len(patterns) - 1)
        matches += 1
        if matches % _MATCHES == 0:
            time.sleep(_PAUSE_S)
        if items > most:
            raise TooManyItemsError(items, most)
    if place != end:
        raise PackedError("it is cut off")
    return items


def check_keys(data: bytes | memoryview) -> None:
    """Check that each key is text, bytes, an integer, a float, a boolean or None.

    An extension is allowed only if it is a large integer.

    Raises:
        PackedError: A key or an extension is not allowed, or *data* is not one whole value.

    """
    place, end = 0, len(data)
    left, in_map = 1, False
    """Keys and values that are left in the container.  In a map, an even number is left before a key."""
    levels: list[tuple[int, bool]] = []
    seen = 0
    while True:
        if left >= _LONG_RUN:
            place, matched = _run(data, place, left, in_map=in_map)
            left -= matched
            seen += matched
        for _ in range(min(left, _SLICE)):
            if place >= end:
                raise PackedError("the value is cut off")
            length = _LENGTHS[data[place]]
            if length <= 0:
                break
            place += length
            left -= 1
            seen += 1
        else:
            if left:
                seen = _breathe(seen)
                continue
            if not levels:
                break
            left, in_map = levels.pop()
            continue
        place, size, is_map = _head(data, place, is_key=in_map and not left & 1)
        left -= 1
        if size:
            levels.append((left, in_map))
            left, in_map = size, is_map
        seen = _breathe(seen + _HEAD_COSTS)
    if place != end:
        raise PackedError("it is not one whole value")


def _breathe(seen: int) -> int:
    """Let other threads run after `_SLICE` items; return the items since the last pause."""
    if seen < _SLICE:
        return seen
    time.sleep(_PAUSE_S)
    return 0


def _run(data: bytes | memoryview, place: int, left: int, *, in_map: bool) -> tuple[int, int]:
    """Pass over scalars of a list, or pairs of scalars of a map.

    Returns:
        The place after them, and the number of items that were passed over.

    """
    patterns = _patterns()
    total = 0
    if in_map and left & 1:
        return place, 0
    for size, pattern in patterns.pairs if in_map else patterns.scalars:
        count = 2 * size if in_map else size
        while total + count <= min(left, _SLICE):
            match = pattern.match(data, place)
            if match is None:
                break
            place = match.end()
            total += count
    return place, total


def _head(data: bytes | memoryview, place: int, *, is_key: bool) -> tuple[int, int, bool]:
    """Read an item whose first byte alone does not give its size: a long text, bytes or a container.

    Returns:
        The place after the head of a container, or after any other item; the number of items in the
        container, otherwise 0; whether it is a map.

    """
    head = data[place]
    if head in _LONG:
        return _after(data, place), 0, False
    if head in _EXTENSIONS:
        end = _after(data, place)
        if end > len(data):
            raise PackedError("the value is cut off")
        # The timestamp of msgpack is refused as well, because a state holds a date as text.
        if data[place + _LONG_EXTENSIONS.get(head, 0) + 1] != BIG_INTEGER:
            raise PackedError(f"a {'key' if is_key else 'value'} is of an unknown extension type")
        return end, 0, False
    if is_key:
        raise PackedError("a key is neither text, bytes, a number, a boolean nor None")
    if head <= _LAST_SMALL:
        is_map = head < _FIRST_SMALL_LIST
        return place + 1, (head & 0x0F) << is_map, is_map
    width = _CONTAINERS.get(head)
    if width is None:
        raise PackedError(f"no item begins with the byte {head:#x}")
    is_map = head >= _FIRST_MAP
    begin = place + 1 + width
    return begin, int.from_bytes(data[place + 1 : begin], "big") << is_map, is_map


def _after(data: bytes | memoryview, place: int) -> int:
    """Return the end of a text, bytes or an extension whose head is at *place*."""
    head = data[place]
    if head in _FIXED_EXTENSIONS:
        return place + _FIXED_EXTENSIONS[head]
    extra = _LONG_EXTENSIONS.get(head)
    width = _LONG[head] if extra is None else extra
    begin = place + 1 + width
    return begin + int.from_bytes(data[place + 1 : begin], "big") + (extra is not None)


_LONG: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}
"""First byte of a text or of bytes, and the number of bytes of the length that follows it."""

_LONG_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
"""The same for extensions; the type follows the length."""

_FIXED_EXTENSIONS: Final = {0xD4 + power: 2 + (1 << power) for power in range(5)}
"""For the first byte of an extension of fixed length: the size of the whole item."""

_EXTENSIONS: Final = frozenset(_LONG_EXTENSIONS) | frozenset(_FIXED_EXTENSIONS)
_CONTAINERS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_FIRST_MAP: Final = 0xDE
_FIRST_SMALL_LIST: Final = 0x90
_LAST_SMALL: Final = 0x9F


def _length(head: int) -> int:
    """Return the size of an item with this first byte; 0 if the byte does not decide it."""
    if head <= 0x7F or head >= 0xE0 or head in {0xC0, 0xC2, 0xC3}:
        return 1
    if 0xA0 <= head <= 0xBF:
        return head - 0xA0 + 1
    numbers = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
    numbers |= {0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
    return numbers.get(head, 0)


_LENGTHS: Final = tuple(map(_length, range(256)))


@cache
def _patterns() -> _Patterns:
    """Return the patterns.

    They are compiled when a large state needs them first, because that takes about 100 ms.
    """
    short = rb"(?=[\xa0-\xbf])" + _texts(0xA0, 0xBF, 0)
    byte = rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]"
    numbers = rb"[\xcc\xd0].|[\xcd\xd1]..|[\xca\xce\xd2].{4}|[\xcb\xcf\xd3].{8}"
    sized = rb"[\xc4\xd9](?=[\x20-\x5f])" + _texts(0x20, 0x5F, 0x20)
    all_sized = rb"[\xc4\xd9]" + _texts(0, 0xFF, 0)
    key = b"(?:" + b"|".join((byte, short, numbers, sized)) + b")"
    scalar = b"(?:" + b"|".join((rb"[\x80\x90]", byte, short, numbers, sized)) + b")"
    heads = (rb"[\x80-\x9f]", rb"[\xdc\xde]..|[\xdd\xdf].{4}")
    item = b"(?:" + b"|".join((*heads, byte, short, numbers, all_sized)) + b")"
    return _Patterns(_counted(item), _counted(scalar), _counted(key + scalar))


def _counted(pattern: bytes) -> tuple[tuple[int, re.Pattern[bytes]], ...]:
    """Return the patterns of a run of 256, a run of 16 and a single item.

    They are possessive, so that `re` does not backtrack.
    """
    return tuple(
        (size, re.compile(b"(?:%s){%d}+" % (pattern, size), re.DOTALL)) for size in (*_RUNS, 1)
    )


def _texts(first: int, last: int, size: int) -> bytes:
    """Return a pattern of a length byte from *first* to *last*, and of the bytes that it announces.

    After the byte *first* come *size* bytes, after the next byte value one more, and so on.  The
    pattern is a tree of alternatives: `re` tries alternatives in order, and a list would be slow.
    """
    if first == last:
        return b"\\x%02x.{%d}" % (first, size)
    middle = (first + last) // 2
    lower = _texts(first, middle, size)
    upper = _texts(middle + 1, last, size + middle + 1 - first)
    return b"(?:(?=[\\x%02x-\\x%02x])%s|%s)" % (first, middle, lower, upper)
