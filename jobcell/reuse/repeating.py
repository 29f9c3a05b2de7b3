"""`jobcell run --from STEP` and `--only STEP`: a new run that takes steps over from an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from engine import PlanError, StepRecord
from engine.journal import (
    describe_run,
    fingerprint,
    is_replayable,
    read_journal,
    records_before,
)
from engine.plan import load_plan
from jobcell.input.errors import BadInputError
from jobcell.input.step_choice import choose_step
from jobcell.reuse.journals import bad_input, described_plan, open_journal, read_description
from jobcell.reuse.unrecorded import (
    check_joins,
    check_reached,
    find_waiting,
    leads_to,
    with_stand_in,
)
from protocol.plan import Plan

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


class Repetition(NamedTuple):
    """A run that repeats a part of an earlier run."""

    plan: Plan
    state: Any
    journal: ReplayedSteps
    waiting: tuple[str, ...] = ()
    """The steps that have no record either, and may run before the step or beside it."""
    trial: tuple[Plan, ReplayedSteps] | None = None
    """A run without the step that shows whether the step is reached, if conditions decide that."""


def prepare_repeat(
    repeat: Repeat, path: Path, key: bytes | None, plan: Plan, state: Any, *, own_state: bool
) -> Repetition:
    """Return a run that repeats a part of an earlier run.

    Args:
        repeat: The step, and whether the run ends with it, from `choose_repeat`.
        path: The journal of the earlier run, which stays as it is.
        key: Of the journal.
        plan: The plan of the new run.
        state: The initial state of the new run.
        own_state: Whether the user has given the state; otherwise it is that of the earlier run.

    Raises:
        BadInputError: The journal does not lead to the step, or is of another plan.

    """
    step = next(step for step in plan.workflow.steps if step.id == repeat.step_id)
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
    waiting: tuple[str, ...] = ()
    trial = None
    if len(kept) == len(records):
        where = f"{repeat.option}: {path}"
        by_record = check_reached(where, plan, kept, step.id)
        others = find_waiting(plan, kept, step.id)
        if not by_record and not any(leads_to(plan, one, step.id) for one in others.step_ids):
            stand_in = _ending_with(with_stand_in(others.plan, step), step.id)
            trial = stand_in, _journal_of(stand_in, state, others.records)
        if repeat.only:
            check_joins(where, plan, others.step_ids, step.id)
            kept, plan = others.records, others.plan
        else:
            waiting = tuple(one for one in others.step_ids if not leads_to(plan, step.id, one))
    if repeat.only:
        plan = _ending_with(plan, step.id)
    return Repetition(plan, state, _journal_of(plan, state, kept), waiting, trial)


def _journal_of(plan: Plan, state: Any, records: Iterable[StepRecord]) -> ReplayedSteps:
    """Return a journal of a new run that begins with these records."""
    extra = describe_run(fingerprint(plan, state, own_id=True), plan.id)
    journal = ReplayedSteps([msgspec.structs.replace(one, extra=extra) for one in records])
    with bad_input():
        read_journal(journal, plan, extra["plan"])
    return journal


def read_journal_of(journal: Any, plan: Plan, state: Any) -> None:
    """Raise BadInputError if records of a journal contradict the plan in its description."""
    with bad_input():
        read_journal(journal, plan, fingerprint(plan, state, own_id=True))


def choose_repeat(repeat: Repeat, plan: Plan) -> tuple[Repeat, str | None]:
    """Return the wish of a user with the id of its step, and a note about the choice or None.

    Raises:
        BadInputError: The user means none of the steps, more than one, or a trigger.

    """
    step, note = choose_step(repeat.option, repeat.step_id, plan)
    if step.expression is None:
        message = f"{repeat.option}: {step.id!r} is a trigger, which has nothing to run"
        raise BadInputError([f"{message}; name a job"])
    return repeat._replace(step_id=step.id), note


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


def _ending_with(plan: Plan, step_id: str) -> Plan:
    options = msgspec.structs.replace(plan.options, end=step_id)
    try:
        return load_plan(msgspec.structs.replace(plan, options=options), warn=lambda _: None)
    except PlanError as error:
        raise BadInputError(str(problem) for problem in error.problems) from None
