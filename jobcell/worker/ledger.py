"""The writes of a worker to its runs: each transaction first checks that the runs are still its own.

DBOS gives each claim of a run a token, ``owner_xid``.  A worker that others have taken for dead finds
another token there, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.api import StepRecord
from jobcell.store.blobs import Blob, Blobs
from jobcell.store.contents import Contents, PackedEvent, PackedRecord
from jobcell.store.database import Database
from jobcell.store.schema import events, records, runs, workflow_status
from jobcell.worker.beginning import Begin, Beginner, close_claim

PENDING = "PENDING"


class Last(msgspec.Struct, frozen=True):
    """The end of a run, as its row keeps it."""

    reason: str
    outcome: bytes
    """The result, without the final state."""
    final_state: Blob | None = None


class Append(msgspec.Struct, frozen=True):
    """New events, records and the end of a run."""

    run_id: str
    owner: str
    last_seq: int
    """The number of the last event that is written then."""
    events: tuple[tuple[int, PackedEvent], ...] = ()
    records: tuple[tuple[int, StepRecord, PackedRecord], ...] = ()
    last: Last | None = None


Part = Begin | Append


class Ledger:
    """Writes for one worker.

    Args:
        database: Of the store.
        blobs: Of the store.
        contents: Of the store.
        worker: The id of the worker.

    """

    def __init__(self, database: Database, blobs: Blobs, contents: Contents, worker: str) -> None:
        self._database = database
        self._blobs = blobs
        self._beginner = Beginner(database, blobs, contents, worker)
        self._worker = worker
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    def commit(self, parts: Sequence[Part]) -> list[object]:
        """Write all parts in one transaction.

        Returns:
            For each `Begin` a `Begun`, or None if the run is over or another worker's; for each
            `Append` whether it was written.

        Raises:
            StoreError: Nothing was written, or everything was; the call may be repeated.

        """
        with self._database.write() as connection:
            owners = self._lock(connection, (part.run_id for part in parts))
            appends = [part for part in parts if isinstance(part, Append)]
            kept = [part for part in appends if owners.get(part.run_id) == part.owner]
            begins = [part for part in parts if isinstance(part, Begin)]
            self._append(connection, kept)
            own = {part.run_id for part in kept}
            own |= self._ended_before(connection, [a for a in appends if a.run_id not in own])
            begun = self._beginner.begin(connection, begins, owners) if begins else {}
            return [
                begun.get(part.run_id) if isinstance(part, Begin) else part.run_id in own
                for part in parts
            ]

    def _lock(self, connection: sa.Connection, run_ids: Iterable[str]) -> dict[str, str]:
        """Lock the claims of runs; return the token of each run that this worker holds."""
        claim = workflow_status.c
        query = (
            sa.select(claim.workflow_uuid, claim.owner_xid)
            .where(
                claim.workflow_uuid.in_(sorted(set(run_ids))),
                claim.status == PENDING,
                claim.executor_id == self._worker,
            )
            .order_by(claim.workflow_uuid)  # two workers never wait for each other
        )
        rows = connection.execute(self._database.lock_row(query))
        return {row.workflow_uuid: row.owner_xid for row in rows}

    def _ended_before(self, connection: sa.Connection, parts: list[Append]) -> set[str]:
        """Return the runs whose end was committed before the connection was lost."""
        ends = {part.run_id: part.owner for part in parts if part.last is not None}
        if not ends:
            return set()
        query = sa.select(runs.c.id, runs.c.owner).where(
            runs.c.id.in_(ends), runs.c.status.in_(("done", "dead"))
        )
        return {row.id for row in connection.execute(query) if ends[row.id] == row.owner}

    def _append(self, connection: sa.Connection, parts: list[Append]) -> None:
        contents = [blob for part in parts for blob in _blobs_of(part)]
        if contents:
            self._blobs.write(connection, contents)
        rows = [
            {
                "run_id": part.run_id,
                "seq": seq,
                "body": event.body,
                "state": None if event.blob is None else event.blob.key,
            }
            for part in parts
            for seq, event in part.events
        ]
        if rows:
            connection.execute(self._insert(events).on_conflict_do_nothing(), rows)
        recorded = [
            {
                "run_id": part.run_id,
                "number": number,
                "step_run_id": record.step_run_id,
                "body": packed.body,
                "state": packed.blob.key,
            }
            for part in parts
            for number, record, packed in part.records
        ]
        if recorded:
            connection.execute(self._insert(records).on_conflict_do_nothing(), recorded)
        self._touch(connection, [part for part in parts if part.last is None and part.records])
        for part in parts:
            if part.last is not None:
                self._end(connection, part, part.last)

    def _touch(self, connection: sa.Connection, parts: list[Append]) -> None:
        """Take note of new records, so that the run is not given up as poison."""
        if not parts:
            return
        statement = (
            runs.update()
            .where(runs.c.id == sa.bindparam("b_id"))
            .values(lost=0, last_seq=sa.bindparam("b_seq"), last_event_ms=self._database.now_ms)
        )
        connection.execute(
            statement, [{"b_id": part.run_id, "b_seq": part.last_seq} for part in parts]
        )

    def _end(self, connection: sa.Connection, part: Append, last: Last) -> None:
        connection.execute(
            runs.update()
            .where(runs.c.id == part.run_id)
            .values(
                status="done",
                reason=last.reason,
                final_state=None if last.final_state is None else last.final_state.key,
                outcome=last.outcome,
                ended_ms=self._database.now_ms,
                last_event_ms=self._database.now_ms,
                last_seq=part.last_seq,
            )
        )
        close_claim(connection, self._database, part.run_id, part.owner)


def _blobs_of(part: Append) -> Iterable[Blob]:
    for _seq, event in part.events:
        if event.blob is not None:
            yield event.blob
    for _number, _record, packed in part.records:
        yield packed.blob
    if part.last is not None and part.last.final_state is not None:
        yield part.last.final_state
