"""The child's two ends of the wire: it waits for what it reads, and for room to write."""

from __future__ import annotations

import os
import threading
from typing import TypeVar

from protocol.codec import decode_to_child, encode
from protocol.errors import RemoteProtocolError
from protocol.framing import FrameReceiver, header
from protocol.limits import CHILD_READ_BYTES, MAX_FRAME_BYTES
from protocol.messages import Message

_MAX_IOV = 1024
"""IOV_MAX of Linux, writev(2)."""

_M = TypeVar("_M", bound=Message)


class EngineGoneError(Exception):
    """The engine has closed its end: nobody is left to work for."""


class Channel:
    """Messages from and to the engine."""

    def __init__(self, requests_fd: int, answers_fd: int) -> None:
        self.requests_fd = requests_fd
        self._answers_fd = answers_fd
        self._receiver = FrameReceiver(MAX_FRAME_BYTES, CHILD_READ_BYTES)
        self._arrived: list[Message] = []
        self._held: list[memoryview] = []
        # Log lines are sent by a thread of their own when the job is busy.
        self._writing = threading.Lock()

    def hold(self, message: Message) -> None:
        """Have a message written with the next one that is sent.

        For one that another follows within microseconds: a write costs more than all the rest
        of a small message.
        """
        body = encode(message)
        with self._writing:
            self._held += (memoryview(header(len(body))), memoryview(body))

    def send(self, message: Message) -> None:
        """Write a message, after those that were held; waits while the pipe is full."""
        body = encode(message)
        with self._writing:
            rest = [*self._held, memoryview(header(len(body))), memoryview(body)]
            self._held.clear()
            while rest:
                written = os.writev(self._answers_fd, rest[:_MAX_IOV])
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]

    def receive(self, kind: type[_M]) -> _M:
        """Wait for the next message, which must be of *kind*.

        Raises:
            RemoteProtocolError: It is of another kind.
            EngineGoneError: There is no next message.

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
            EngineGoneError: There is none.

        """
        while not self._arrived:
            self._read()
        return self._arrived.pop(0)

    def arrived(self) -> bool:
        """Return whether a message is there, without waiting for one.

        Raises:
            EngineGoneError: There is none, and there will be none.

        """
        os.set_blocking(self.requests_fd, False)
        try:
            while not self._arrived:
                self._read()
        except BlockingIOError:
            return False
        finally:
            os.set_blocking(self.requests_fd, True)
        return True

    def _read(self) -> None:
        buffer = self._receiver.buffer()
        try:
            count = os.readv(self.requests_fd, [buffer])
        finally:
            buffer.release()  # or the receiver could not let its buffer grow
        if count == 0:
            raise EngineGoneError
        self._arrived.extend(map(decode_to_child, self._receiver.received(count)))
