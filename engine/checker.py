"""Has the texts of a plan checked in confined children.

If a text ends its child, this becomes a finding, and another child checks the other texts.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Final

import msgspec

from engine.api import EngineError
from engine.start import READS_AT_THE_END, ExecStarter, Meter, Started, is_readable
from protocol import codec
from protocol import messages as m
from protocol.checks import CheckedText, Finding
from protocol.errors import RemoteProtocolError
from protocol.limits import FRAME_SLACK_BYTES, MEGABYTE
from protocol.message import Message
from protocol.phases import Phase, advance

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest

TEXT_S: Final = 10.0
"""Time limit for one text, or for the import of one adaptor."""

START_S: Final = 30.0
"""Time limit for the start of a child, until it is confined; the machine may be busy."""

TOTAL_S: Final = 300.0
"""Time limit for all texts of a plan together."""

_CHECK_S: Final = 0.05
"""Time between two checks of the child's memory."""

_ANSWER_BYTES: Final = 8 * MEGABYTE


class _EndedError(Exception):
    """The child was killed, or ended too early."""


def check_texts(check: m.Check, request: ConfinementRequest) -> list[m.Checked]:
    """Return the findings about each text of *check*, in order.

    Raises:
        EngineError: A child could not be started or confined, so the texts were not checked.

    """
    answers: list[m.Checked] = []
    deadline = time.monotonic() + TOTAL_S
    rest = check
    while rest.texts:
        if time.monotonic() > deadline:
            late = f"was not checked: the texts before it took more than {TOTAL_S:.0f} s"
            answers += (m.Checked(findings=(Finding("CheckError", late),)) for _ in rest.texts)
            break
        with_child = _Child(rest, request)
        try:
            with_child.run()
            reason = None
        except _EndedError as error:
            reason = str(error)
        finally:
            with_child.close()
        answers += with_child.answers
        if reason is None:
            break
        text, linking = rest.texts[len(with_child.answers)], with_child.linking
        if linking is None:
            finding = Finding("CheckError", f"this text ends its checker: {reason}")
        else:
            message = f"adaptor {linking} ends the process that imports it: {reason}"
            finding = Finding("ImportError", message, adaptor=linking)
        answers.append(m.Checked(findings=(finding,)))
        rest = _after(rest, len(with_child.answers) + 1, text, linking)
    return answers


def _after(check: m.Check, number: int, text: CheckedText, linking: str | None) -> m.Check:
    """Return the rest of a check after a text that has ended its child."""
    texts = check.texts[number:]
    workflow_globals = check.workflow_globals
    if text.kind == "globals" and linking is None:
        workflow_globals = None  # another child must not parse them again
        texts = tuple(msgspec.structs.replace(one, scope="unknown") for one in texts)
    broken = check.broken if linking is None else (*check.broken, linking)
    return msgspec.structs.replace(
        check, texts=texts, broken=broken, workflow_globals=workflow_globals
    )


class _Child:
    """A child that checks texts until all are done, or until a text ends it."""

    def __init__(self, check: m.Check, request: ConfinementRequest) -> None:
        self.answers: list[m.Checked] = []
        self.linking: str | None = None
        """The adaptor that is being imported."""
        self._check = check
        self._memory_bytes = request.memory_bytes
        self._phase = Phase.STARTING
        self._started = self._start(request)
        self._meter = Meter(self._started.child)
        self._deadline = time.monotonic() + START_S
        self._killed: str | None = None
        self._reaped = False

    @staticmethod
    def _start(request: ConfinementRequest) -> Started:
        try:
            return ExecStarter().start(request)
        except OSError as error:
            reason = error.strerror or str(error)
            raise EngineError(f"the checker could not be started: {reason}") from None

    def run(self) -> None:
        """Exchange messages with the child until each text has its answer.

        Raises:
            _EndedError: The child ended too early; `answers` has the answers until then.
            EngineError: The child could not be confined.

        """
        child, connection = self._started[:2]
        connection.allow(_ANSWER_BYTES + FRAME_SLACK_BYTES)
        poll = select.poll()  # select(2) cannot take a descriptor above 1023
        for end in (connection.answers, connection.stdout, connection.stderr, child.exit_fd):
            poll.register(end, select.POLLIN)
        while len(self.answers) < len(self._check.texts):
            if connection.wants_to_write:
                connection.write()
            ready = {fd for fd, _ in poll.poll(int(self._wait_s() * 1000) + 1)}
            gone = child.exit_fd in ready
            for end in (connection.stdout, connection.stderr):
                if end in ready:
                    for _ in range(READS_AT_THE_END if gone else 1):
                        if not connection.read_output(end):
                            break  # the output of an adaptor's import is dropped
                    if not connection.is_open(end):
                        poll.unregister(end)
            self._receive(everything=gone)
            if len(self.answers) == len(self._check.texts):
                return
            if gone:
                self._tell_end()
            if connection.ended and connection.is_open(connection.answers):
                poll.unregister(connection.answers)
                connection.close_end(connection.answers)
            self._keep_limits()

    def _wait_s(self) -> float:
        return max(0.0, min(_CHECK_S, self._deadline - time.monotonic()))

    def _receive(self, *, everything: bool) -> None:
        if self._killed is not None:
            return
        try:
            connection = self._started.connection
            for _ in range(READS_AT_THE_END if everything else 1):
                for frame in connection.read(to_the_end=everything):
                    message = codec.decode_from_child(frame)
                    self._phase = advance(self._phase, message)
                    self._take(message)
                if connection.emptied:
                    break
        except RemoteProtocolError as error:
            self._kill(f"it broke the protocol: {error}")

    def _take(self, message: Message) -> None:
        if isinstance(message, m.ConfineFailed):
            raise EngineError(
                f"the texts were not checked: layer {message.layer} is missing:"
                f" {message.reason} ({message.remedy})"
            )
        if isinstance(message, m.Ready):
            self._phase = Phase.CHECKING
            self._started.connection.send(codec.encode(self._check))
        elif isinstance(message, m.Linking):
            self.linking = message.adaptor
        elif isinstance(message, m.Checked):
            self.linking = None
            self.answers.append(message)
        self._deadline = time.monotonic() + TEXT_S

    def _keep_limits(self) -> None:
        if self._killed is not None:
            return
        if self._meter.resident_bytes()[0] > self._memory_bytes:
            self._kill(self._out_of_memory())
        elif time.monotonic() > self._deadline:
            if self._phase is not Phase.CHECKING:
                raise EngineError(f"the checker was not ready within {START_S:.0f} s")
            self._kill(f"it took more than {TEXT_S:.0f} s")

    def _kill(self, reason: str) -> None:
        self._killed = reason
        self._started.child.kill()

    def _out_of_memory(self) -> str:
        return f"it needs more than {self._memory_bytes / MEGABYTE:.0f} MB of memory"

    def _tell_end(self) -> None:
        exited = self._started.child.reap()
        self._reaped = True
        if self._killed is not None:
            raise _EndedError(self._killed)
        if self._phase is not Phase.CHECKING:
            raise EngineError(f"the checker could not be started: it ended with {exited}")
        if exited.signal is not None:
            raise _EndedError(f"it ended with signal {exited.signal}")
        raise _EndedError(f"it ended with exit code {exited.code}")

    def close(self) -> None:
        """End the child and release its resources."""
        child, connection = self._started[:2]
        self._meter.close()
        connection.close()
        if not self._reaped:
            child.kill()
            is_readable(child.exit_fd, timeout_ms=None)
            child.reap()
