"""The decided edges of one run: each is reported once, however many children decide it."""

from __future__ import annotations

from collections import deque

from engine.reporting import Reporter
from engine.running.session.claims import Claims
from protocol import events
from protocol.messages import EdgeResolved


class EdgeReports:
    """Reports edges as they are decided.

    A child that follows another one decides the edges of triggers again.  The edges of the step that
    ended last may be missing, because the child before it died before it could send them.

    Args:
        claims: Checks the names of edges.
        reporter: Emits the events.
        several: Whether the run may have several children.

    """

    def __init__(self, claims: Claims, reporter: Reporter, *, several: bool) -> None:
        self._claims = claims
        self._reporter = reporter
        self._several = several
        self._step_id = ""
        """The step that ended last."""
        self._following: tuple[str, ...] = ()
        self._due: deque[str] = deque()
        """The targets of its edges that are not reported yet."""
        self._since: list[tuple[str, str]] = []
        """The edges of triggers that were reported since then."""
        self._again: deque[tuple[str, str]] = deque()
        """Those of them that the present child decides again."""

    def step_ended(self, step_id: str, following: tuple[str, ...]) -> None:
        """Take note of a step that has ended, and of the steps that follow it."""
        if self._several:
            self._step_id, self._following = step_id, following
            self._due = deque(self._claims.targets(step_id))
            self._since.clear()
            self._again.clear()

    def take(self, message: EdgeResolved) -> None:
        """Report an edge, unless an earlier child has decided it."""
        source, target = message.from_step_id, message.to_step_id
        if self._several:
            if self._due and (source, target) == (self._step_id, self._due[0]):
                self._due.popleft()
            elif self._again and self._again[0] == (source, target):
                self._again.popleft()
                return
            else:
                self._since.append((source, target))
        self._report(source, target, taken=message.taken)

    def next_child(self) -> None:
        """Report the missing edges of the step that ended last: another child begins."""
        for target in self._due:
            self._report(self._step_id, target, taken=target in self._following)
        self._due.clear()
        self._again = deque(self._since)

    def _report(self, source: str, target: str, *, taken: bool) -> None:
        self._reporter.emit(
            events.EdgeResolved,
            from_step_id=source,
            to_step_id=target,
            condition=self._claims.condition(source, target),
            taken=taken,
        )
