"""Finds the timestamps that msgspec writes for some dates, in place of text."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_TIMESTAMP_CODE: Final = b"\xff"
_SHORT_TIMESTAMPS: Final = (0xD6, 0xD7)
_FEW: Final = 64
_LONG_TIMESTAMP: Final = b"\xc7\x0c"
_NO_OPCODE: Final = 0xC1

_skip = msgspec.msgpack.Decoder(msgspec.Raw).decode


def holds_timestamp(encoded: bytes) -> bool:
    """Return whether msgspec has written a date as an extension, in place of text.

    The bytes of its header also occur inside numbers and texts.  So each place that has them is
    overwritten with an opcode that does not exist, and msgspec skips over the whole once.  Skipping
    fails only if an item begins at such a place.
    """
    places = _timestamp_marks(encoded)
    if not places:
        return False
    overwritten = bytearray(encoded)
    for place in places:
        overwritten[place] = _NO_OPCODE
    try:
        _skip(overwritten)
    except ValueError:
        return True
    return False


def _timestamp_marks(encoded: bytes) -> list[int]:
    """Return the places where the header of a timestamp may be.

    All three headers end in a byte that never occurs in text.  Searching for one byte is several
    times faster than for two, unless the byte is everywhere, as in a list of -1.
    """
    count = encoded.count(_TIMESTAMP_CODE)
    if not count:
        return []
    if count < _FEW + (len(encoded) >> 8):
        places = []
        end = encoded.find(_TIMESTAMP_CODE, 1)
        while end >= 0:
            if encoded[end - 1] in _SHORT_TIMESTAMPS:
                places.append(end - 1)
            elif encoded[max(0, end - 2) : end] == _LONG_TIMESTAMP:
                places.append(end - 2)
            end = encoded.find(_TIMESTAMP_CODE, end + 1)
        return places
    marks = (*(bytes((first,)) for first in _SHORT_TIMESTAMPS), _LONG_TIMESTAMP)
    return [
        match.start()
        for mark in marks
        for match in re.finditer(re.escape(mark + _TIMESTAMP_CODE), encoded)
    ]
