"""Finds the line of a job at which a limit of time or processor time was reached.

The child is asked with a signal, and `faulthandler` writes its stack to standard error, whatever the
job does at the moment. The child may be hostile: only a number is taken from its text. The line
itself comes from the plan. A child that does not answer in a moment is killed without it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from protocol.plan import Workflow
from protocol.report import ErrorReport, Position

ANSWER_S: Final = 0.2
"""Longest time for the answer; an ordinary answer takes less than a millisecond."""

_BEGINS: Final = b"Stack (most recent call first):\n"
_JOB_FRAME: Final = re.compile(rb'^  File "<job [^\n]*", line ([0-9]{1,9}) in ', re.MULTILINE)
_ENDS: Final = (b" in _run_module_as_main\n", b"\n  ...\n")
"""The outermost frame of a child, and the sign that more frames were left out."""
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
"""The breaks that Python counts."""
_MAX_BYTES: Final = 65_536
_MAX_SOURCE_CHARS: Final = 500
_LIMITS: Final = frozenset({"TimeoutError", "CPULimitError"})


class Snapshot:
    """A limit that was exceeded, while the child is asked for the line of its job."""

    def __init__(self, workflow: Workflow) -> None:
        self._texts = {step.id: step.expression for step in workflow.steps}
        self._found = b""
        self._report: ErrorReport | None = None
        self._step_id = ""
        self.until_s: float | None = None
        """The time on the monotonic clock until which the answer is waited for; None: it was not asked."""
        self.done = False
        """Whether the answer is complete."""

    def can_ask(self, report: ErrorReport) -> bool:
        """Return whether the line of a job says more about the limit, and was not asked for yet."""
        return report.name in _LIMITS and self.until_s is None

    def ask(self, report: ErrorReport, step_id: str, now_s: float) -> None:
        """Take note that the child is asked."""
        self._report, self._step_id, self.until_s = report, step_id, now_s + ANSWER_S

    @property
    def waits(self) -> bool:
        """Whether an answer is waited for."""
        return self._report is not None

    def take(self, data: bytes) -> bytes:
        """Take a piece of standard error; return the part that is output of the job."""
        if self.until_s is None:
            return data
        if self.done:  # the child is killed, and the rest of its answer is not output
            return b"" if self._found.startswith(_BEGINS) else data
        self._found += data
        begin = self._found.find(_BEGINS)
        if begin < 0:
            kept = len(_BEGINS) - 1
            before, self._found = self._found[:-kept], self._found[-kept:]
            return before
        before, self._found = self._found[:begin], self._found[begin:]
        self.done = (
            _JOB_FRAME.search(self._found) is not None
            or any(end in self._found for end in _ENDS)
            or len(self._found) > _MAX_BYTES
        )
        return before

    def close(self) -> tuple[ErrorReport, bytes]:
        """Return the report, with the position if it is known, and output that was held back."""
        report, self._report = self._report, None
        assert report is not None
        self.done = True
        if not self._found.startswith(_BEGINS):
            return report, self._found
        return self._placed(report), b""

    def _placed(self, report: ErrorReport) -> ErrorReport:
        frame = _JOB_FRAME.search(self._found)
        text = self._texts.get(self._step_id)
        if frame is None or text is None:
            return report
        number = int(frame[1])
        lines = _LINE_BREAK.split(text)
        if not 1 <= number <= len(lines):
            return report
        source = lines[number - 1][:_MAX_SOURCE_CHARS]
        if not source.strip():
            return report
        blanks = len(source) - len(source.lstrip())
        position = Position(number, blanks + 1, number, len(source.rstrip()) + 1, source)
        return msgspec.structs.replace(report, step_id=self._step_id, position=position)
