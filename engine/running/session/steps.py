"""The steps of a run as its child goes through them.

Each step becomes events, and only one step is open at a time.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import msgspec

from engine.api import RunOptions, StepRecord
from engine.reporting import Reporter
from engine.running.session.claims import Claims, bounded
from engine.running.session.edges import EdgeReports
from engine.running.session.execution import Ended, OpenStep
from engine.running.session.footprint import Footprint
from engine.running.session.limits import state_too_large, too_many_step_runs
from engine.running.session.recovery import Recovery
from engine.running.session.resolution import Kind
from engine.running.session.roles import check_job_error
from protocol import events
from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.limits import MEGABYTE
from protocol.report import ErrorReport
from protocol.state import NIL

_TIGHT: Final = 0.9
"""A state that fills this share of its frame is kept with the frame: a copy would double the memory for a moment."""

_NOTHING: Final = msgspec.Raw(NIL)


class Steps:
    """The steps of a run. A method that meets a limit returns its report.

    Args:
        claims: The names that the child may use.
        options: The limits of the run.
        max_step_runs: The number of executions that the run may start.
        reporter: Emits the events.
        recovery: Keeps the records.

    """

    def __init__(
        self,
        claims: Claims,
        options: RunOptions,
        max_step_runs: int,
        reporter: Reporter,
        recovery: Recovery,
    ) -> None:
        self.open: OpenStep | None = None
        self.footprint = Footprint()
        self.frame_bytes = sys.maxsize
        """The length of the frame of the present message, which its states keep alive."""
        self._claims = claims
        self._options = options
        self._max_step_runs = max_step_runs
        self._state_bytes = options.state_bytes
        self._payload_bytes = options.payload_mb * MEGABYTE
        self._reporter = reporter
        self._recovery = recovery
        self._count = 0
        self._resumed = False
        """Whether the present child has to begin with the open step, which an earlier child has begun."""
        self.edges = EdgeReports(claims, reporter, several=recovery.keeps)
        self.cut_short = False
        """Whether a step has ended of which the edges are not all decided, so that it has no record."""
        self._last_state: tuple[str | None, msgspec.Raw] = (None, _NOTHING)

    @property
    def in_flight(self) -> bool:
        """Whether the present child runs an attempt of a step, or prepares it."""
        return self.open is not None and self.open.in_flight

    def skip(self, recorded: tuple[StepRecord, ...]) -> None:
        """Take note of executions that a journal has recorded: they do not begin again."""
        for record in recorded:
            self._claims.check_new(record.step_run_id)
        self._count += len(recorded)

    # --- the messages of the child ---

    def start(self, message: m.InitStart) -> ErrorReport | None:
        """Open a step, or begin the next attempt of the open one."""
        self._claims.check_step(message.step_id, message.step_run_id)
        if self._resumed:
            step = self._take_up(message.step_id, message.step_run_id)
            step.in_flight = True
        else:
            self._claims.check_new(message.step_run_id)
            self._count += 1
            step = self._first_attempt(message.step_id, message.step_run_id)
        self._reporter.logs.flush()  # the lines that were held back belong to the step before
        self._turn_to(step)
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
            self._turn_to(self._first_attempt(step_id, step_run_id, begun=False))

    def linked(self, message: m.InitComplete) -> None:
        """Take note that the job of the open step is ready to run."""
        duration_ms = _milliseconds(message.duration_ms)
        self._reporter.emit(events.InitComplete, duration_ms=duration_ms, **self._opened().ids)

    def job_started(self, now_s: float) -> str:
        """Take note that the job runs; return the id of its step."""
        step = self._opened()
        step.job_started_s, step.in_flight = now_s, True
        self._reporter.emit(events.JobStart, **step.ids)
        self.footprint.set_base()
        return step.step_id

    def completed(self, message: m.JobComplete) -> Ended | ErrorReport:
        """Take the end of the open step, whose job has returned a state; `report` reports it."""
        too_large = self._too_large(message)
        if too_large is not None:
            return too_large
        fields = {
            "duration_ms": _milliseconds(message.duration_ms),
            "mem": self.footprint.of_job(),
        }
        return self._end(events.JobComplete, message, None, fields)

    def failed(self, message: m.JobError, *, cancelled: bool, now_s: float) -> Ended | ErrorReport:
        """Take the end of the open step, whose job has failed; `report` reports it."""
        died = self._recovery.died
        if died is None:
            check_job_error(message.error, cancelled=cancelled)
        too_large = self._too_large(message)
        if too_large is not None:
            return too_large
        step = self._opened()
        duration_ms = _milliseconds(message.duration_ms)
        if died is not None:
            duration_ms = step.lasted_ms(now_s)
        error = died or bounded(message.error)
        fields = {"error": error, "duration_ms": duration_ms}
        return self._end(events.JobError, message, error, fields)

    def report(self, ended: Ended) -> None:
        """Report the end of the open step, and close it."""
        step = self._opened()
        self._reporter.logs.flush()
        self._reporter.emit(ended.kind, **step.ids, next=ended.following, **ended.fields)
        self.edges.step_ended(step.step_id, ended.following)
        self._shut()

    def try_again(self, ended: Ended, delay_s: float) -> None:
        """Report an attempt that will be repeated; the step stays open for the next one."""
        step = self._opened()
        self._reporter.logs.flush()
        delay_ms = round(delay_s * 1000)
        self._reporter.emit(ended.kind, **step.ids, next=(), retry_in_ms=delay_ms, **ended.fields)
        self._turn_to(
            OpenStep(step.step_id, step.step_run_id, step.attempt + 1, step.lost, in_flight=False)
        )

    # --- the next child ---

    def next_child(self) -> None:
        """Take note that another child follows; it begins with the open step, if there is one."""
        self.edges.next_child()
        if self.open is not None and not self.open.begun:
            self._shut()
        if self.open is not None:
            self.open.in_flight = False
        self._resumed = self.open is not None

    def check_nothing_left_out(self) -> None:
        """Check that the child has come to the step with which it was to begin.

        Raises:
            RemoteProtocolError: It has not.

        """
        if self._resumed:
            raise RemoteProtocolError(f"child leaves out {self._opened().step_run_id!r}")

    def take_up_dead(self, message: m.StepDied) -> None:
        """Take note that a child has come to the step that has died."""
        self._take_up(message.step_id, message.step_run_id)

    def _take_up(self, step_id: str, step_run_id: str) -> OpenStep:
        step = self._opened()
        if not self._resumed or not step.is_named(step_id, step_run_id):
            raise RemoteProtocolError(f"child begins with another step than {step.step_run_id!r}")
        self._resumed = False
        return step

    def died(self, report: ErrorReport, now_s: float, delay_s: float | None) -> None:
        """Take note that the open step has died with its child.

        Args:
            report: The report of its death.
            now_s: The time on the monotonic clock.
            delay_s: Seconds until the next attempt; None if the step has failed, and the next child
                is to put its state together.

        """
        step = self._opened()
        if step.job_started_s is None:  # it died while it was initialised
            step.job_started_s = now_s
            self._reporter.emit(events.JobStart, **step.ids)
        if delay_s is not None:
            duration_ms = step.lasted_ms(now_s)
            fields = {"error": report, "state": None, "duration_ms": duration_ms}
            self.try_again(Ended(events.JobError, (), fields), delay_s)
        else:
            step.died_s = now_s

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
            duration_ms=step.lasted_ms(now_s),
            **step.ids,
        )

    def forget(self) -> None:
        """Drop every state."""
        self._last_state = (None, _NOTHING)

    # --- inside ---

    def _first_attempt(self, step_id: str, step_run_id: str, *, begun: bool = True) -> OpenStep:
        if not self._recovery.has_begun:
            return OpenStep(step_id, step_run_id, begun=begun, in_flight=begun)
        made = self._recovery.begun(step_run_id)
        lost = made.begun - made.failed
        return OpenStep(step_id, step_run_id, made.begun + 1, lost, begun, in_flight=begun)

    def _opened(self) -> OpenStep:
        assert self.open is not None
        return self.open

    def _turn_to(self, step: OpenStep) -> OpenStep:
        self.open = step
        self._reporter.step_ids = step.ids
        return step

    def _too_large(self, message: m.JobComplete | m.JobError) -> ErrorReport | None:
        """Close a job whose state is too large for an event; its child may go on until killed."""
        if message.state_bytes <= self._state_bytes:
            return None
        report = state_too_large(message.state_bytes, self._options, self._opened().step_id)
        if report is not None:
            duration_ms = _milliseconds(message.duration_ms)
            fields = {"error": report, "state": None, "duration_ms": duration_ms}
            self.report(Ended(events.JobError, (), fields))
        return report

    def _end(
        self,
        kind: type[events.JobComplete | events.JobError],
        message: m.JobComplete | m.JobError,
        error: ErrorReport | None,
        fields: dict[str, Any],
    ) -> Ended:
        step = self._opened()
        self._claims.check_next(step.step_id, message.next)
        state = _raw(message.state)
        record = None
        self.cut_short = self.cut_short or message.ends_run
        if (
            self._recovery.keeps_records
            and not message.ends_run
            and not (isinstance(message, m.JobError) and message.retry)
        ):
            record = self._recovery.record(
                step.ids,
                state,
                message.next,
                error,
                holds_secret=self._recovery.journaled and self._reporter.has_secret(state, error),
            )
        shown, redacted = self._event_state(state, message.state_bytes)
        return Ended(kind, message.next, {"state": shown, "redacted": redacted, **fields}, record)

    def _shut(self) -> None:
        self.open = None
        self._reporter.step_ids = {}

    def _event_state(self, state: msgspec.Raw, size: int) -> tuple[Any, bool]:
        """Return what an event carries for a state of *size* bytes, and whether it is redacted."""
        sent = len(memoryview(state))
        whole = sent == size
        if whole:
            state = self._to_keep(state)  # the events that carry it and the result share it
            self._last_state = (self._opened().step_run_id, state)
        if not self._options.event_state:
            return None, False
        if whole and sent <= self._payload_bytes:
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
