"""Reads the events and the result of a run.  Each call is one query and a few for large states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from engine.reporting import RunResult
from jobcell.store.blobs import Blobs
from jobcell.store.contents import Contents
from jobcell.store.database import Database
from jobcell.store.errors import StoreDamagedError, UnknownRunError
from jobcell.store.schema import events, records, runs
from jobcell.store.watching import Standing
from protocol.events import AnyEvent
from protocol.plan import Plan
from protocol.state import copy_state

_MANY = 500
"""Number of runs in one query."""

_LONGEST_SHOWN = 300
"""Number of characters of an unknown id in an error."""

LAST_SEQ = 2**31 - 1
"""The largest number of an event."""

OVER = ("done", "dead")
"""The states of a run that is over."""


class Progress(NamedTuple):
    """New events of a run, and whether it was over when they were read."""

    events: list[AnyEvent]
    is_over: bool


class Stored(NamedTuple):
    """A run as it was enqueued."""

    plan: Plan
    state: Any
    options: bytes | None
    tenant: str
    priority: int
    status: str


class Reader:
    """Reads the runs of a store.

    Args:
        database: Of the store.
        contents: Unpacks rows.
        blobs: Reads large states.

    """

    def __init__(self, database: Database, contents: Contents, blobs: Blobs) -> None:
        self._database = database
        self._contents = contents
        self._blobs = blobs

    def status(self, run_id: str) -> str:
        """Return the state of a run: queued, running, done or dead.

        Raises:
            UnknownRunError: The store has no such run.

        """
        with self._database.read() as connection:
            query = sa.select(runs.c.status).where(runs.c.id == run_id)
            status = connection.execute(query).scalar_one_or_none()
        if status is None:
            raise unknown(run_id)
        return str(status)

    def standings(self, run_ids: Sequence[str]) -> dict[str, Standing]:
        """Return the standing of each of these runs that the store has.

        The row of a run has the number of its last event only at its end: a worker does not write that
        row with each event.
        """
        found: dict[str, Standing] = {}
        newest = sa.select(events.c.seq).where(events.c.run_id == runs.c.id)
        last_seq = newest.order_by(events.c.seq.desc()).limit(1).scalar_subquery()
        with self._database.read() as connection:
            for start in range(0, len(run_ids), _MANY):
                part = run_ids[start : start + _MANY]
                query = sa.select(runs.c.id, last_seq.label("last_seq"), runs.c.status)
                for row in connection.execute(query.where(runs.c.id.in_(part))):
                    found[row.id] = Standing(row.last_seq or 0, row.status in OVER)
        return found

    def events(self, run_id: str, after: int, limit: int | None = None) -> Progress:
        """Return the events with a number above *after*, at most the first *limit* of them.

        Raises:
            UnknownRunError: The store has no such run.

        """
        is_later = events.c.seq > min(after, LAST_SEQ)
        joined = runs.outerjoin(events, sa.and_(events.c.run_id == runs.c.id, is_later))
        query = (
            sa.select(runs.c.status, events.c.seq, events.c.body, events.c.state)
            .select_from(joined)
            .where(runs.c.id == run_id)
            .order_by(events.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            if not rows:
                raise unknown(run_id)
            keys = [row.state for row in rows if row.state]
            with self._unless_pruned(connection, run_id):
                states = self._blobs.read(connection, keys)
        found = [
            self._contents.unpack_event(
                run_id, row.seq, row.body, None if row.state is None else states[row.state]
            )
            for row in rows
            if row.seq is not None
        ]
        return Progress(found, rows[0].status in OVER)

    def result(self, run_id: str) -> RunResult | None:
        """Return the result of a run; None if it is not over.

        Raises:
            UnknownRunError: The store has no such run.

        """
        with self._database.read() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
            if row is None:
                raise unknown(run_id)
            if row.status not in OVER:
                return None
            state = None
            if row.final_state is not None:
                with self._unless_pruned(connection, run_id):
                    state = self._blobs.read_one(connection, row.final_state)
        if row.outcome is None:
            raise StoreDamagedError(
                f"the store is damaged: run {run_id!r} is over without a result"
            )
        return self._contents.unpack_result(run_id, row.outcome, state)

    @contextmanager
    def _unless_pruned(self, connection: sa.Connection, run_id: str) -> Iterator[None]:
        """Report a run that was pruned between two queries as unknown, and not as damaged."""
        try:
            yield
        except StoreDamagedError:
            query = sa.select(runs.c.id).where(runs.c.id == run_id)
            if connection.execute(query).first() is None:
                raise unknown(run_id) from None
            raise

    def stored(self, connection: sa.Connection, run_id: str) -> Stored:
        """Return a run as it was enqueued; its plan has the id of the run.

        Raises:
            UnknownRunError: The store has no such run.

        """
        row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
        if row is None:
            raise unknown(run_id)
        plan = decode_plan(self._blobs.read_one(connection, row.plan), run_id)
        state = (
            None if row.state is None else copy_state(self._blobs.read_one(connection, row.state))
        )
        return Stored(plan, state, row.options, row.tenant, row.priority, row.status)

    def records(self, connection: sa.Connection, run_id: str) -> list[Any]:
        """Return the records of a run, in the order in which its steps ended."""
        query = sa.select(records).where(records.c.run_id == run_id).order_by(records.c.number)
        rows = connection.execute(query).all()
        states = self._blobs.read(connection, [row.state for row in rows])
        return [
            self._contents.unpack_record(run_id, row.number, row.body, states[row.state])
            for row in rows
        ]


def decode_plan(content: bytes, run_id: str) -> Plan:
    """Return the plan in a blob, with the id of its run.

    Raises:
        StoreDamagedError: The content is not a plan.

    """
    try:
        plan = msgspec.convert(copy_state(content), Plan)
    except (ValueError, TypeError) as error:
        raise StoreDamagedError(f"the store is damaged: the plan of {run_id!r}: {error}") from None
    return msgspec.structs.replace(plan, id=run_id)


def unknown(run_id: str) -> UnknownRunError:
    """Return the error for an id without a run."""
    shown = run_id if len(run_id) <= _LONGEST_SHOWN else f"{run_id[:_LONGEST_SHOWN]}..."
    return UnknownRunError(f"the store has no run {shown!r}; it may have been pruned")
