"""`jobcell run --from STEP` and `--only STEP`: a new run that takes steps over from an earlier one."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from engine import PlanError, StepRecord
from engine.journal import (
    describe_run,
    fingerprint,
    is_replayable,
    leads_to,
    read_journal,
    records_before,
)
from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.journals import bad_input, described_plan, open_journal, read_description
from protocol.plan import Plan, Step, is_live
from protocol.suggestion import hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class Repeat(NamedTuple):
    """The wish of a user to repeat a part of an earlier run."""

    step_id: str
    only: bool

    @property
    def option(self) -> str:
        """The option that a message names."""
        return "--only" if self.only else "--from"


class ReplayedSteps:
    """A journal in memory: it gives records of an earlier run, and keeps nothing."""

    def __init__(self, records: Sequence[StepRecord]) -> None:
        self._records = records

    def record(self, record: StepRecord) -> None:
        """Keep nothing: the journal of the earlier run stays as it is."""

    def records(self) -> Iterable[StepRecord]:
        """Return the records of the steps that are replayed."""
        return self._records


def prepare_repeat(
    repeat: Repeat, path: Path, key: bytes | None, plan: Plan, state: Any, *, own_state: bool
) -> tuple[Plan, Any, ReplayedSteps]:
    """Return the plan, the state and the journal of a run that repeats a part of an earlier run.

    Args:
        repeat: The step, and whether the run ends with it.
        path: The journal of the earlier run, which stays as it is.
        key: Of the journal.
        plan: The plan of the new run.
        state: The initial state of the new run.
        own_state: Whether the user has given the state; otherwise it is that of the earlier run.

    Raises:
        BadInputError: The step is not in the plan, the journal does not lead to it, or the journal is
            of another plan.

    """
    step = _find_step(repeat, plan)
    with open_journal(path, key, read_only=True) as journal:
        about = read_description(journal, path)
        with bad_input():
            records = tuple(journal.records())
        earlier: Plan | None = None
        if about is not None:
            # Credentials of the earlier plan are not needed: its file may have been mended since.
            left_out = ("state",) if "state" in about.left_out and not own_state else ()
            without = msgspec.structs.replace(about, left_out=left_out)
            earlier, first_state = described_plan(without, path)
            read_journal_of(journal, earlier, first_state)
            state = state if own_state else first_state
    kept = records_before(records, step.id)
    if earlier is None:
        _check_same(path, records, plan, state)
    else:
        replayed = {record.step_id for record in kept}
        reason = is_replayable(earlier, first_state, plan, state, replayed)
        if reason is not None:
            raise BadInputError([f"{path}: is the journal of another plan: {reason}"])
    if len(kept) == len(records):
        _check_reached(repeat, path, plan, kept)
        if repeat.only:
            kept, plan = _without_others(repeat, path, plan, kept)
    if repeat.only:
        plan = _ending_with(plan, step.id)
    extra = describe_run(fingerprint(plan, state, own_id=True), plan.id)
    journal_of_new = ReplayedSteps([msgspec.structs.replace(one, extra=extra) for one in kept])
    with bad_input():
        read_journal(journal_of_new, plan, extra["plan"])
    return plan, state, journal_of_new


def read_journal_of(journal: Any, plan: Plan, state: Any) -> None:
    """Raise BadInputError if records of a journal contradict the plan in its description."""
    with bad_input():
        read_journal(journal, plan, fingerprint(plan, state, own_id=True))


def _find_step(repeat: Repeat, plan: Plan) -> Step:
    steps = {step.id: step for step in plan.workflow.steps}
    step = steps.get(repeat.step_id)
    if step is None:
        advice = hint(repeat.step_id, steps, kind="there are")
        message = f"{repeat.option}: no step has the id {repeat.step_id!r}{advice}"
        raise BadInputError([message])
    if step.expression is None:
        message = f"{repeat.option}: {repeat.step_id!r} is a trigger, which has nothing to run"
        raise BadInputError([f"{message}; name a job"])
    return step


def _check_same(path: Path, records: tuple[StepRecord, ...], plan: Plan, state: Any) -> None:
    """Check a journal without a description: only its hash says which plan it is of."""
    if not records:
        raise BadInputError([f"{path}: nothing is recorded in it"])
    run_id = records[0].extra.get("run_id")
    known = {fingerprint(plan, state, own_id=False), fingerprint(plan, state, own_id=True)}
    if isinstance(run_id, str):
        renamed = msgspec.structs.replace(plan, id=run_id)
        known.add(fingerprint(renamed, state, own_id=True))
    if records[0].extra.get("plan") not in known:
        message = f"{path}: is the journal of another plan, or of another initial state"
        raise BadInputError([message])


def _check_reached(repeat: Repeat, path: Path, plan: Plan, kept: tuple[StepRecord, ...]) -> None:
    """Check that a step without a record is one to which the recorded steps lead."""
    if leads_to(kept, plan, repeat.step_id):
        return
    upstream = [step for step in plan.workflow.steps if repeat.step_id in step.next]
    names = ", ".join(repr(step.id) for step in upstream) or "none"
    message = (
        f"{repeat.option}: {path} has no input for step {repeat.step_id!r}:"
        f" no recorded step leads to it (upstream steps: {names})"
    )
    raise BadInputError([message])


def _without_others(
    repeat: Repeat, path: Path, plan: Plan, kept: tuple[StepRecord, ...]
) -> tuple[tuple[StepRecord, ...], Plan]:
    """Leave out all executions that would come before that of the step, and have no record."""
    steps = {step.id: step for step in plan.workflow.steps}
    left = Counter(record.step_id for record in kept)
    joined = {one for one in left if steps[one].join == "all"}
    dropped: set[str] = set()
    left.subtract({plan.start: 1})  # the first execution needs no edge

    def is_kept(target: str) -> bool:
        if target == repeat.step_id or target in joined or steps[target].expression is None:
            return True
        left[target] -= 1
        if left[target] < 0:
            dropped.add(target)
        return left[target] >= 0

    by_triggers = {
        step.id: {
            target: edge if is_kept(target) else msgspec.structs.replace(edge, disabled=True)
            for target, edge in step.next.items()
        }
        for step in steps.values()
        if step.expression is None
    }
    records = tuple(
        msgspec.structs.replace(record, next=tuple(filter(is_kept, record.next))) for record in kept
    )
    if steps[repeat.step_id].join == "all":
        waits_for = sorted(one for one in dropped if _leads_to(steps, one, repeat.step_id))
        if waits_for:
            message = (
                f"{repeat.option}: {path} has no whole input for the join {repeat.step_id!r}:"
                f" step {waits_for[0]!r} has no record, and leads to it"
            )
            raise BadInputError([message])
    changed = (
        msgspec.structs.replace(step, next=by_triggers[step.id]) if step.id in by_triggers else step
        for step in steps.values()
    )
    workflow = msgspec.structs.replace(plan.workflow, steps=tuple(changed))
    return records, msgspec.structs.replace(plan, workflow=workflow)


def _leads_to(steps: dict[str, Step], start: str, target: str) -> bool:
    seen, waiting = {start}, deque([start])
    while waiting:
        for following, edge in steps[waiting.popleft()].next.items():
            if following not in seen and is_live(edge):
                seen.add(following)
                waiting.append(following)
    return target in seen


def _ending_with(plan: Plan, step_id: str) -> Plan:
    options = msgspec.structs.replace(plan.options, end=step_id)
    try:
        return load_plan(msgspec.structs.replace(plan, options=options), warn=lambda _: None)
    except PlanError as error:
        raise BadInputError(str(problem) for problem in error.problems) from None
