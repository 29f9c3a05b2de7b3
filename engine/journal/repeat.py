"""Takes the records before a step over into another run, which repeats the rest."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import StepRecord
from protocol.plan import Plan


def records_before(records: Sequence[StepRecord], step_id: str) -> tuple[StepRecord, ...]:
    """Return the records before the first execution of a step; all of them if it has none."""
    for number, record in enumerate(records):
        if record.step_id == step_id:
            return tuple(records[:number])
    return tuple(records)


def leads_to(records: Sequence[StepRecord], plan: Plan, step_id: str) -> bool:
    """Whether a run with these records comes to a step that has no record yet."""
    upstream = [step for step in plan.workflow.steps if step_id in step.next]
    if step_id == plan.start or any(step.expression is None for step in upstream):
        return True
    return any(step_id in record.next for record in records)
