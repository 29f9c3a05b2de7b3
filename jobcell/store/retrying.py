"""Makes a new run of an old one; it may take over the records before a step."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import sqlalchemy as sa

from engine.api import PlanError, Problem
from engine.journal import describe_run, fingerprint, leads_to, records_before
from jobcell.store.blobs import Blobs
from jobcell.store.contents import Contents, PackedRecord
from jobcell.store.enqueue import Enqueued, encode_plan, hash_of
from jobcell.store.errors import RunNotOverError
from jobcell.store.reading import OVER, Reader, Stored
from jobcell.store.schema import runs
from jobcell.store.traces import pack_trace
from protocol.state import encode_state
from protocol.suggestion import hint
from protocol.trace import Trace


def prepare_retry(
    connection: sa.Connection,
    reader: Reader,
    contents: Contents,
    blobs: Blobs,
    run_id: str,
    from_step: str | None,
    trace: Trace | None,
) -> Enqueued:
    """Return a new run with the plan, the state, the tenant and the options of an old one.

    Args:
        connection: A connection to the store.
        reader: Of the store.
        contents: Of the store.
        blobs: Of the store.
        run_id: The id of the old run.
        from_step: The id of the first step that runs again; None: all of them run.
        trace: The trace of the caller.

    Raises:
        UnknownRunError: The store has no such run.
        RunNotOverError: The old run goes on.
        PlanError: The run has no such step, or has no record of the steps before it.

    """
    old = reader.stored(connection, run_id)
    if old.status not in OVER:
        raise RunNotOverError(
            f"run {run_id!r} is {old.status}; only a run that is over can be repeated (jobcell cancel"
            f" {run_id})"
        )
    query = sa.select(runs.c.schedule, runs.c.span).where(runs.c.id == run_id)
    row = connection.execute(query).one()
    new_id = str(uuid4())
    kept: tuple[PackedRecord, ...] = ()
    if from_step is not None:
        kept = _kept(connection, reader, contents, run_id, old, new_id, from_step)
    plan = blobs.name(encode_plan(old.plan))
    state = None if old.state is None else blobs.name(encode_state(old.state))
    return Enqueued(
        run_id=new_id,
        tenant=old.tenant,
        priority=old.priority,
        not_before_s=None,
        plan=plan,
        state=state,
        plan_hash=hash_of(blobs, plan, state, old.tenant),
        options=old.options,
        retry_of=run_id,
        # It stands for the tick of the old run, and the next tick goes on with its state.
        schedule=row.schedule,
        records=kept,
        trace=pack_trace(trace),
        span=row.span,
    )


def _kept(
    connection: sa.Connection,
    reader: Reader,
    contents: Contents,
    run_id: str,
    old: Stored,
    new_id: str,
    from_step: str,
) -> tuple[PackedRecord, ...]:
    steps = {step.id: step for step in old.plan.workflow.steps}
    step = steps.get(from_step)
    if step is None:
        advice = hint(from_step, steps, kind="there are")
        raise _wrong(f"run {run_id!r} has no step {from_step!r}{advice}")
    if step.expression is None:
        raise _wrong(f"{from_step!r} is a trigger, which has nothing to run; name a job")
    records = reader.records(connection, run_id)
    kept = records_before(records, from_step)
    if len(kept) == len(records) and not leads_to(kept, old.plan, from_step):
        raise _wrong(
            f"run {run_id!r} has no input for step {from_step!r}: no recorded step leads to it"
        )
    plan = msgspec.structs.replace(old.plan, id=new_id)
    extra = describe_run(fingerprint(plan, old.state, own_id=True), new_id)
    return tuple(
        contents.pack_record(new_id, number, msgspec.structs.replace(record, extra=extra))
        for number, record in enumerate(kept, start=1)
    )


def _wrong(message: str) -> PlanError:
    return PlanError([Problem("from_step", message)])
