"""Moves bytes from one socket to another through a pipe, without copying them to this process.

Source: splice(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable
from typing import Final

CHUNK_BYTES: Final = 1 << 18
"""Most bytes of one step."""
LARGE_PIPE_BYTES: Final = 1 << 18
"""Size of a large pipe: 64 places, each for a piece of 4 to 32 kB of the network.  A usual pipe has 16.

With more places a call moves more bytes, and the other side is woken less often (ADR 0113)."""
LARGE_PIPES: Final = 64
"""Most large pipes at the same time.  The kernel counts the places of all pipes of a user, and makes small ones
when they are 16,384: pipe(7).  So there is room for 768 usual pipes more."""
TURN_BYTES: Final = 1 << 20
"""Most bytes of a run in one turn of the loop, before other runs have theirs.  Its connections share them."""
LEAST_TURN_BYTES: Final = 1 << 18
"""Least of them for each direction of a connection."""
_SPARE_PIPES: Final = 16

NONBLOCK: Final = 2
"""SPLICE_F_NONBLOCK of fcntl.h."""


class Pipes:
    """Empty pipes, which are used again."""

    def __init__(self) -> None:
        self._spare: list[tuple[int, int]] = []
        self._large: set[tuple[int, int]] = set()
        """Large pipes, in use or spare."""

    def take(self) -> tuple[int, int]:
        """Return the two ends of an empty pipe.

        Raises:
            OSError: This process or the machine has no descriptor left.

        """
        if self._spare:
            return self._spare.pop()
        made = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if len(self._large) < LARGE_PIPES:
            with contextlib.suppress(
                OSError
            ):  # the user has too many places: the pipe works as it is
                fcntl.fcntl(made[1], fcntl.F_SETPIPE_SZ, LARGE_PIPE_BYTES)
                self._large.add(made)
        return made

    def give_back(self, pipe: tuple[int, int], *, empty: bool) -> None:
        """Take a pipe back, and close it if it has bytes inside."""
        if empty and len(self._spare) < _SPARE_PIPES:
            self._spare.append(pipe)
            return
        self._large.discard(pipe)
        for end in pipe:
            os.close(end)


class Flow:
    """A direction of a connection.

    Bytes are only read when all bytes before them were written.  So a slow reader holds one pipe of
    memory, and a connection without bytes on their way holds none.
    """

    __slots__ = ("_pipe", "_pipes", "_source", "_target", "ended", "held", "moved", "over")

    def __init__(self, source: socket.socket, target: socket.socket, pipes: Pipes) -> None:
        self._source = source
        self._target = target
        self._pipes = pipes
        self._pipe: tuple[int, int] | None = None
        self.held = 0
        """Bytes in the pipe."""
        self.moved = 0
        """Bytes that were read."""
        self.ended = False
        """Whether the source has ended."""
        self.over = False
        """Whether all bytes and the end of the source were passed on."""

    def step(
        self, room: Callable[[], int], moved: Callable[[int], None], turn_bytes: int = TURN_BYTES
    ) -> bool:
        """Move bytes until one side has to wait; return whether more could be moved at once.

        Args:
            room: Returns how many bytes may be read now.  With 0 the step ends.
            moved: Takes note of bytes that were read.
            turn_bytes: Most bytes of this step.

        Raises:
            OSError: A socket has failed, or no pipe can be made.

        """
        begun = self.moved
        while not self.over:
            if self.held:
                assert self._pipe is not None
                try:
                    self.held -= os.splice(
                        self._pipe[0], self._target.fileno(), self.held, flags=NONBLOCK
                    )
                except BlockingIOError:
                    return False
                continue
            if self.ended:
                self.close()
                self.over = True
                self._target.shutdown(socket.SHUT_WR)
                return False
            left = turn_bytes - (self.moved - begun)
            if left <= 0:
                return True
            most = min(room(), CHUNK_BYTES, left)
            if not most:
                return False
            if self._pipe is None:
                self._pipe = self._pipes.take()
            try:
                count = os.splice(self._source.fileno(), self._pipe[1], most, flags=NONBLOCK)
            except BlockingIOError:
                self.close()
                return False
            self.ended = not count
            self.held = count
            self.moved += count
            moved(count)
        return False

    def close(self) -> None:
        """Give up the pipe."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=not self.held)
            self._pipe, self.held = None, 0
