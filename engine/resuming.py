"""Takes up a run where its journal says that it was left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.api import Journal, JournalError, PlanError, Problem
from engine.journal import describe_run, fingerprint, read_journal
from engine.running import Order, Past
from protocol.plan import Plan
from protocol.report import make_report
from protocol.state import StateNotCarriedError


def take_up(
    plan: Plan,
    state: Any,
    journal: Journal,
    *,
    own_id: bool,
    prepare: Callable[[Plan, Past], Order],
) -> Order:
    """Return the order for a run that has a journal.

    If the journal cannot be used, the run ends with `JournalError` before its first job.

    Args:
        plan: The checked plan.
        state: The initial state, or the id of a stored state.
        journal: The journal, with or without records.
        own_id: Whether the plan gives the id of the run; if not, a resumed run keeps the recorded id.
        prepare: Makes an order of a plan and its past.

    Raises:
        PlanError: The initial state cannot be carried.

    """
    try:
        plan_hash = fingerprint(plan, state, own_id=own_id)
    except StateNotCarriedError as error:
        raise PlanError([Problem(error.path, error.reason)]) from None
    try:
        known = read_journal(journal, plan, plan_hash)
        if known.run_id is not None:
            plan = msgspec.structs.replace(plan, id=known.run_id)
        extra = describe_run(plan_hash, plan.id)
        past = Past(
            journaled=True,
            records=known.records,
            versions=known.versions,
            extra=extra,
            begun=known.begun,
            keeps_events=known.keeps_events,
        )
        return prepare(plan, past)
    except JournalError as error:
        report = make_report("JournalError", str(error), option="journal")
        return prepare(plan, Past(failed=report))
