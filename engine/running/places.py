"""Chooses the next run of the queue, so that a run that a resolver starts is not locked out.

A resolver may run a plan on the engine that has called it.  Meanwhile the run that it resolves for
has a place, and its child only waits.  If all places were used like this, the engine would be
blocked for ever.  So such a run lends its place to one run at a time.

These objects are for the supervisor's thread.
"""

from __future__ import annotations

from collections import deque

from engine.running.lane import Lane


class Places:
    """The queue of an engine, and the runs that are going on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[Lane] = deque()
        self._asked_for: list[Lane] = []
        """Runs in the queue that a resolver has started."""
        self._running: set[Lane] = set()
        self._resting: set[Lane] = set()
        """The runs that wait for their next child, and hold no place."""
        self._lent: dict[Lane, Lane] = {}
        """For each lender of a place, the run that has the place; both are going on."""

    def __bool__(self) -> bool:
        return bool(self._queue or self._running or self._resting)

    @property
    def running(self) -> int:
        """Number of runs that are going on."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Number of runs in the queue."""
        return len(self._queue)

    def __contains__(self, lane: Lane) -> bool:
        """Whether a run is in the queue."""
        return lane in self._queue or lane in self._resting

    def all(self) -> list[Lane]:
        """Return all runs, those in the queue first."""
        return [*self._queue, *self._resting, *self._running]

    def add(self, lane: Lane) -> None:
        """Queue a run."""
        self._queue.append(lane)
        if lane.asker is not None:
            self._asked_for.append(lane)

    def add_first(self, lane: Lane) -> None:
        """Queue a run again after it could not be started."""
        self.ended(lane)
        self._queue.appendleft(lane)
        if lane.asker is not None:
            self._asked_for.insert(0, lane)

    def rest(self, lane: Lane) -> None:
        """Give the place of a run back that goes on later."""
        self.ended(lane)
        self._resting.add(lane)

    def remove(self, lane: Lane) -> None:
        """Take a run out of the queue, or out of its rest."""
        if lane in self._resting:
            self._resting.remove(lane)
            return
        self._queue.remove(lane)
        if lane in self._asked_for:
            self._asked_for.remove(lane)

    def next(self) -> Lane | None:
        """Return the run that may be started now; it stays in the queue."""
        if not self._queue:
            return None
        if self._has_free():
            return self._queue[0]
        return next((lane for lane in self._asked_for if self._lender(lane)), None)

    def start(self, lane: Lane) -> None:
        """Take a run out of the queue and give it a place."""
        lender = None if self._has_free() else self._lender(lane)
        self.remove(lane)
        self._running.add(lane)
        if lender is not None:
            self._lent[lender] = lane

    def ended(self, lane: Lane) -> None:
        """Give the place of a run back."""
        self._running.discard(lane)
        self._resting.discard(lane)
        self._lent.pop(lane, None)
        for lender, borrower in [*self._lent.items()]:
            if borrower is lane:
                del self._lent[lender]

    def beside(self, lane: Lane) -> int:
        """Return the number of other runs whose end makes room for this run.

        If a resolver has started this run, runs that wait for a resolver do not count: they may
        wait for this run.
        """
        if lane.asker is None:
            return len(self._running) - (lane in self._running)
        return sum(1 for other in self._running if other is not lane and not other.resolving)

    def _has_free(self) -> bool:
        return len(self._running) - len(self._lent) < self._most

    def _lender(self, lane: Lane) -> Lane | None:
        """Return the nearest run here that waits for *lane*, directly or through another engine."""
        asker = lane
        while asker.asker is not None:
            above = asker.asker()
            if above is None:
                return None
            asker = above
            if asker in self._running and asker not in self._lent and asker.resolving:
                return asker
        return None
