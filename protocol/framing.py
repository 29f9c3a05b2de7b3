"""Length-prefixed frames over a byte stream.

The module does not know messages, processes or clocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import HEADER_BYTES, MAX_FRAME_BYTES, READ_BYTES

_GROWTH_BYTES: Final = 1 << 20


def header(length: int) -> bytes:
    """Return the prefix of a frame of *length* bytes.

    Raises:
        LocalProtocolError: A frame may not have this length.

    """
    if not 0 < length <= MAX_FRAME_BYTES:
        raise LocalProtocolError(
            f"cannot send a frame of {length} bytes; allowed: 1 to {MAX_FRAME_BYTES}"
        )
    return length.to_bytes(HEADER_BYTES, "little")


class FrameReceiver:
    """Cuts a byte stream back into frames.

    The reader asks for a :meth:`buffer`, reads into it, reports the number of bytes with
    :meth:`received`, and takes the frames.  A prefix is checked before anything else is done with
    it.  Memory grows with the bytes that really arrived, never with the bytes that a prefix
    announces.
    """

    def __init__(self, max_frame_bytes: int, read_bytes: int = READ_BYTES) -> None:
        self.max_frame_bytes = min(max_frame_bytes, MAX_FRAME_BYTES)
        self._small = bytearray(read_bytes)
        # A longer frame gets a buffer of its own, which is passed on without another copy.
        self._longest_small = read_bytes // 2
        self._start = 0
        self._end = 0
        self._large: bytearray | None = None
        self._large_filled = 0
        self._large_length = 0

    def buffer(self) -> memoryview:
        """Return free space to read into; it is never empty."""
        if self._large is not None:
            if self._large_filled == len(self._large):
                room = self._large_length - self._large_filled
                self._large.extend(bytes(min(room, max(_GROWTH_BYTES, self._large_filled))))
            return memoryview(self._large)[self._large_filled :]
        if self._start:
            # Frames before _start are gone; the rest is less than one frame.
            left = self._end - self._start
            self._small[:left] = self._small[self._start : self._end]
            self._start, self._end = 0, left
        return memoryview(self._small)[self._end :]

    def received(self, count: int) -> Iterator[bytes | bytearray]:
        """Take note of *count* bytes read into the buffer; yield the frames that are now complete.

        Raises:
            RemoteProtocolError: A prefix is zero, or is above the limit.

        """
        if self._large is not None:
            self._large_filled += count
            if self._large_filled == self._large_length:
                frame, self._large = self._large, None
                yield frame
            return
        self._end += count
        while (available := self._end - self._start) >= HEADER_BYTES:
            body = self._start + HEADER_BYTES
            length = int.from_bytes(self._small[self._start : body], "little")
            if not 0 < length <= self.max_frame_bytes:
                raise RemoteProtocolError(
                    f"peer announced a frame of {length} bytes; allowed: 1 to {self.max_frame_bytes}"
                )
            if available - HEADER_BYTES >= length:
                self._start = body + length
                yield bytes(self._small[body : self._start])
            elif length > self._longest_small:
                self._large = self._small[body : self._end]
                self._large_filled = len(self._large)
                self._large_length = length
                self._start = self._end = 0
                return
            else:
                return

    @property
    def in_large_frame(self) -> bool:
        """Whether the next bytes belong to a frame that has a buffer of its own."""
        return self._large is not None

    @property
    def at_boundary(self) -> bool:
        """Whether the stream may end here without cutting a frame in two."""
        return self._large is None and self._start == self._end
