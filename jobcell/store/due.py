"""Ticks that are due: each becomes one run, whichever worker finds it.

The row of a schedule is locked while its tick is decided, by the clock of the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from engine.api import PlanError
from jobcell.store.blobs import Blobs
from jobcell.store.carrying import carried, carry
from jobcell.store.database import Database
from jobcell.store.enqueue import Enqueued, prepare
from jobcell.store.errors import RunConflictError, StoreDamagedError
from jobcell.store.reading import OVER, decode_plan
from jobcell.store.schema import runs, schedules
from jobcell.store.ticks import ScheduleTextError, Timetable, tick_id
from protocol.events import REDACTED
from protocol.state import copy_state

LATE_S: Final = 60
"""A tick that no worker has seen within this time was missed, and `Schedule.missed` decides about it."""

_WAIT_MS: Final = 5_000
"""Time until the next look at a schedule whose last run is not over yet."""

_REDACTED: Final = REDACTED.encode()
_log = logging.getLogger("jobcell.schedules")


class Ticks:
    """Decides about the due ticks of all schedules of a store.

    Args:
        database: Of the store.
        blobs: Of the store.
        write: Stores a checked run in the transaction of a connection.

    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        write: Callable[[sa.Connection, Enqueued], bool],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._write = write
        self._reported: set[tuple[str, str]] = set()

    def run_due(self) -> Sequence[str]:
        """Make the runs of all ticks that are due, and return their ids.

        A schedule that cannot be used (its zone is unknown on this machine, say) is logged and stays due, because
        another worker may have what it needs.

        Raises:
            StoreUnavailableError: The store is out of reach.

        """
        with self._database.read() as connection:
            query = sa.select(schedules.c.name).where(schedules.c.due_ms <= self._database.now_ms)
            names = connection.execute(query.order_by(schedules.c.due_ms)).scalars().all()
        made = []
        for name in names:
            try:
                fetched = self._fetch(name)
                with self._database.write() as connection:
                    run_id = self._run_one(connection, name, fetched)
            except (ScheduleTextError, PlanError, StoreDamagedError) as error:
                self._report(name, f"it cannot be used here: {error}")
                continue
            if run_id is not None:
                made.append(run_id)
        return made

    def _fetch(self, name: str) -> dict[str, bytes]:
        """Read the contents of a schedule that lie in the object store, before a transaction locks its row."""
        if not self._blobs.has_objects:
            return {}
        with self._database.read() as connection:
            query = sa.select(schedules).where(schedules.c.name == name)
            row = connection.execute(query).one_or_none()
            if row is None:
                return {}
            state = carried(connection, row) if row.carry_state else row.state
            return self._blobs.fetch(connection, filter(None, (row.plan, state)))

    def _run_one(
        self, connection: sa.Connection, name: str, fetched: Mapping[str, bytes]
    ) -> str | None:
        """Decide about the due ticks of a schedule; return the id of the run, if there is one."""
        row = connection.execute(locked(self._database, name, skip=True)).one_or_none()
        now = read_now(self._database, connection)
        if row is None or row.due_ms is None or row.due_ms > to_ms(now):
            return None  # removed, or another worker is at it, or was faster
        timetable = Timetable(row.cron, row.tz)
        tick = timetable.last_until(now, after=moment(row.looked_ms))
        changes: dict[str, Any] = {"due_ms": to_ms(timetable.next_after(now))}
        run_id = None
        if tick is not None:
            # Otherwise a worker has seen it in time, and it waits for the run before it.
            is_first_look = row.due_ms == to_ms(timetable.next_after(moment(row.looked_ms)))
            is_late = is_first_look and (now - tick).total_seconds() > LATE_S
            if is_late and row.missed == "skip":
                changes["problem"] = f"{tick_id(name, tick)} was missed"
                _log.info("schedule %r: %s", name, changes["problem"])
            elif row.carry_state and self._is_running(connection, name):
                changes = {"due_ms": to_ms(now) + _WAIT_MS}
            else:
                run_id, changes["problem"] = self._make(connection, row, tick, fetched)
            if "problem" in changes:
                changes["looked_ms"] = to_ms(tick)
            if run_id is not None:
                changes["last_tick"] = to_ms(tick)
        statement = schedules.update().where(schedules.c.name == name)
        connection.execute(statement.values(**changes))
        return run_id

    def _make(
        self,
        connection: sa.Connection,
        row: sa.Row[Any],
        tick: datetime,
        fetched: Mapping[str, bytes],
    ) -> tuple[str | None, str | None]:
        """Make the run of a tick; return its id, or else the reason why it was not made."""
        run_id = tick_id(row.name, tick)
        state_key = carry(connection, row) if row.carry_state else row.state
        keys = {row.plan} if state_key is None else {row.plan, state_key}
        contents = self._blobs.read(connection, keys, fetched)
        content = None if state_key is None else contents[state_key]
        if content is not None and row.carry_state and _REDACTED in content:
            # A run with the word in place of a token would fail, or would repeat its work.
            problem = (
                f"{run_id} has no run: the state to carry has a secret in it; this store keeps no secrets,"
                " an encrypted store (JOBCELL_STORE_KEY) does"
            )
            _log.warning("schedule %r: %s", row.name, problem)
            return None, problem
        run = prepare(
            self._blobs,
            decode_plan(contents[row.plan], run_id),
            None if content is None else copy_state(content),
            run_id=run_id,
            tenant=row.tenant,
            priority=row.priority,
            not_before=None,
            options=None,
        )
        try:
            self._write(connection, run._replace(schedule=row.name))
        except RunConflictError as error:
            _log.warning("schedule %r: %s", row.name, error)
            return None, str(error)
        return run_id, None

    def _is_running(self, connection: sa.Connection, name: str) -> bool:
        query = sa.select(runs.c.id).where(runs.c.schedule == name, runs.c.status.not_in(OVER))
        return connection.execute(query.limit(1)).first() is not None

    def _report(self, name: str, problem: str) -> None:
        """Log and store why a schedule cannot be used, once for each reason."""
        if (name, problem) not in self._reported:
            self._reported.add((name, problem))
            _log.error("schedule %r: %s", name, problem)
            with self._database.write() as connection:
                statement = schedules.update().where(schedules.c.name == name)
                connection.execute(statement.values(problem=problem))


def locked(database: Database, name: str, *, skip: bool = False) -> sa.Select[Any]:
    """Return a query that locks the row of a schedule.

    Args:
        database: Of the store.
        name: Of the schedule.
        skip: Whether a row that another transaction has locked is not found, in place of waiting for it.

    """
    query = sa.select(schedules).where(schedules.c.name == name)
    if skip and not database.is_sqlite:
        return query.with_for_update(skip_locked=True)
    return database.lock_row(query)


def read_now(database: Database, connection: sa.Connection) -> datetime:
    """Return the time of the database's clock."""
    return moment(connection.execute(sa.select(database.now_ms)).scalar_one())


def moment(ms: int) -> datetime:
    """Return a time in milliseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(at: datetime | None) -> Any:
    """Return a time in milliseconds since 1970."""
    return None if at is None else round(at.timestamp() * 1000)
