"""Counts the executions of a run that are still to come."""

from __future__ import annotations

from collections.abc import Iterable

from engine.api import StepRecord
from protocol.plan import Workflow


class Walk:
    """Knows for simple plans whether a step is the last one of its run.

    In a plan with joins, or with triggers after the start, the records do not show it.

    Args:
        workflow: The steps.
        start: The step that runs first.
        records: The executions that have ended.

    """

    def __init__(self, workflow: Workflow, start: str, records: Iterable[StepRecord]) -> None:
        self._open: int | None = 1 if _is_simple(workflow, start) else None
        for record in records:
            self.ends_with(record)

    def ends_with(self, record: StepRecord) -> bool:
        """Take note of the next record; return whether no execution follows it."""
        if self._open is None:
            return False
        self._open += len(record.next) - 1
        return self._open == 0


def _is_simple(workflow: Workflow, start: str) -> bool:
    steps = {step.id: step for step in workflow.steps}
    if start not in steps or any(step.join == "all" for step in workflow.steps):
        return False
    first = steps[start]
    triggers = {step.id for step in workflow.steps if step.expression is None}
    if start in triggers and len(first.next) != 1:
        return False
    return triggers <= {start}
