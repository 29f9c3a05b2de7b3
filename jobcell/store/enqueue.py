"""Enqueueing: checks a plan, and stores it as a run that waits for a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.api import DEFAULT_PUBLIC_KEYS, PlanError, Problem, RunOptions
from engine.plan import load_plan
from engine.reporting import secrets_of, secrets_within
from jobcell.store import queue
from jobcell.store.blobs import Blob, Blobs, Uploaded
from jobcell.store.contents import PackedRecord
from jobcell.store.database import Database
from jobcell.store.errors import RunConflictError
from jobcell.store.options import pack_options
from jobcell.store.schema import records, runs
from jobcell.store.traces import pack_trace
from protocol.plan import Plan
from protocol.state import StateNotCarriedError, encode_state
from protocol.trace import Trace

if TYPE_CHECKING:
    from dbos import DBOSClient

DEFAULT_TENANT: Final = "default"
LONGEST_ID: Final = 300


class Enqueued(NamedTuple):
    """A run that is ready to be stored."""

    run_id: str
    tenant: str
    priority: int
    not_before_s: float | None
    plan: Blob
    state: Blob | None
    plan_hash: str
    options: bytes | None
    retry_of: str | None = None
    schedule: str | None = None
    records: tuple[PackedRecord, ...] = ()
    """Records of an earlier run, which this run replays."""
    trace: str | None = None
    """The trace of the caller, as `jobcell.store.traces` packs it."""
    span: str | None = None
    """The last span of the earlier run."""

    @property
    def contents(self) -> list[Blob]:
        """The contents that its rows need."""
        states = [] if self.state is None else [self.state]
        return [self.plan, *(record.blob for record in self.records), *states]


class Place:
    """The place of the last run that this process has added to the queue."""

    def __init__(self) -> None:
        self.time_ms = 0


def prepare(
    blobs: Blobs,
    plan: Any,
    state: Any,
    *,
    run_id: str | None,
    tenant: str,
    priority: int,
    not_before: datetime | float | None,
    options: RunOptions | None,
    trace: Trace | None = None,
) -> Enqueued:
    """Check everything that a caller gives, and return the run.

    Raises:
        PlanError: The plan or the state cannot be run, or holds a credential.
        TypeError, ValueError: Another argument is wrong.

    """
    check_id("id", run_id)
    check_id("tenant", tenant, optional=False)
    _check_priority(priority)
    not_before_s = _unix_time(not_before)
    if options is not None and not isinstance(options, RunOptions):
        raise TypeError(f"options must be RunOptions, not {type(options).__name__}")
    checked = load_plan(
        plan,
        start=None if options is None else options.start,
        end=None if options is None else options.end,
        new_id=run_id or str(uuid4()),
    )
    chosen = run_id or checked.id
    if run_id is None:
        check_id("id", chosen)
    problems = list(_credentials_in(checked, state))
    if problems:
        raise PlanError(problems)
    try:
        encoded_state = None if state is None else encode_state(state)
    except StateNotCarriedError as error:
        raise PlanError([Problem(error.path, error.reason)]) from None
    packed = blobs.name(encode_plan(checked))
    packed_state = None if encoded_state is None else blobs.name(encoded_state)
    return Enqueued(
        run_id=chosen,
        tenant=tenant,
        priority=priority,
        not_before_s=not_before_s,
        plan=packed,
        state=packed_state,
        plan_hash=hash_of(blobs, packed, packed_state, tenant),
        options=pack_options(options),
        trace=pack_trace(trace),
    )


def write(
    database: Database,
    blobs: Blobs,
    client: DBOSClient,
    connection: sa.Connection,
    run: Enqueued,
    place: Place,
    *,
    uploaded: Uploaded,
    is_callers: bool = False,
) -> bool:
    """Store a run in the transaction of *connection*; return whether it is new.

    Args:
        database: Of the store.
        blobs: Of the store.
        client: Of DBOS.
        connection: A connection in a transaction.
        run: The run.
        place: Of the last run; the new run comes behind it.
        uploaded: Of `Blobs.upload`.
        is_callers: Whether the transaction is a caller's, and may stay open.

    Raises:
        RunConflictError: The store has another run with this id.

    """
    known = _known(connection, run.run_id)
    own_id = run.run_id if is_callers else None
    if known is None and _insert(database, blobs, connection, run, own_id, uploaded):
        place.time_ms = queue.put(
            client,
            connection,
            run_id=run.run_id,
            tenant=run.tenant,
            priority=run.priority,
            not_before_s=run.not_before_s,
            now_ms=database.now_ms,
            after_ms=place.time_ms,
        )
        return True
    if known is None:  # another transaction was faster, and has committed
        known = _known(connection, run.run_id)
    if known is None or known.plan_hash == run.plan_hash:
        return False
    is_foreign = known.tenant != run.tenant
    difference = (
        f"of tenant {known.tenant!r}" if is_foreign else "with another plan or another state"
    )
    raise RunConflictError(
        f"the store has a run {run.run_id!r} {difference}; choose another id for this run"
    )


def _known(connection: sa.Connection, run_id: str) -> Any:
    query = sa.select(runs.c.plan_hash, runs.c.tenant).where(runs.c.id == run_id)
    return connection.execute(query).first()


def _insert(
    database: Database,
    blobs: Blobs,
    connection: sa.Connection,
    run: Enqueued,
    own_id: str | None,
    uploaded: Uploaded,
) -> bool:
    """Store a run unless another transaction has done it; return whether it is new."""
    keys = blobs.write(connection, run.contents, run_id=own_id, uploaded=uploaded)
    insert = sqlite.insert if database.is_sqlite else postgresql.insert
    statement = insert(runs).values(
        id=run.run_id,
        tenant=run.tenant,
        priority=run.priority,
        plan_hash=run.plan_hash,
        plan=keys[run.plan.key],
        state=None if run.state is None else keys[run.state.key],
        options=run.options,
        status="queued",
        created_ms=database.now_ms,
        last_event_ms=database.now_ms,
        not_before_ms=None if run.not_before_s is None else int(run.not_before_s * 1000),
        retry_of=run.retry_of,
        schedule=run.schedule,
        trace=run.trace,
        span=run.span,
    )
    added = connection.execute(
        statement.on_conflict_do_nothing(index_elements=[runs.c.id]).returning(runs.c.id)
    )
    if added.first() is None:  # psycopg does not count the rows of an insert
        return False
    for number, record in enumerate(run.records, start=1):
        row = {"run_id": run.run_id, "number": number, "step_run_id": record.step_run_id}
        row |= {"body": record.body, "state": keys[record.blob.key]}
        connection.execute(records.insert().values(row))
    return True


def hash_of(blobs: Blobs, plan: Blob, state: Blob | None, tenant: str) -> str:
    """Return the hash by which two runs with the same id are found to be the same run."""
    parts = [plan.key, None if state is None else state.key, tenant]
    return blobs.name(msgspec.msgpack.encode(parts)).key


def encode_plan(plan: Plan) -> bytes:
    """Return a checked plan as bytes, without its id: the same plan of many runs is stored once."""
    return encode_state(msgspec.to_builtins(msgspec.structs.replace(plan, id="")))


def check_id(name: str, value: Any, *, optional: bool = True) -> None:
    """Check an id of a run or of a tenant.

    Raises:
        TypeError: It is not text.
        ValueError: It is empty, too long, or has a character that cannot be shown.

    """
    if value is None and optional:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name} must not be empty")
    if len(value) > LONGEST_ID:
        raise ValueError(f"{name} must have {LONGEST_ID} characters at most, not {len(value)}")
    if not value.isprintable():
        raise ValueError(f"{name} must not have characters that cannot be shown: {value!r}")


def _check_priority(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"priority must be an int, not {value!r}")
    if abs(value) > queue.MAX_PRIORITY:
        raise ValueError(
            f"priority must be from -{queue.MAX_PRIORITY} to {queue.MAX_PRIORITY}, not {value!r}"
        )


def _unix_time(moment: Any) -> float | None:
    if moment is None:
        return None
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"not_before must have a time zone: {moment!r}")
        return moment.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise TypeError(f"not_before must be a datetime or Unix seconds, not {moment!r}")
    if not 0 <= moment < 1e11:  # beyond: milliseconds were given
        raise ValueError(
            f"not_before must be Unix seconds, such as {time.time():.0f}, not {moment!r}"
        )
    return float(moment)


def _credentials_in(plan: Plan, state: Any) -> Iterator[Problem]:
    """Yield a problem for each place with values that may be secret."""
    places: list[tuple[str, Any]] = [("workflow.credentials", plan.workflow.credentials)]
    for number, step in enumerate(plan.workflow.steps):
        places.append((f"workflow.steps[{number}].configuration", step.configuration))
        if isinstance(step.state, Mapping):
            path = f"workflow.steps[{number}].state.configuration"
            places.append((path, step.state.get("configuration")))
    if isinstance(state, Mapping):
        places.append(("state.configuration", state.get("configuration")))
    for path, value in places:
        found = _secret_in(value, is_id=not path.endswith("state.configuration"))
        if found is not None:
            yield Problem(
                path,
                f"has {found} written in it, and a store keeps no credentials; write the id of a"
                " credential here, and let the worker load it (--resolvers)",
            )


def _secret_in(value: Any, *, is_id: bool) -> str | None:
    """Return words for the first value that the engine would treat as a secret; None without one."""
    if isinstance(value, str) and is_id:
        return "a password" if any(True for _ in secrets_within(value)) else None
    if isinstance(value, Mapping):
        for key, item in value.items():
            if any(True for _ in secrets_of({key: item}, _PUBLIC)):
                return f"the value of {key!r}"
        return None
    return "a value" if any(True for _ in secrets_of(value, _PUBLIC)) else None


_PUBLIC: Final = frozenset(key.casefold() for key in DEFAULT_PUBLIC_KEYS)
