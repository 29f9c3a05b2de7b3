"""The steps of an earlier run that have no record: they come with the step that a user repeats."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from engine import StepRecord
from jobcell.input.errors import BadInputError
from protocol.plan import Plan, Step, is_live

if TYPE_CHECKING:
    from collections.abc import Sequence

_STAND_IN: Final = "def main(state): return state"


class Waiting(NamedTuple):
    """The other steps that a run would execute without a record, and the run without them."""

    step_ids: tuple[str, ...]
    records: tuple[StepRecord, ...]
    plan: Plan


def check_reached(where: str, plan: Plan, records: Sequence[StepRecord], step_id: str) -> bool:
    """Check that the recorded steps can lead to a step without a record.

    Args:
        where: The option and the journal, for the message.
        plan: The plan of the new run.
        records: The records of the earlier run.
        step_id: The step.

    Returns:
        Whether they do lead to it; if not, conditions after triggers decide it.

    Raises:
        BadInputError: They cannot.

    """
    if step_id == plan.start or any(step_id in record.next for record in records):
        return True
    upstream = [step for step in plan.workflow.steps if step_id in step.next]
    if any(step.expression is None for step in upstream):
        return False
    names = ", ".join(repr(step.id) for step in upstream) or "none"
    message = (
        f"{where} has no input for step {step_id!r}:"
        f" no recorded step leads to it (upstream steps: {names})"
    )
    raise BadInputError([message])


def find_waiting(plan: Plan, records: tuple[StepRecord, ...], step_id: str) -> Waiting:
    """Return the steps that the recorded steps lead to, that have no record, and are not *step_id*."""
    steps = {step.id: step for step in plan.workflow.steps}
    left = Counter(record.step_id for record in records)
    joined = {one for one in left if steps[one].join == "all"}
    waiting: dict[str, None] = {}
    left.subtract({plan.start: 1})  # the first execution needs no edge

    def is_kept(target: str) -> bool:
        if target == step_id or target in joined or steps[target].expression is None:
            return True
        left[target] -= 1
        if left[target] < 0:
            waiting[target] = None
        return left[target] >= 0

    by_triggers = {
        step.id: {
            target: edge
            if not is_live(edge) or is_kept(target)
            else msgspec.structs.replace(edge, disabled=True)
            for target, edge in step.next.items()
        }
        for step in steps.values()
        if step.expression is None
    }
    kept = tuple(
        msgspec.structs.replace(record, next=tuple(filter(is_kept, record.next)))
        for record in records
    )
    changed = (
        msgspec.structs.replace(step, next=by_triggers[step.id]) if step.id in by_triggers else step
        for step in steps.values()
    )
    workflow = msgspec.structs.replace(plan.workflow, steps=tuple(changed))
    return Waiting(tuple(waiting), kept, msgspec.structs.replace(plan, workflow=workflow))


def check_joins(where: str, plan: Plan, waiting: Sequence[str], step_id: str) -> None:
    """Check that no join before a step, and not the step itself, waits for a step without a record.

    Raises:
        BadInputError: A join has only a part of its input.

    """
    joins = [
        step.id
        for step in plan.workflow.steps
        if step.join == "all" and leads_to(plan, step.id, step_id)
    ]
    for other in waiting:
        for join in joins:
            if leads_to(plan, other, join):
                message = (
                    f"{where} has no whole input for the join {join!r}:"
                    f" step {other!r} has no record, and leads to it"
                )
                raise BadInputError([message])


def with_stand_in(plan: Plan, step: Step) -> Plan:
    """Return the plan with a job without effects in place of a step."""
    stand_in = Step(id=step.id, expression=_STAND_IN, join=step.join, next=step.next)
    steps = tuple(stand_in if one.id == step.id else one for one in plan.workflow.steps)
    workflow = msgspec.structs.replace(plan.workflow, steps=steps)
    return msgspec.structs.replace(plan, workflow=workflow)


def leads_to(plan: Plan, start: str, target: str) -> bool:
    """Return whether edges lead from a step to another one, or whether it is the same step."""
    steps = {step.id: step for step in plan.workflow.steps}
    seen, waiting = {start}, deque([start])
    while waiting:
        for following, edge in steps[waiting.popleft()].next.items():
            if following not in seen and is_live(edge):
                seen.add(following)
                waiting.append(following)
    return target in seen
