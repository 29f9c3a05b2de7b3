"""The child's connection to the engine: one pipe for reading, and one for writing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar, cast

from protocol.codec import decode_to_child, encode
from protocol.collection_messages import CollectionFailed, CollectionGiven
from protocol.errors import RemoteProtocolError
from protocol.framing import FrameReceiver, header
from protocol.limits import CHILD_READ_BYTES, MAX_FRAME_BYTES
from protocol.message import Message
from protocol.messages import Cancel
from protocol.report import ErrorReport, make_report

_MAX_IOV = 1024
"""IOV_MAX of Linux, writev(2)."""

_FRESH_S = 0.000_1
"""Time for which a look for a message counts.  Several calls come within it where a step begins."""

_M = TypeVar("_M", bound=Message)


class EngineGoneError(Exception):
    """The engine has closed its end, so nobody waits for the result of the run."""


class RunCancelledError(BaseException):
    """The engine wants the run to end.

    It is not an `Exception`: a reducer of an adaptor that catches exceptions must not go on with
    the next operation.
    """

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


def _poll_of(fd: int) -> Callable[[int], list[tuple[int, int]]] | None:
    """Return a function that checks whether *fd* is readable, if `select` has been imported.

    A child of the zygote has the module, because the zygote needs it.  Under the filter of system
    calls such a check takes 2 microseconds, and a failed read takes 4.  A new interpreter has no
    poll, because importing the module would take half a millisecond.
    """
    select = sys.modules.get("select")
    if select is None:
        return None
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return cast("Callable[[int], list[tuple[int, int]]]", poll.poll)


class Channel:
    """Receives messages from the engine, and sends messages to it."""

    def __init__(self, requests_fd: int, answers_fd: int) -> None:
        self.requests_fd = requests_fd
        self._answers_fd = answers_fd
        self._receiver = FrameReceiver(MAX_FRAME_BYTES, CHILD_READ_BYTES)
        self._arrived: list[Message] = []
        self.collected: list[CollectionGiven | CollectionFailed] = []
        """Answers about collections that have arrived.  Their step may have ended before."""
        self._held: list[bytes] = []
        self._waits = True
        """Whether a read of *requests_fd* waits; its O_NONBLOCK is changed only if needed."""
        self._poll = _poll_of(requests_fd)
        self._cancelled: ErrorReport | None = None
        self._looked_s = 0.0
        """When `check_cancelled` has looked for a message, on the monotonic clock."""
        self.engine_gone = False
        """Whether `check_cancelled` has found the end of the pipe."""
        # Another thread sends the log lines while the job is busy.
        self._writing = threading.Lock()

    def hold(self, message: Message) -> None:
        """Keep a message, and write it together with the next message that is sent.

        Use this if another message follows within microseconds: a write costs more than all other
        work for a small message.
        """
        body = encode(message)
        with self._writing:
            self._held += (header(len(body)), body)

    def send(self, message: Message) -> None:
        """Write a message, after the held ones.  The call waits while the pipe is full."""
        body = encode(message)
        with self._writing:
            pieces = [*self._held, header(len(body)), body]
            self._held.clear()
            written = os.writev(self._answers_fd, pieces[:_MAX_IOV])
            if written < sum(map(len, pieces)):
                self._write_rest(pieces, written)

    def _write_rest(self, pieces: list[bytes], written: int) -> None:
        """Write what is left of a message after its first *written* bytes."""
        rest = [memoryview(piece) for piece in pieces]
        while True:
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if not rest:
                return
            rest[0] = rest[0][written:]
            written = os.writev(self._answers_fd, rest[:_MAX_IOV])

    def receive(self, kind: type[_M]) -> _M:
        """Wait for the next message, which must be of *kind*.

        Raises:
            RemoteProtocolError: The message is of another kind.
            EngineGoneError: The engine has closed its end.

        """
        message = self.receive_any()
        if not isinstance(message, kind):
            raise RemoteProtocolError(
                f"engine sent {type(message).__name__} where {kind.__name__} was due"
            )
        return message

    def receive_any(self) -> Message:
        """Wait for the next message.

        Raises:
            EngineGoneError: The engine has closed its end.

        """
        while not self._arrived:
            self._set_waiting(True)
            self._read()
        return self._arrived.pop(0)

    def wait_for_collected(self) -> None:
        """Wait until another answer about collections has arrived.

        Raises:
            RunCancelledError: The engine wants the run to end, so no answer will come.
            EngineGoneError: The engine has closed its end.

        """
        before = len(self.collected)
        while len(self.collected) == before:
            if self._cancelled is not None:
                raise RunCancelledError(self._cancelled)
            self._set_waiting(True)
            self._read()

    def check_cancelled(self) -> None:
        """Check, without waiting, whether the engine wants the run to end.

        The child calls this each time before code of a job runs.  It takes a system call, so it does not
        look again within 0.1 ms.

        Raises:
            RunCancelledError: The engine wants the run to end.  An engine that is gone is not an
                error here: the next message cannot be sent, and this ends the process.

        """
        if self._cancelled is None and time.monotonic() > self._looked_s + _FRESH_S:
            self._look()
            self._looked_s = time.monotonic()
        if self._cancelled is not None:
            raise RunCancelledError(self._cancelled)

    def _look(self) -> None:
        """Take a message from the pipe, if one has begun to arrive."""
        if self._poll is not None and not self._poll(0):
            return
        self._set_waiting(False)
        try:
            first = os.read(self.requests_fd, 1)
        except BlockingIOError:
            return
        if not first:
            self.engine_gone = True
            return
        buffer = self._receiver.buffer()
        buffer[:1] = first
        buffer.release()
        self._take(1)
        # A frame has begun to arrive, so its rest will come.
        self._set_waiting(True)
        while not self._receiver.at_boundary:
            self._read()

    def arrived(self) -> bool:
        """Return whether a message has arrived, without waiting.

        Raises:
            EngineGoneError: The engine has closed its end.

        """
        self._set_waiting(False)
        try:
            while not self._arrived:
                self._read()
        except BlockingIOError:
            return False
        return True

    def _set_waiting(self, waits: bool) -> None:
        if waits is not self._waits:
            os.set_blocking(self.requests_fd, waits)
            self._waits = waits

    def _read(self) -> None:
        buffer = self._receiver.buffer()
        try:
            count = os.readv(self.requests_fd, [buffer])
        finally:
            buffer.release()  # otherwise the receiver could not enlarge its buffer
        if count == 0:
            raise EngineGoneError
        self._take(count)

    def _take(self, count: int) -> None:
        for message in map(decode_to_child, self._receiver.received(count)):
            if isinstance(message, (CollectionGiven, CollectionFailed)):
                self.collected.append(message)
                continue
            self._arrived.append(message)
            if isinstance(message, Cancel):
                self._cancelled = make_report(
                    "Cancelled", f"the run was cancelled: {message.reason}"
                )
