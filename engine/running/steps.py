"""The steps of a run as its child goes through them.

Each becomes events, and one is open at a time.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from engine.api import RunOptions
from engine.reporting import Reporter
from engine.running.claims import Claims, bounded
from engine.running.footprint import Footprint
from engine.running.limits import state_too_large, too_many_step_runs
from engine.running.resolvers import Kind
from engine.running.roles import check_job_error
from protocol import events
from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.limits import MEGABYTE
from protocol.report import ErrorReport
from protocol.state import NIL

_TIGHT: Final = 0.9
"""A state that fills this share of its frame is kept with the frame: a copy would double the memory for a moment."""

_NOTHING: Final = msgspec.Raw(NIL)


class OpenStep(msgspec.Struct):
    """The execution of a step that is going on."""

    step_id: str
    step_run_id: str
    attempt: int = 1
    job_started_s: float | None = None

    @property
    def ids(self) -> dict[str, Any]:
        """The fields that all its events have."""
        return {"step_id": self.step_id, "step_run_id": self.step_run_id, "attempt": self.attempt}


class Steps:
    """The steps of a run. A method that meets a limit returns its report.

    Args:
        claims: The names that the child may use.
        options: The limits of the run.
        max_step_runs: The number of executions that the run may start.
        reporter: Emits the events.

    """

    def __init__(
        self, claims: Claims, options: RunOptions, max_step_runs: int, reporter: Reporter
    ) -> None:
        self.open: OpenStep | None = None
        self.footprint = Footprint()
        self.frame_bytes = sys.maxsize
        """The length of the frame of the present message, which its states keep alive."""
        self._claims = claims
        self._options = options
        self._max_step_runs = max_step_runs
        self._reporter = reporter
        self._count = 0
        self._last_state: tuple[str | None, msgspec.Raw] = (None, _NOTHING)

    # --- the messages of the child ---

    def start(self, message: m.InitStart) -> ErrorReport | None:
        """Open a step."""
        self._claims.check_step(message.step_id, message.step_run_id)
        self._claims.check_new(message.step_run_id)
        self._count += 1
        self._reporter.logs.flush()  # held-back lines belong to the step before
        step = self._turn_to(OpenStep(message.step_id, message.step_run_id))
        self._reporter.emit(events.InitStart, **step.ids)
        if self._count > self._max_step_runs:
            return too_many_step_runs(self._max_step_runs)
        return None

    def check_asker(self, step_id: str, step_run_id: str, kind: Kind) -> None:
        """Check for which step the child asks for a value.

        Raises:
            RemoteProtocolError: The step is not in the plan, or another step is open.

        """
        self._claims.check_step(step_id, step_run_id)
        step = self.open
        if step is not None and (step.step_id, step.step_run_id) != (step_id, step_run_id):
            raise RemoteProtocolError(f"child asked for a {kind} for a step that is not open")

    def open_asker(self, step_id: str, step_run_id: str) -> None:
        """Open the step for which the child asks. The first step may ask before it begins."""
        if self.open is None:
            self._turn_to(OpenStep(step_id, step_run_id))

    def linked(self, message: m.InitComplete) -> None:
        """Take note that the job of the open step is ready to run."""
        duration_ms = _milliseconds(message.duration_ms)
        self._reporter.emit(events.InitComplete, duration_ms=duration_ms, **self._opened().ids)

    def job_started(self, now_s: float) -> str:
        """Take note that the job runs; return the id of its step."""
        step = self._opened()
        step.job_started_s = now_s
        self._reporter.emit(events.JobStart, **step.ids)
        self.footprint.set_base()
        return step.step_id

    def completed(self, message: m.JobComplete) -> ErrorReport | None:
        """Close the open step, whose job has returned a state."""
        too_large = self._too_large(message)
        if too_large is not None:
            return too_large
        state, redacted = self._event_state(_raw(message.state), message.state_bytes)
        self._close(
            events.JobComplete,
            message.next,
            state=state,
            redacted=redacted,
            duration_ms=_milliseconds(message.duration_ms),
            mem=self.footprint.of_job(),
        )
        return None

    def failed(self, message: m.JobError, *, cancelled: bool) -> ErrorReport | None:
        """Close the open step, whose job has failed."""
        check_job_error(message.error, cancelled=cancelled)
        if message.retry:
            raise RemoteProtocolError(
                "child wants to retry a step, for which its plan has no retry"
            )
        too_large = self._too_large(message)
        if too_large is not None:
            return too_large
        state, redacted = self._event_state(_raw(message.state), message.state_bytes)
        self._close(
            events.JobError,
            message.next,
            error=bounded(message.error),
            state=state,
            redacted=redacted,
            duration_ms=_milliseconds(message.duration_ms),
        )
        return None

    def edge(self, message: m.EdgeResolved) -> None:
        """Report whether an edge was taken."""
        self._reporter.emit(
            events.EdgeResolved,
            from_step_id=message.from_step_id,
            to_step_id=message.to_step_id,
            condition=self._claims.condition(message.from_step_id, message.to_step_id),
            taken=message.taken,
        )

    def final_state(self, message: m.WorkflowComplete) -> msgspec.Raw:
        """Return the state in the message, or the state that the message only names.

        Raises:
            RemoteProtocolError: The message names a state that was not the last one.

        """
        if message.state_of is None:
            return self._to_keep(_raw(message.state))
        step_run_id, state = self._last_state
        if message.state_of != step_run_id:
            raise RemoteProtocolError("child names a state that was not the last one it sent")
        return state

    # --- the end of a child ---

    def fail_open_job(self, report: ErrorReport, now_s: float) -> None:
        """Close the running job, in place of its child."""
        step = self.open
        if step is None or step.job_started_s is None:
            return
        self._reporter.emit(
            events.JobError,
            error=report,
            state=None,
            next=(),
            duration_ms=round((now_s - step.job_started_s) * 1000),
            **step.ids,
        )

    def forget(self) -> None:
        """Drop every state."""
        self._last_state = (None, _NOTHING)

    # --- inside ---

    def _opened(self) -> OpenStep:
        assert self.open is not None
        return self.open

    def _turn_to(self, step: OpenStep) -> OpenStep:
        self.open = step
        self._reporter.step_ids = step.ids
        return step

    def _too_large(self, message: m.JobComplete | m.JobError) -> ErrorReport | None:
        """Close a job whose state is too large for an event; its child may go on until killed."""
        report = state_too_large(message.state_bytes, self._options, self._opened().step_id)
        if report is not None:
            duration_ms = _milliseconds(message.duration_ms)
            self._close(events.JobError, (), error=report, state=None, duration_ms=duration_ms)
        return report

    def _close(
        self,
        kind: type[events.JobComplete | events.JobError],
        following: tuple[str, ...],
        **fields: Any,
    ) -> None:
        step = self._opened()
        self._claims.check_next(step.step_id, following)
        self._reporter.logs.flush()
        self._reporter.emit(kind, **step.ids, next=following, **fields)
        self.open = None
        self._reporter.step_ids = {}

    def _event_state(self, state: msgspec.Raw, size: int) -> tuple[Any, bool]:
        """Return the form of a state of *size* bytes for an event, and whether it is redacted."""
        if not self._options.event_state:
            return None, False
        sent = len(memoryview(state))
        if sent == size and sent <= self._options.payload_mb * MEGABYTE:
            state = self._to_keep(state)  # the events that carry it and the result share it
            self._last_state = (self._opened().step_run_id, state)
            return state, False
        return events.REDACTED, True

    def _to_keep(self, state: msgspec.Raw) -> msgspec.Raw:
        """Return a state that does not keep much other memory alive.

        A state is a part of its frame, and keeps the whole frame alive. A large state is nearly the
        whole frame.
        """
        size = len(memoryview(state))
        return state if size >= _TIGHT * self.frame_bytes else state.copy()


def _raw(state: memoryview | None) -> msgspec.Raw:
    return _NOTHING if state is None else msgspec.Raw(state)


def _milliseconds(claimed: int) -> int:
    """Return a duration that the child claims, within bounds."""
    return min(max(claimed, 0), 2**53)
