"""Hears a child in short slices of time.

A child decides how much it writes, and all children share a thread.

A child writes its output before the message that ends a step. So the output that is found once the
pipe of messages is empty belongs to the messages that were read before.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from typing import Final, Protocol

from engine.running.host import Host, Owner
from engine.running.share import LONG_PARTING_S, PARTING_S, Share, Turn
from engine.start import Connection
from protocol import codec
from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_MESSAGE_BYTES
from protocol.message import Message
from protocol.messages import JobComplete, JobError, LogBatch, WorkflowComplete, WorkflowError
from protocol.words import LogSource

_ENDS: Final = (JobComplete, JobError, WorkflowComplete, WorkflowError)
"""Messages after which a step, or the run, has no more output."""

_LINES: Final = 64
"""Number of log lines that are taken at once, in a fraction of a millisecond."""

_PIECE_BYTES: Final = 128
"""Bytes of output that are taken at once, if the output consists of many lines."""


class Listener(Protocol):
    """The receiver of all messages and output of a child."""

    def said(self, message: Message, frame_bytes: int) -> None:
        """Take a message and the length of its frame.

        Raises:
            RemoteProtocolError: The child must not send this message now.

        """

    def wrote(self, source: LogSource, data: bytes) -> None:
        """Take bytes that the child has written to a standard stream."""

    def broke_off(self, reason: str) -> None:
        """Take note that the child has broken the protocol; it is not heard any more."""

    def turn(self) -> None:
        """Hear the child for a turn, by `Hearing.hear` and `Hearing.pay`."""


class Hearing:
    """Reads the messages and the output of one child. Only the supervisor's thread uses it.

    Args:
        connection: The pipes of the child.
        listener: Gets the messages and the output.
        host: The supervisor.
        owner: The lane that ends if the hearing raises.
        line_bytes: The largest log line.

    """

    def __init__(
        self,
        connection: Connection,
        listener: Listener,
        host: Host,
        owner: Owner,
        line_bytes: int,
    ) -> None:
        self.heard_in = -1
        """The round of the supervisor in which the child had its last turn."""
        self._connection = connection
        self._listener = listener
        self._host = host
        self._owner = owner
        self._log_bytes = line_bytes + MAX_MESSAGE_BYTES
        self._pending: Iterator[None] | None = None
        """The messages and the output that were read and not yet taken."""
        self._share = Share()
        self._silent = True
        self._paused = False
        self._stopped = False
        self._parting_s = 0.0
        """Processor time used so far for the output that a child has left behind."""

    @property
    def settled(self) -> bool:
        """Whether the listener has taken everything that was read."""
        return self._pending is None

    def watch(self) -> None:
        """Have the supervisor call the listener's turn when the child has written something."""
        connection = self._connection
        for end in (connection.answers, connection.stdout, connection.stderr):
            if connection.is_open(end):
                self._host.watch(end, select.EPOLLIN, self._on_readable, self._owner)

    def stop(self) -> None:
        """Stop hearing the child."""
        self._pending = None
        self._stopped = True

    def _on_readable(self, _events: int) -> None:
        """Give the child a turn, at most one in each round of the supervisor."""
        if self.heard_in != self._host.turn:
            self._listener.turn()

    # --- one turn ---

    def hear(self, turn: Turn, *, leaving: bool) -> None:
        """Take messages and output of the child until the turn is over.

        Args:
            turn: The processor time for it.
            leaving: Whether the child is gone; then its pipes are read to the end.

        """
        self.heard_in = self._host.turn
        while True:
            if self._pending is None:
                self._pending = self._receive(leaving=leaving)
            for _ in self._pending:
                if turn.over:
                    return
            self._pending = None
            if not leaving or self._connection.emptied:
                return

    def heard_out(self, used_s: float, *, stopped: bool) -> bool:
        """Return whether a dead child was read to the end of its pipes, or for long enough.

        Args:
            used_s: Seconds of processor time of the last turn.
            stopped: Whether the engine has stopped the run.

        """
        self._parting_s += used_s
        patience_s = PARTING_S if stopped else LONG_PARTING_S
        emptied = self._pending is None and self._connection.emptied
        return emptied or self._parting_s > patience_s

    def pay(self, used_s: float, *, leaving: bool) -> None:
        """Charge a turn to the child's share, and arrange the next turn.

        Args:
            used_s: Seconds of processor time.
            leaving: Whether the child is gone.

        """
        now_s = time.monotonic()
        wait_s = self._share.charge(used_s, now_s)
        if wait_s > 0 and self._host.crowded:
            self._pause()
            self._host.call_at(now_s + wait_s, self._resume, self._owner)
        elif self._pending is not None or leaving:
            self._host.again(self._resume, self._owner)

    def _pause(self) -> None:
        """Do not hear the child for a while; its limits of time still hold."""
        connection = self._connection
        if not self._paused:
            self._paused = True
            for end in (connection.answers, connection.stdout, connection.stderr):
                if connection.is_open(end):
                    self._host.unwatch(end)

    def _resume(self) -> None:
        if self._stopped:
            return
        if self._paused:
            self._paused = False
            self.watch()
        self._listener.turn()

    # --- reading ---

    def _receive(self, *, leaving: bool) -> Iterator[None]:
        """Read for a turn, and take the messages and the output one by one."""
        connection, listener = self._connection, self._listener
        frames, broken = self._read_frames(leaving=leaving)
        certain = len(frames)
        # Messages still in the pipe were sent before the output that is in the other pipes now.
        output = self._read_output() if connection.emptied and connection.has_output() else []
        if output and broken is None:
            # The message about the start of the step that wrote it may have arrived since.
            more, broken = self._read_frames(leaving=leaving)
            frames += more
            connection.emptied = False  # there may be more output
        if frames and self._silent:
            self._silent = False
            self._host.lives()
        try:
            for index, frame in enumerate(frames):
                message = codec.decode_from_child(frame, log_bytes=self._log_bytes)
                # A child that wrote waits with the end of the step until its output was read. So the
                # output that was read after an end belongs to a later step.
                if output and index >= certain and isinstance(message, _ENDS):
                    yield from self._take_output(output)
                    output = []
                if type(message) is LogBatch and len(message.entries) > _LINES:
                    for part in _parts(message):
                        listener.said(part, len(frame))
                        yield
                else:
                    listener.said(message, len(frame))
                    yield
        except RemoteProtocolError as error:
            broken = str(error)
        yield from self._take_output(output)
        if broken is not None:
            connection.ended = True
            listener.broke_off(broken)
        if connection.ended:
            connection.close_end(connection.answers)

    def _read_frames(self, *, leaving: bool) -> tuple[list[bytes | bytearray], str | None]:
        """Return the frames that have arrived, and the error of the frame after them.

        Only the text of the error is kept: a traceback would keep the states in its local variables
        alive.
        """
        frames: list[bytes | bytearray] = []
        try:
            frames.extend(self._connection.read(to_the_end=leaving))
        except RemoteProtocolError as error:
            return frames, str(error)  # the frames before it count in any case
        return frames, None

    def _read_output(self) -> list[tuple[LogSource, bytes]]:
        connection = self._connection
        streams: tuple[tuple[LogSource, int], ...] = (
            ("stdout", connection.stdout),
            ("stderr", connection.stderr),
        )
        read = [(source, connection.read_output(end)) for source, end in streams]
        return [(source, data) for source, data in read if data]

    def _take_output(self, output: list[tuple[LogSource, bytes]]) -> Iterator[None]:
        for source, data in output:
            size = len(data) if data.count(b"\n") <= _LINES else _PIECE_BYTES
            for begin in range(0, len(data), size):
                self._listener.wrote(source, data[begin : begin + size])
                yield


def _parts(batch: LogBatch) -> Iterator[LogBatch]:
    """Yield a batch of many log lines in parts."""
    entries = batch.entries
    for begin in range(0, len(entries), _LINES):
        part = entries[begin : begin + _LINES]
        last = begin + _LINES >= len(entries)
        yield LogBatch(
            entries=part,
            dropped=batch.dropped if last else 0,
            dropped_bytes=batch.dropped_bytes if last else 0,
        )
