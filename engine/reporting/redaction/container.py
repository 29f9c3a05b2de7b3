"""Encoded msgpack, opened one level at a time.

A state of megabytes is not decoded because of one secret in it. Only the containers around the
secret are opened; their other items stay encoded.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any, Final

import msgspec


class Container:
    """An encoded array or map: its head and its encoded items (for a map, keys and values)."""

    def __init__(self, head: bytes, items: list[bytes | msgspec.Raw], *, is_map: bool) -> None:
        self.head = head
        self.items = items
        self.is_map = is_map

    @property
    def keys(self) -> list[bytes | msgspec.Raw]:
        """The encoded keys of a map."""
        return self.items[::2] if self.is_map else []

    def is_key(self, index: int) -> bool:
        """Whether the item at *index* is a key of a map."""
        return self.is_map and index % 2 == 0

    @classmethod
    def opened(cls, data: bytes) -> Container | None:
        """Open an array or a map; None for anything else.

        Source: the MessagePack specification, formats "array" and "map".
        """
        kind = data[0]
        if kind in _LONG_HEADS:
            size, per_entry = _LONG_HEADS[kind]
            count = int.from_bytes(data[1:size], "big")
        elif 0x80 <= kind <= 0x9F:
            size, per_entry = 1, 1 if kind & 0x10 else 2
            count = kind & 0x0F
        else:
            return None
        # msgspec decodes all of them as arrays, because it has no type for a map of raw keys.
        array = b"\xdd" + (count * per_entry).to_bytes(4, "big") + data[size:]
        return cls(data[:size], list(_decode_array(array)), is_map=per_entry == 2)

    def locate(self, spans: list[tuple[int, int]]) -> dict[int, list[tuple[int, int]]]:
        """Return the items that overlap *spans*, by index, with the places within each item."""
        starts = list(accumulate(map(len, self.items), initial=len(self.head)))
        located: dict[int, list[tuple[int, int]]] = {}
        for start, stop in spans:
            index = max(bisect_right(starts, start) - 1, 0)
            while index < len(self.items) and starts[index] < stop:
                inside = (start - starts[index], stop - starts[index])
                located.setdefault(index, []).append(inside)
                index += 1
        return located


_LONG_HEADS: Final = {0xDC: (3, 1), 0xDD: (5, 1), 0xDE: (3, 2), 0xDF: (5, 2)}
"""For the first byte of a container: the size of its head, and the items for each entry."""


class _Extension:
    """An extension value that is passed through; unlike `msgspec.msgpack.Ext` it can be a key."""

    __slots__ = ("code", "data")

    def __init__(self, code: int, data: memoryview) -> None:
        self.code = code
        self.data = bytes(data)


def _from_extension(value: _Extension) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(value.code, value.data)


def as_key(encoded: bytes | msgspec.Raw) -> Any:
    """Return the decoded key.

    Raises:
        ValueError: The key is a list or a map, which a state cannot have as a key.

    """
    key = decode(encoded)
    if isinstance(key, (list, dict)):
        raise ValueError("a key of a state is not a list")  # noqa: TRY004 - the bytes are wrong
    return key


encode = msgspec.msgpack.Encoder(enc_hook=_from_extension).encode
decode = msgspec.msgpack.Decoder(ext_hook=_Extension).decode
_decode_array = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
