"""Lists the runs of a store, and counts them."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec
import sqlalchemy as sa

from jobcell.store.database import Database
from jobcell.store.reading import unknown
from jobcell.store.schema import runs, workers

RunState = Literal["queued", "running", "done", "dead"]
STATES: Final = get_args(RunState)

ALIVE_S: Final = 30.0
"""A worker whose last heartbeat is older does not count as alive."""


_MOST: Final = 2**63 - 1
"""The largest number that a database takes."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a list.  Times are Unix seconds of the database's clock."""

    id: str
    state: RunState
    tenant: str
    takeovers: int
    """The number of times that another worker has taken the run over."""
    priority: int
    reason: str | None
    """As in `RunResult.reason`; None while the run is not over."""
    created: float
    not_before: float | None
    started: float | None
    ended: float | None
    worker: str | None
    retry_of: str | None
    schedule: str | None


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that has a row in the store."""

    id: str
    host: str
    pid: int
    version: str
    places: int
    draining: bool
    alive: bool
    seen_s: float
    """Seconds since its last heartbeat."""


class TenantCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of runs."""

    queued: int = 0
    running: int = 0
    done: int = 0
    dead: int = 0


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of runs, and the workers."""

    queued: int
    running: int
    done: int
    dead: int
    oldest_queued_s: float | None
    """Seconds for which the oldest run could have begun already; None if no run waits."""
    tenants: dict[str, TenantCounts]
    workers: tuple[WorkerInfo, ...]
    schema_version: int
    encrypted: bool


def list_runs(
    database: Database,
    *,
    state: str | None,
    tenant: str | None,
    limit: int | None,
    before: str | None = None,
) -> list[RunInfo]:
    """Return runs, the newest first; with *before* those that are older than that run.

    Raises:
        UnknownRunError: The store has no run *before*.
        ValueError: *state* or *limit* is not valid.
        TypeError: *tenant* is not text.

    """
    if tenant is not None and not isinstance(tenant, str):
        raise TypeError(f"tenant must be text, not {type(tenant).__name__}")
    if state is not None and state not in STATES:
        raise ValueError(f"state must be one of {', '.join(STATES)}, not {state!r}")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"limit must be an int of at least 1, not {limit!r}")
    if tenant is not None and not tenant.isprintable():
        return []  # no run can have it
    query = sa.select(runs).order_by(runs.c.created_ms.desc(), runs.c.id.desc())
    if state is not None:
        query = query.where(runs.c.status == state)
    if tenant is not None:
        query = query.where(runs.c.tenant == tenant)
    if limit is not None:
        query = query.limit(min(limit, _MOST))
    with database.read() as connection:
        if before is not None:
            last = _find(connection, before)
            place = sa.tuple_(runs.c.created_ms, runs.c.id)
            query = query.where(place < (last.created_ms, last.id))
        return [_info(row) for row in connection.execute(query)]


def find_run(database: Database, run_id: str) -> RunInfo:
    """Return one run.

    Raises:
        UnknownRunError: The store has no such run.

    """
    with database.read() as connection:
        return _info(_find(connection, run_id))


def _find(connection: sa.Connection, run_id: str) -> Any:
    row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise unknown(run_id)
    return row


def count(database: Database, *, schema_version: int, encrypted: bool) -> StoreStatus:
    """Return the numbers of runs, and the workers."""
    waiting_since = sa.func.min(sa.func.coalesce(runs.c.not_before_ms, runs.c.created_ms))
    query = sa.select(
        runs.c.status, runs.c.tenant, sa.func.count().label("number"), waiting_since.label("since")
    ).group_by(runs.c.status, runs.c.tenant)
    with database.read() as connection:
        rows = connection.execute(query).all()
        now_ms = connection.execute(sa.select(database.now_ms)).scalar_one()
        found = connection.execute(sa.select(workers).order_by(workers.c.id)).all()
    totals = dict.fromkeys(STATES, 0)
    tenants: dict[str, dict[str, int]] = {}
    oldest_s: float | None = None
    for row in rows:
        totals[row.status] += row.number
        tenants.setdefault(row.tenant, {})[row.status] = row.number
        if row.status == "queued" and row.since <= now_ms:
            oldest_s = max(oldest_s or 0.0, (now_ms - row.since) / 1000)
    return StoreStatus(
        **totals,
        oldest_queued_s=oldest_s,
        tenants={name: TenantCounts(**tenants[name]) for name in sorted(tenants)},
        workers=tuple(_worker(row, now_ms) for row in found),
        schema_version=schema_version,
        encrypted=encrypted,
    )


def _info(row: Any) -> RunInfo:
    return RunInfo(
        id=row.id,
        state=row.status,
        tenant=row.tenant,
        takeovers=row.takeovers,
        priority=row.priority,
        reason=row.reason,
        created=row.created_ms / 1000,
        not_before=_seconds(row.not_before_ms),
        started=_seconds(row.started_ms),
        ended=_seconds(row.ended_ms),
        worker=row.worker,
        retry_of=row.retry_of,
        schedule=row.schedule,
    )


def _worker(row: Any, now_ms: int) -> WorkerInfo:
    seen_s = max(0.0, (now_ms - row.seen_ms) / 1000)
    return WorkerInfo(
        id=row.id,
        host=row.host,
        pid=row.pid,
        version=row.version,
        places=row.places,
        draining=bool(row.draining),
        alive=seen_s < ALIVE_S,
        seen_s=seen_s,
    )


def _seconds(time_ms: int | None) -> float | None:
    return None if time_ms is None else time_ms / 1000
