"""The pipes to one child, never waited for: frames out, frames in, and its standard streams."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from protocol.framing import FrameReceiver, header
from protocol.limits import FRAME_SLACK_BYTES, MAX_FRAME_BYTES, PIPE_BYTES

BYTES_PER_TURN: Final = 1 << 16
"""Small frames, or output, that are read from one child at a turn: some thousands of frames."""

LARGE_BYTES_PER_TURN: Final = 1 << 22
"""The same of a large frame, which costs nothing but the copy: two milliseconds."""

READS_AT_THE_END: Final = 128
"""More than a full pipe takes, so that nothing of a child that is gone is lost.  Without walls it
may have left a process behind that goes on writing."""

_LOWEST_END: Final = 20
"""Above the numbers that the ends get in the child, so that no dup2 there hits another end, and
above the standard streams, which a manager may have closed."""

_PIPES: Final = 4

_MAX_IOV: Final = 16


class ChildEnds:
    """The four ends that the child gets: requests, answers, standard output and error."""

    def __init__(self, requests: int, answers: int, stdout: int, stderr: int) -> None:
        self.requests = requests
        self.answers = answers
        self.stdout = stdout
        self.stderr = stderr
        self._closed = False

    @property
    def descriptors(self) -> tuple[int, int, int, int]:
        """All four, in that order."""
        return (self.requests, self.answers, self.stdout, self.stderr)

    def close(self) -> None:
        """Close them here; the child has its own by now.  May be called again."""
        if not self._closed:
            self._closed = True
            for end in self.descriptors:
                os.close(end)


class Connection:
    """The parent's ends.  Every method returns at once.

    Raises:
        OSError: There are not enough descriptors.

    """

    def __init__(self) -> None:
        pipes = iter(_make_pipes())
        requests, self.requests = next(pipes), next(pipes)
        self.answers, answers = next(pipes), next(pipes)
        self.stdout, stdout = next(pipes), next(pipes)
        self.stderr, stderr = next(pipes), next(pipes)
        self.child_ends = ChildEnds(requests, answers, stdout, stderr)
        for end in (self.requests, self.answers, self.stdout, self.stderr):
            os.set_blocking(end, False)
        for pipe in (self.requests, self.answers):
            # An ordinary user has a quota for large pipes; a small one only costs time.
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        # Until it is known how large the states of its run may be.
        self._receiver = FrameReceiver(FRAME_SLACK_BYTES)
        self._outgoing: deque[memoryview] = deque()
        self.emptied = False
        """Whether the last `read` has left nothing in the pipe."""
        self.ended = False
        """Whether the child has closed its end, or died."""
        self._open = {self.requests, self.answers, self.stdout, self.stderr}
        self.before_close: Callable[[int], None] = lambda _end: None
        """Told of each end before it is closed: a copy of it in a fork of the manager would keep a
        closed one in an epoll set, see epoll(7)."""

    def allow(self, max_frame_bytes: int) -> None:
        """Say how long a frame of the child may be."""
        self._receiver.max_frame_bytes = min(max_frame_bytes, MAX_FRAME_BYTES)

    def send(self, body: bytes) -> None:
        """Queue one frame."""
        if self.requests in self._open:
            self._outgoing.append(memoryview(header(len(body))))
            self._outgoing.append(memoryview(body))

    @property
    def wants_to_write(self) -> bool:
        """Whether frames are waiting for room in the pipe."""
        return bool(self._outgoing)

    def write(self) -> None:
        """Write as much as the pipe takes."""
        while self._outgoing:
            try:
                written = os.writev(
                    self.requests,
                    [self._outgoing[i] for i in range(min(len(self._outgoing), _MAX_IOV))],
                )
            except BlockingIOError:
                return
            except OSError:  # the child has closed its end; how it ended is told elsewhere
                self._outgoing.clear()
                return
            while written:
                first = self._outgoing[0]
                if written < len(first):
                    self._outgoing[0] = first[written:]
                    break
                written -= len(first)
                self._outgoing.popleft()

    def read(self, *, to_the_end: bool = False) -> Iterator[bytes | bytearray]:
        """Yield frames that have arrived, for one turn.

        Args:
            to_the_end: Of a child that is gone: notice the end of the pipe.

        Raises:
            RemoteProtocolError: A frame has a length that none may have.

        """
        small = large = 0
        self.emptied = False
        while small < BYTES_PER_TURN and large < LARGE_BYTES_PER_TURN:
            if self.ended:
                self.emptied = True
                return
            in_large = self._receiver.in_large_frame
            buffer = self._receiver.buffer()
            try:
                count = os.readv(self.answers, [buffer])
            except BlockingIOError:
                self.emptied = True
                return
            finally:
                size = len(buffer)
                buffer.release()  # or the receiver could not let its buffer grow
            if count == 0:
                self.ended = self.emptied = True
                return
            if in_large:
                large += count
            else:
                small += count
            yield from self._receiver.received(count)
            if count < size and not to_the_end:
                self.emptied = True
                return  # asking again would cost a call to hear that the pipe is empty

    @property
    def at_boundary(self) -> bool:
        """Whether no frame was begun and left unfinished."""
        return self._receiver.at_boundary

    def read_output(self, end: int) -> bytes:
        """Return what the child wrote to `stdout` or `stderr`, for one turn; nothing if there is nothing."""
        if end not in self._open:
            return b""
        try:
            data = os.read(end, BYTES_PER_TURN)
        except BlockingIOError:
            return b""
        if not data:
            self.close_end(end)
        return data

    def is_open(self, end: int) -> bool:
        """Whether an end is still ours."""
        return end in self._open

    def close_end(self, end: int) -> None:
        """Close one of our ends."""
        if end in self._open:
            self._open.discard(end)
            self.before_close(end)
            os.close(end)

    def close(self) -> None:
        """Close all that is open."""
        self._outgoing.clear()
        for end in tuple(self._open):
            self.close_end(end)


def lift(end: int) -> int:
    """Return a descriptor for *end*, which it replaces, that is above all reserved numbers."""
    if end >= _LOWEST_END:
        return end
    try:
        lifted = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _LOWEST_END)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # fcntl(2): RLIMIT_NOFILE allows no descriptor of so high a number.  Waiting does not help.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        reason = (
            f"this process may have {soft} open files (RLIMIT_NOFILE), too few for any child;"
            f" raise the limit (at most {hard}) with `ulimit -n` or resource.setrlimit"
        )
        raise OSError(errno.EINVAL, reason) from None
    os.close(end)
    return lifted


def _make_pipes() -> list[int]:
    """Return both ends of each pipe, to read and to write; none is left if one cannot be had."""
    ends: list[int] = []
    try:
        for _ in range(_PIPES):
            ends.extend(os.pipe2(os.O_CLOEXEC))
        for index, end in enumerate(ends):
            ends[index] = lift(end)
    except OSError:
        for end in ends:
            os.close(end)
        raise
    return ends
