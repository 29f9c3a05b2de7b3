"""Decides what becomes of a run whose child has died: whether another child goes on, and when."""

from __future__ import annotations

import signal
from typing import Final

import msgspec

from engine.reporting import Reporter
from engine.running.session.moment import Moment
from engine.running.session.recovery import Recovery
from engine.running.session.steps import Steps
from engine.start import Exit
from protocol.messages import LogEntry
from protocol.report import ErrorReport, make_report
from protocol.retry import Kind

_SURVIVED: Final = frozenset({"OOMError", "CPULimitError", "ExitError"})
"""The deaths that a run can survive, because an ordinary bug of a job can lead to them."""

_LIMIT: Final = "TimeoutError"
_OF_A_STEP: Final = "timeout"
"""The option that a `TimeoutError` names if it is of a step of the plan, not of the run."""


class Deaths:
    """The deaths of the children of one run.

    If an attempt of a step runs, the death belongs to this step: its ``retry`` and its ``on_death``
    decide.  Otherwise nothing is in flight, so another child can go on without repeating anything.  It
    does so if the plan lets any step survive a death.  A death without progress since the last one
    of this kind ends the run, so a row of children always ends.

    Only the supervisor's thread uses it.
    """

    def __init__(self, steps: Steps, recovery: Recovery, reporter: Reporter) -> None:
        self._steps = steps
        self._recovery = recovery
        self._reporter = reporter
        self._stood_at: tuple[int, int, bool] | None = None
        """The progress of the run at the last death while no attempt ran."""

    def is_survived(self, report: ErrorReport) -> bool:
        """Return whether another child goes on after a death, or after a kill for a limit."""
        if self._steps.in_flight:
            return self._kind(report) is not None
        return report.name in _SURVIVED and self._may_go_on()

    def next_child_s(
        self, report: ErrorReport, exited: Exit, ready: bool, now: Moment, waits_until_s: float
    ) -> float | None:
        """Return when another child is to go on.

        Args:
            report: The reason of the death.
            exited: How the child ended.
            ready: Whether the child was confined.
            now: The time.
            waits_until_s: When the next attempt of the open step begins, if the step waits for it.

        Returns:
            A time on the monotonic clock; None if the run is over.

        """
        if exited.orphaned and report.name == "SpawnError":
            # The child ran, and was killed with its zygote: for the run this is a death as any other.
            report = make_report("ExitError", report.message)
        if self._steps.in_flight:
            return self._after_attempt(report, now)
        killed_early = not ready and exited.lost is None and exited.signal == signal.SIGKILL
        if not (killed_early or report.name in _SURVIVED) or not self._may_go_on():
            return None
        self._stood_at = self._progress()
        text = f"{report.message}; no step was running, so another child goes on with the run"
        self._reporter.logs.add(LogEntry("warning", "runtime", text))
        step, recovery = self._steps.open, self._recovery
        if step is not None and step.begun and recovery.died is None:
            recovery.resume(step.step_run_id, step.attempt)
        return max(now.s, waits_until_s)

    def _after_attempt(self, report: ErrorReport, now: Moment) -> float | None:
        """Decide what becomes of the attempt that ran."""
        kind, step, recovery = self._kind(report), self._steps.open, self._recovery
        if kind is None or step is None:
            return None
        self._reporter.logs.flush(final=True)
        report = msgspec.structs.replace(report, severity="fail", step_id=step.step_id)
        attempt = step.attempt
        delay_s = recovery.retry_after_death(step.step_id, step.counted, report.name, kind)
        self._steps.died(report, now.s, delay_s)
        if delay_s is not None:
            recovery.resume(step.step_run_id, attempt + 1)
            return now.s + delay_s
        recovery.resume(step.step_run_id, attempt, died=report)
        return now.s

    def _kind(self, report: ErrorReport) -> Kind | None:
        """Return the kind of a death that the attempt survives as a step; None if the run ends."""
        step, recovery = self._steps.open, self._recovery
        if step is None or not recovery.keeps:
            return None
        kind: Kind = "death"
        if report.name == _LIMIT:
            if report.option != _OF_A_STEP:
                return None  # a limit of the run
            kind = "timeout"
        elif report.name not in _SURVIVED:
            return None
        retried = recovery.retry_after_death(step.step_id, step.counted, report.name, kind)
        return kind if retried is not None or recovery.fails_step(step.step_id, kind) else None

    def _may_go_on(self) -> bool:
        return (
            self._recovery.outlives_children
            and not self._steps.cut_short
            and self._stood_at != self._progress()
        )

    def _progress(self) -> tuple[int, int, bool]:
        """Return how far the run has come, in a form that a death alone does not change."""
        step, recovery = self._steps.open, self._recovery
        attempt = step.attempt if step is not None and step.begun else 0
        return recovery.recorded, attempt, recovery.died is not None
