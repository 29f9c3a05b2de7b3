"""The pipes to one child, used without waiting: frames out, frames in, and its standard streams."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import select
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from protocol.framing import FrameReceiver, header
from protocol.limits import (
    ANSWERS_FD,
    FRAME_SLACK_BYTES,
    LINK_FD,
    MAX_FRAME_BYTES,
    PIPE_BYTES,
    REQUESTS_FD,
)

BYTES_PER_TURN: Final = 1 << 16
"""Bytes of small frames or output that are read from a child in one turn: thousands of frames."""

LARGE_BYTES_PER_TURN: Final = 1 << 22
"""The same for a large frame, which only costs the time of a copy: two milliseconds."""

READS_AT_THE_END: Final = 128
"""Reads after the end of a child: enough to empty a full pipe, so that its last bytes are not lost.
The number is limited because, without walls, a process that it left behind may go on writing."""

_LOWEST_END: Final = 20
"""The lowest descriptor for a pipe end.  It is above the numbers that the ends get in the child, so
that a dup2 there cannot close another end.  It is also above the standard streams, which a manager
may have closed."""

_PIPES: Final = 4

_MAX_IOV: Final = 16


class ChildEnds:
    """The four pipe ends of the child: requests, answers, standard output and error.

    A child with a private network has a link as well.
    """

    def __init__(self, requests: int, answers: int, stdout: int, stderr: int) -> None:
        self.requests = requests
        self.answers = answers
        self.stdout = stdout
        self.stderr = stderr
        self.link: int | None = None
        """The child's end of its link to the relay."""
        self._closed = False

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them, in that order; the link is the last one, if there is one."""
        pipes = (self.requests, self.answers, self.stdout, self.stderr)
        return pipes if self.link is None else (*pipes, self.link)

    def numbers(self) -> dict[int, int]:
        """Return the descriptors by the numbers that they get in a new interpreter."""
        its = (REQUESTS_FD, ANSWERS_FD, 1, 2, LINK_FD)
        return dict(zip(its, self.descriptors, strict=False))

    def close(self) -> None:
        """Close them in this process; the child has its own copies by now.  May be called again."""
        if not self._closed:
            self._closed = True
            for end in self.descriptors:
                os.close(end)


class Connection:
    """The engine's pipe ends of one child.  Every method returns at once.

    Raises:
        OSError: This process has too few free descriptors.

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
            # An ordinary user has a quota for large pipes; a small pipe only costs time.
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        # The limit until it is known how large the states of the run may be.
        self._receiver = FrameReceiver(FRAME_SLACK_BYTES)
        self._outgoing: deque[memoryview] = deque()
        self.emptied = False
        """Whether the last `read` has left nothing in the pipe."""
        self.ended = False
        """Whether the child has closed its end, or died."""
        self._open = {self.requests, self.answers, self.stdout, self.stderr}
        self._outputs = select.poll()
        for end in (self.stdout, self.stderr):
            self._outputs.register(end, select.POLLIN)
        self.before_close: Callable[[int], None] = lambda _end: None
        """Called with each end before it is closed.  If a fork of the manager has a copy of the
        end, closing alone would not remove it from an epoll set; see epoll(7)."""

    def allow(self, max_frame_bytes: int) -> None:
        """Set the limit of the length of a frame from the child."""
        self._receiver.max_frame_bytes = min(max_frame_bytes, MAX_FRAME_BYTES)

    def send(self, body: bytes) -> None:
        """Queue a frame."""
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
            except OSError:  # the child has closed its end; its exit is noticed elsewhere
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
            to_the_end: For a child that is gone: read on until the end of the pipe.

        Raises:
            RemoteProtocolError: The length of a frame is not allowed.

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
                buffer.release()  # otherwise the receiver could not enlarge its buffer
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
                return  # a further call would only find that the pipe is empty

    @property
    def at_boundary(self) -> bool:
        """Whether the last frame from the child is complete."""
        return self._receiver.at_boundary

    def has_output(self) -> bool:
        """Whether `stdout` or `stderr` has bytes, or has ended: one call in place of two failed reads."""
        return bool(self._outputs.poll(0))

    def read_output(self, end: int) -> bytes:
        """Return output from `stdout` or `stderr`, for one turn; b"" if none has arrived."""
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
        """Whether an end is still open here."""
        return end in self._open

    def close_end(self, end: int) -> None:
        """Close one of our ends."""
        if end in self._open:
            self._open.discard(end)
            self.before_close(end)
            if end in (self.stdout, self.stderr):
                self._outputs.unregister(end)
            os.close(end)

    def close(self) -> None:
        """Close all open ends."""
        self._outgoing.clear()
        for end in tuple(self._open):
            self.close_end(end)


def lift(end: int) -> int:
    """Replace *end* by a descriptor above all reserved numbers, and return that."""
    if end >= _LOWEST_END:
        return end
    try:
        lifted = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _LOWEST_END)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # fcntl(2): RLIMIT_NOFILE does not allow such a high number.  Waiting does not help.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        reason = (
            f"this process may have {soft} open files (RLIMIT_NOFILE), too few for any child;"
            f" raise the limit (at most {hard}) with `ulimit -n` or resource.setrlimit"
        )
        raise OSError(errno.EINVAL, reason) from None
    os.close(end)
    return lifted


def _make_pipes() -> list[int]:
    """Return both ends of each pipe, to read and to write; after an error all are closed."""
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
