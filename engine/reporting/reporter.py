"""Reports the events of a run to the manager: numbers them, removes secrets, limits logs."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api import RunOptions
from engine.reporting.eventlog import EventLog
from engine.reporting.logs import LogBook
from engine.reporting.redaction import Redactor, Shape
from protocol import events
from protocol.limits import MEGABYTE
from protocol.messages import LogEntry
from protocol.report import ErrorReport


class Reporter:
    """All output of a run goes through here.  It is for the supervisor's thread.

    Args:
        run_id: The id of the run.
        options: The options of the run, for its limits.
        log: Takes the events.
        redactor: Knows the secrets and the ids of the run.

    """

    def __init__(
        self,
        run_id: str,
        options: RunOptions,
        log: EventLog,
        redactor: Redactor,
    ) -> None:
        self.redactor = redactor
        self.logs = LogBook(options, self.redactor, self._emit_log)
        self.step_ids: dict[str, Any] = {}
        """The ids for log lines: those of the current step."""
        self.time_s = 0.0
        """Seconds since 1970: the time of the events that are emitted now. The caller sets it."""
        self.exceeded = False
        """Whether the run has emitted more events than it may."""
        self._run_id = run_id
        self._options = options
        self._log = log
        self._unpolled = 0

    @property
    def full(self) -> bool:
        """Whether the run has emitted as many events as it may."""
        return self._log.next_seq > self._options.max_events

    def emit(self, kind: type[events.AnyEvent], **fields: Any) -> None:
        """Emit an event without the secrets of the run."""
        event = kind(seq=self._count(), run_id=self._run_id, time=self.time_s, **fields)
        self._log.append(self.redactor.struct(event) if self.redactor.active else event)

    def has_secret(self, state: msgspec.Raw, error: ErrorReport | None) -> bool:
        """Return whether the end of a step has a secret of the run in it."""
        if not self.redactor.active:
            return False
        if error is not None and self.redactor.struct(error) is not error:
            return True
        return self.redactor.raw(state, Shape.STATE) is not None

    def emit_complete(self, state: msgspec.Raw, duration_ms: int) -> msgspec.Raw:
        """Emit the end of a workflow; return the final state without secrets."""
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
        """Emit the end of a run by a bug of ours; its text is ours and is not redacted."""
        self._log.append(
            events.WorkflowError(**self._stamp(), error=report, duration_ms=duration_ms)
        )

    def emit_losses(self) -> None:
        """Report the log lines that were dropped and so are not among the events."""
        losses = [self.logs.loss] if self.logs.loss else []
        if self._unpolled:
            losses.append(
                f"{self._unpolled} log lines were dropped, because nobody polled those before"
            )
        for text in losses:
            self._emit_log(LogEntry("warning", "runtime", text), always=True)

    def close(self) -> None:
        """Drop references back to this reporter, so that reference counting can free it."""
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

    def _count(self) -> int:
        """Return the number of the next event, and note whether it is one too many."""
        seq = self._log.next_seq
        if seq > self._options.max_events:
            self.exceeded = True
        return seq

    def _stamp(self) -> dict[str, Any]:
        return {"seq": self._count(), "run_id": self._run_id, "time": self.time_s}
