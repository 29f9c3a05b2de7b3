"""Reports to the manager what happens in a run: numbers events, removes secrets, limits logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from engine.api import RunOptions
from engine.reporting.eventlog import EventLog
from engine.reporting.logs import LogBook
from engine.reporting.redaction import Redactor, Shape
from protocol import events
from protocol.limits import MEGABYTE
from protocol.messages import LogEntry
from protocol.report import ErrorReport, make_report


class Reporter:
    """Everything that leaves one run goes through here.  For the supervisor's thread.

    Args:
        run_id: Which run.
        options: Its limits.
        log: Where the events go.
        judge: Called with the report of a limit that has been met.
        redactor: Knows the secrets of the run, and its ids.

    """

    def __init__(
        self,
        run_id: str,
        options: RunOptions,
        log: EventLog,
        judge: Callable[[ErrorReport], None],
        redactor: Redactor,
    ) -> None:
        self.redactor = redactor
        self.logs = LogBook(options, self.redactor, self._emit_log)
        self.step_ids: dict[str, Any] = {}
        """The ids that log lines get: those of the step whose turn it is."""
        self._run_id = run_id
        self._options = options
        self._log = log
        self._judge = judge
        self._unpolled = 0

    @property
    def full(self) -> bool:
        """Whether the run has emitted as many events as it may."""
        return self._log.next_seq > self._options.max_events

    def emit(self, kind: type[events.AnyEvent], **fields: Any) -> None:
        """Emit an event, with what the run hides taken out."""
        self._log.append(self.redactor.struct(kind(**self._stamp(), **fields)))

    def emit_complete(self, state: msgspec.Raw, duration_ms: int) -> msgspec.Raw:
        """Emit the end of a workflow; return its final state without secrets."""
        scrubbed = self.redactor.raw(state, Shape.RESULT)
        final = state if scrubbed is None else msgspec.Raw(scrubbed)
        too_large = len(memoryview(final)) > self._options.payload_mb * MEGABYTE
        self._log.append(
            events.WorkflowComplete(
                **self._stamp(),
                state=events.REDACTED if too_large else final,
                redacted=too_large or scrubbed is not None,
                duration_ms=duration_ms,
            )
        )
        return final

    def emit_internal_error(self, report: ErrorReport, duration_ms: int) -> None:
        """Emit an end that is a bug of ours; its text is ours, and goes through nothing."""
        self._log.append(
            events.WorkflowError(**self._stamp(), error=report, duration_ms=duration_ms)
        )

    def emit_losses(self) -> None:
        """Say what became of log lines that are not among the events."""
        losses = [self.logs.loss] if self.logs.loss else []
        if self._unpolled:
            losses.append(
                f"{self._unpolled} log lines were dropped, because nobody polled those before"
            )
        for text in losses:
            self._emit_log(LogEntry("warning", "runtime", text), always=True)

    def close(self) -> None:
        """Let go of what refers back to this reporter: nothing is left for the garbage collector."""
        self._judge = _nobody
        self.logs.close()

    def _emit_log(self, entry: LogEntry, *, always: bool = False) -> None:
        event = events.Log(
            **self._stamp(),
            level=entry.level,
            source=entry.source,
            message=entry.message,
            redacted=entry.redacted,
            **self.step_ids,
        )
        # The message was redacted together with the lines around it.
        if not self._log.append(event, always=always):
            self._unpolled += 1

    def _stamp(self) -> dict[str, Any]:
        seq = self._log.next_seq
        if seq > self._options.max_events:
            limit = self._options.max_events
            text = f"the run has emitted {limit} events (max_events)"
            self._judge(make_report("OutputLimitError", text, option="max_events"))
        return {"seq": seq, "run_id": self._run_id, "time": time.time()}


def _nobody(_report: ErrorReport) -> None:
    pass
