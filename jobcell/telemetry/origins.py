"""Finds the step runs that have led to a step: from the ends of steps and from decided edges."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import Generic, TypeVar

from protocol.plan import Workflow

T = TypeVar("T")


class Origins(Generic[T]):
    """Follows the walk of a run.  A step run is known by any value, such as the context of its span.

    Steps run in the order in which edges lead to them.  A join takes all that lead to it.  A trigger has no
    step run: what led to it leads to the steps behind it.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._joins = {step.id for step in workflow.steps if step.join == "all"}
        self._triggers = {
            step.id: len(step.next) for step in workflow.steps if step.expression is None
        }
        self._waiting: dict[str, deque[tuple[T, ...]]] = {}
        self._left: dict[str, int] = {}
        """For a trigger whose edges are being decided, the number of those that are not."""

    def ended(self, of: T, following: tuple[str, ...]) -> None:
        """Take note of the end of a step run, and of the steps that follow."""
        for target in following:
            self._lead((of,), target)

    def decided(self, source: str, target: str, *, taken: bool) -> None:
        """Take note of a decided edge; only those out of triggers matter here."""
        count = self._triggers.get(source)
        if count is None:
            return
        waiting = self._waiting.get(source)
        of: tuple[T, ...] = ()
        if waiting:  # a trigger may be a join as well
            of = tuple(chain(*waiting)) if source in self._joins else waiting[0]
        if taken:
            self._lead(of, target)
        left = self._left.pop(source, count) - 1
        if left > 0:
            self._left[source] = left
        elif waiting:
            self._take(source)

    def begun(self, step_id: str) -> tuple[T, ...]:
        """Return the step runs that have led to a step run that begins now."""
        return self._take(step_id)

    def _lead(self, of: tuple[T, ...], target: str) -> None:
        self._waiting.setdefault(target, deque()).append(of)

    def _take(self, step_id: str) -> tuple[T, ...]:
        waiting = self._waiting.get(step_id)
        if not waiting:
            return ()
        if step_id not in self._joins:
            return waiting.popleft()
        found = tuple(of for group in waiting for of in group)
        waiting.clear()
        return found
