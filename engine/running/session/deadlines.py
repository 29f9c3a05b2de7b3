"""The limits of time of a run, and the reports of limits that have passed.

Times here are in seconds on the monotonic clock, and come from the caller.
"""

from __future__ import annotations

import math
from typing import Final

from engine.api import RunOptions
from protocol.report import ErrorReport, make_report

START_S: Final = 30.0
"""Longest time for the start of a child; an ordinary start takes milliseconds."""

LINGER_S: Final = 1.0
"""Longest time from the end of a child's pipe to the end of the child."""


class Deadlines:
    """All limits of time of a run: finds the next limit, and limits that have passed."""

    def __init__(self, options: RunOptions, begun: float | None = None) -> None:
        self._options = options
        self.begun = begun
        """The time at which the run left the queue for the first time."""
        self._child_since: float | None = None
        """The time at which the present child was started; None if the run has no child."""
        self._heard = 0.0
        self._ready = False
        self._job_started: float | None = None
        self._step_id: str | None = None
        self._attempt_s: float | None = None
        """The limit of one attempt of the step that runs."""
        self._loading_since: float | None = None
        self._limited = True
        self._stop_at = math.inf

    def leave_queue(self, now: float) -> None:
        """Start the clock of the run, once."""
        if self.begun is None:
            self.begun = now

    def begin(self, now: float) -> None:
        """Start the clock of a child."""
        self.leave_queue(now)
        self._child_since = self._heard = now

    def child_gone(self) -> None:
        """Take note that the run has no child for a while; the limit of the run still holds."""
        self._child_since = self._job_started = self._loading_since = None
        self._ready = False
        self._stop_at = math.inf

    def ready(self) -> None:
        """Take note that the child is confined and has its plan."""
        self._ready = True

    def heard(self, now: float) -> None:
        """Take note that the child has sent something."""
        self._heard = now

    def job_started(self, step_id: str, now: float, timeout_s: float | None = None) -> None:
        """Take note that a job has started, whose step may have a time limit of its own."""
        self._job_started, self._step_id, self._attempt_s = now, step_id, timeout_s

    def job_ended(self) -> None:
        """Take note that the job has ended."""
        self._job_started = None

    def loading(self, now: float, *, limited: bool = True) -> None:
        """Take note that the child waits for the engine, so that its silence does not count.

        Args:
            now: The time.
            limited: Whether the manager has a limit of time for its answer (resolve_timeout_s).

        """
        self._loading_since, self._limited = now, limited

    def loaded(self, now: float) -> None:
        """Take note that the manager has answered."""
        self._loading_since = None
        self._heard = now

    def finished(self, now: float) -> None:
        """Take note that the child has sent its last message, or has closed its pipe."""
        self._stop_at = min(self._stop_at, now + LINGER_S)

    def cancelled(self, now: float) -> None:
        """Take note that the child was asked to end."""
        self._stop_at = min(self._stop_at, now + self._options.cancel_grace_s)
        if self._options.timeout_s is not None and self.begun is not None:
            self._stop_at = min(self._stop_at, self.begun + self._options.timeout_s)

    def elapsed_ms(self, now: float) -> int:
        """Return milliseconds since the run left the queue; 0 if it never did."""
        return 0 if self.begun is None else round((now - self.begun) * 1000)

    @property
    def next(self) -> float:
        """The time at which the caller must check the limits again; infinity without limits."""
        return min([when for when, _ in self._list()])  # a generator would take twice the time

    def load_is_late(self, now: float) -> bool:
        """Whether the manager has used up its time to answer."""
        since = self._loading_since
        if since is None or not self._limited:
            return False
        return now >= since + self._options.resolve_timeout_s

    def must_stop(self, now: float) -> bool:
        """Whether the time has passed by which the child must be gone."""
        return now >= self._stop_at

    def exceeded(self, now: float) -> ErrorReport | None:
        """Return the report of a limit that has passed."""
        for when, name in self._list():
            if now >= when and name is not None:
                return self._report(name)
        return None

    def _list(self) -> list[tuple[float, str | None]]:
        options = self._options
        deadlines: list[tuple[float, str | None]] = [(self._stop_at, None)]
        if self._stop_at < math.inf or self.begun is None:
            return deadlines
        if options.timeout_s is not None:
            deadlines.append((self.begun + options.timeout_s, "timeout_s"))
        if self._child_since is not None and not self._ready:
            deadlines.append((self._child_since + START_S, "start"))
        if self._loading_since is not None:
            if self._limited:
                deadlines.append((self._loading_since + options.resolve_timeout_s, None))
        elif options.idle_timeout_s is not None and self._child_since is not None:
            deadlines.append((self._heard + options.idle_timeout_s, "idle_timeout_s"))
        if self._job_started is not None and options.step_timeout_s is not None:
            deadlines.append((self._job_started + options.step_timeout_s, "step_timeout_s"))
        if self._job_started is not None and self._attempt_s is not None:
            deadlines.append((self._job_started + self._attempt_s, "timeout"))
        return deadlines

    def _report(self, name: str) -> ErrorReport:
        if name == "start":
            return make_report("SpawnError", f"the child was not ready after {START_S:g} s")
        limit = self._attempt_s if name == "timeout" else getattr(self._options, name)
        assert limit is not None
        what, step_id = {
            "timeout_s": ("the run took longer than", None),
            "idle_timeout_s": ("nothing was heard from the run for", None),
            "step_timeout_s": (f"step {self._step_id!r} took longer than", self._step_id),
            "timeout": (f"step {self._step_id!r} took longer than", self._step_id),
        }[name]
        milliseconds = round(limit * 1000, 3)
        return make_report(
            "TimeoutError",
            f"{what} its limit of {milliseconds:g} ms ({name})",
            step_id=step_id,
            option=name,
        )
