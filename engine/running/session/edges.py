"""The decided edges of one run: each is reported once, however many children decide it.

The same holds for the warnings about their conditions.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from engine.reporting import Reporter
from engine.running.session.claims import Claims
from engine.running.session.roles import ABOUT_AN_EDGE
from protocol import events
from protocol.messages import EdgeResolved, LogEntry

_MOST_WARNINGS: Final = 1_000
"""Most warnings that are kept, because the child chooses their number."""


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
        self.several = several
        """Whether the run may have several children."""
        self._step_id = ""
        """The step that ended last."""
        self._following: tuple[str, ...] = ()
        self._due: deque[str] = deque()
        """The targets of its edges that are not reported yet."""
        self._since: list[tuple[str, str]] = []
        """The edges of triggers that were reported since then."""
        self._again: deque[tuple[str, str]] = deque()
        """Those of them that the present child decides again."""
        self._warned: list[str] = []
        """The warnings about edges of triggers since the last end of a step."""
        self._warned_again: deque[str] = deque()
        """Those of them that the present child gives again."""

    def step_ended(self, step_id: str, following: tuple[str, ...]) -> None:
        """Take note of a step that has ended, and of the steps that follow it."""
        if self.several:
            self._step_id, self._following = step_id, following
            self._due = deque(self._claims.targets(step_id))
            self._since.clear()
            self._again.clear()
            self._warned.clear()
            self._warned_again.clear()

    def is_repeated(self, entry: LogEntry) -> bool:
        """Return whether a line between two steps repeats the warning of an earlier child.

        Args:
            entry: A line whose source was checked.

        """
        if entry.source != "runtime" or not entry.message.startswith(ABOUT_AN_EDGE):
            return False
        if self._warned_again and self._warned_again[0] == entry.message:
            self._warned_again.popleft()
            return True
        if len(self._warned) < _MOST_WARNINGS:
            self._warned.append(entry.message)
        return False

    def take(self, message: EdgeResolved) -> None:
        """Report an edge, unless an earlier child has decided it."""
        source, target = message.from_step_id, message.to_step_id
        if self.several:
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
        self._warned_again = deque(self._warned)

    def _report(self, source: str, target: str, *, taken: bool) -> None:
        self._reporter.emit(
            events.EdgeResolved,
            from_step_id=source,
            to_step_id=target,
            condition=self._claims.condition(source, target),
            taken=taken,
        )
