"""The beats of workers in the store, and the claims of those that have stopped beating."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from engine.api import __version__
from jobcell.store.database import Database
from jobcell.store.errors import StoreError
from jobcell.store.queue import QUEUE
from jobcell.store.schema import events, runs, workers, workflow_status

_NO_BEATS: Final = -1
"""The number of beats of a worker that holds claims without being known."""

_PENDING: Final[sa.ColumnElement[str]] = sa.literal_column(
    "'PENDING'"
)  # a literal, so that SQLite finds the partial index


_END_SESSIONS: Final = sa.text(
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where application_name = :name and usename = current_user and pid <> pg_backend_pid()"
)


def session_name(worker: str) -> str:
    """Return the name that all sessions of a worker have; PostgreSQL cuts names at 63 bytes."""
    return f"jobcell {worker[-50:]}"


class Pulse(msgspec.Struct, frozen=True):
    """The facts that a beat has read."""

    is_known: bool
    """Whether the others still know this worker; if not, they have taken it for dead."""
    others: dict[str, int]
    """The beats of the other workers."""
    claims: dict[str, str]
    """The token of each run that this worker holds."""


class Pulses:
    """Beats for one worker.

    Args:
        database: Of the store; its connections are used by one thread.
        worker: The id of the worker.
        places: The number of its places.

    """

    def __init__(self, database: Database, worker: str, places: int) -> None:
        self._database = database
        self._worker = worker
        self._places = places
        self._beats = 0

    def register(self, *, draining: bool = False) -> None:
        """Make the worker known to the others.

        The number of its beats only grows, also if it was taken for dead meanwhile: `reap` compares it.
        """
        with self._database.write() as connection:
            self._beats += 1
            connection.execute(workers.delete().where(workers.c.id == self._worker))
            connection.execute(
                workers.insert().values(
                    id=self._worker,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    version=__version__,
                    started_ms=self._database.now_ms,
                    beats=self._beats,
                    seen_ms=self._database.now_ms,
                    draining=draining,
                    places=self._places,
                )
            )

    def beat(self, *, draining: bool) -> Pulse:
        """Count a beat, and read what became of the others, and of the own runs."""
        with self._database.write() as connection:
            self._beats += 1
            beaten = connection.execute(
                workers.update()
                .where(workers.c.id == self._worker)
                .values(beats=self._beats, seen_ms=self._database.now_ms, draining=draining)
            )
            known = connection.execute(sa.select(workers.c.id, workers.c.beats)).all()
            others = {row.id: row.beats for row in known}
            claim = workflow_status.c
            held = connection.execute(
                sa.select(claim.workflow_uuid, claim.executor_id, claim.owner_xid).where(
                    claim.status == _PENDING, claim.queue_name == QUEUE
                )
            ).all()
        others.pop(self._worker, None)
        for row in held:
            if row.executor_id != self._worker:
                others.setdefault(row.executor_id or "", _NO_BEATS)
        claims = {
            row.workflow_uuid: row.owner_xid for row in held if row.executor_id == self._worker
        }
        return Pulse(bool(beaten.rowcount), others, claims)

    def cancelled(self, run_ids: Iterable[str]) -> dict[str, str]:
        """Return the reasons with which some of the given runs are to be cancelled."""
        wanted = sorted(run_ids)
        if not wanted:
            return {}
        query = sa.select(runs.c.id, runs.c.cancel).where(
            runs.c.id.in_(wanted), runs.c.cancel.is_not(None)
        )
        with self._database.read() as connection:
            return {row.id: row.cancel for row in connection.execute(query)}

    def reap(self, worker: str, beats: int) -> int:
        """Give the claims of a dead worker back to the queue; return their number.

        Nothing happens if the worker has beaten meanwhile.  If several workers do it at once, one of
        them finds the claims.
        """
        self._end_sessions(worker, beats)
        with self._database.write() as connection:
            gone = workers.delete().where(workers.c.id == worker, workers.c.beats == beats)
            if not connection.execute(gone).rowcount:
                known = sa.select(workers.c.id).where(workers.c.id == worker)
                if connection.execute(known).first() is not None:
                    return 0
            claim = workflow_status.c
            return _requeue(connection, self._database, claim.executor_id == worker)

    def _end_sessions(self, worker: str, beats: int) -> None:
        """Have PostgreSQL end the sessions of a dead worker, and with them the locks that it holds.

        A process that is stopped in the middle of a transaction keeps its locks, and nobody could take its
        runs over.  A SQLite file stays locked until the process goes on.
        """
        if self._database.is_sqlite:
            return
        with self._database.read() as connection:
            known = connection.execute(sa.select(workers.c.beats).where(workers.c.id == worker))
            if known.scalar() not in (beats, None):
                return
            connection.execute(_END_SESSIONS, {"name": session_name(worker)})

    def hand_back(self, claims: Mapping[str, str]) -> int:
        """Give own claims back to the queue; return the number of those that were still held.

        The next owner does not count it as a death of this worker.
        """
        if not claims:
            return 0
        count = 0
        with self._database.write() as connection:
            for run_id, owner in sorted(claims.items()):
                claim = workflow_status.c
                is_own = sa.and_(claim.workflow_uuid == run_id, claim.owner_xid == owner)
                if not _requeue(connection, self._database, is_own):
                    continue
                count += 1
                self._disown(connection, runs.c.id == run_id, runs.c.owner == owner)
        return count

    def hand_back_all(self) -> int:
        """Give all own claims back to the queue; return their number."""
        with self._database.write() as connection:
            self._disown(connection, runs.c.worker == self._worker)
            is_own = workflow_status.c.executor_id == self._worker
            return _requeue(connection, self._database, is_own)

    def _disown(self, connection: sa.Connection, *whose: sa.ColumnElement[bool]) -> None:
        """Take note that running runs have no worker.  Those without an event have not begun."""
        has_begun = sa.exists().where(events.c.run_id == runs.c.id)
        connection.execute(
            runs.update()
            .where(runs.c.status == "running", *whose)
            .values(owner=None, worker=None, status=sa.case((has_begun, "running"), else_="queued"))
        )

    def leave(self) -> None:
        """Take the worker from the list, because it has no claims any more."""
        with self._database.write() as connection:
            connection.execute(workers.delete().where(workers.c.id == self._worker))


def oldest_queued_s(database: Database) -> float | None:
    """Return the seconds for which the oldest queued run could have begun, or 0 if none waits.

    None: the store does not answer.
    """
    since = sa.func.min(sa.func.coalesce(runs.c.not_before_ms, runs.c.created_ms))
    query = sa.select(database.now_ms - since).where(runs.c.status == "queued")
    try:
        with database.read() as connection:
            age_ms = connection.execute(query).scalar()
    except StoreError:
        return None
    return 0.0 if age_ms is None else max(0.0, float(age_ms) / 1000)


def _requeue(connection: sa.Connection, database: Database, whose: Any) -> int:
    """Put claimed runs back to the head of the queue.

    The public call of DBOS for this, ``resume_workflows``, does not look whose they are, so it would
    take a run from a worker that has claimed it meanwhile.
    """
    claim = workflow_status.c
    statement = (
        workflow_status.update()
        .where(whose, claim.status == _PENDING, claim.queue_name == QUEUE)
        .values(
            status="ENQUEUED",
            owner_xid=None,
            started_at_epoch_ms=None,
            updated_at=database.now_ms,
        )
    )
    return connection.execute(statement).rowcount
