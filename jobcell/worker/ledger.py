"""The writes of a worker to its runs: each transaction first checks that the runs are still its own.

DBOS gives each claim of a run a token, ``owner_xid``.  A worker that others have taken for dead finds
another token there, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jobcell.store.blobs import Blobs, Uploaded
from jobcell.store.contents import Contents
from jobcell.store.database import Database
from jobcell.store.prepared import Prepared, PreparedList
from jobcell.store.schema import events, records, runs, workflow_status
from jobcell.worker.append import Append
from jobcell.worker.beginning import Begin, Beginner, closing_claim
from jobcell.worker.express import Express

PENDING: Final = "PENDING"


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
        self._statements = _Statements(database)
        self._uploaded: dict[str, dict[str, Any]] = {}
        """Objects of the appends that are tried again."""
        self._express = None if database.is_sqlite else Express(database, blobs, worker)

    def commit(self, parts: Sequence[Part]) -> list[object]:
        """Write all parts in one transaction.

        Returns:
            For each `Begin` a `Begun`, or None if the run is over or another worker's; for each
            `Append` whether it was written.

        Raises:
            StoreError: Nothing was written, or everything was; the call may be repeated.

        """
        appends = [part for part in parts if isinstance(part, Append)]
        if (
            self._express is not None
            and len(appends) == len(parts)
            and self._express.commit(appends)
        ):
            return [True] * len(parts)
        begins = [part for part in parts if isinstance(part, Begin)]
        uploaded = self._upload(appends)
        fetched = self._beginner.fetch([begin.run_id for begin in begins])
        with self._database.write() as connection:
            owners = self._lock(connection, (part.run_id for part in parts))
            kept = [part for part in appends if owners.get(part.run_id) == part.owner]
            self._append(connection, kept, uploaded)
            own = {part.run_id for part in kept}
            own |= self._ended_before(connection, [a for a in appends if a.run_id not in own])
            begun = self._beginner.begin(connection, begins, owners, fetched) if begins else {}
        if uploaded:
            self._uploaded = {}  # the rows of huge contents take memory
        return [
            begun.get(part.run_id) if isinstance(part, Begin) else part.run_id in own
            for part in parts
        ]

    def _lock(self, connection: sa.Connection, run_ids: Iterable[str]) -> dict[str, str]:
        """Lock the claims of runs; return the token of each run that this worker holds."""
        wanted = sorted(set(run_ids))
        rows = self._statements.lock.run(connection, wanted, worker=self._worker)
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

    def _upload(self, parts: list[Append]) -> Uploaded:
        """Pack large contents, and write them to the object store, each once, however often the transaction is tried."""
        if not parts:
            return {}
        contents = {blob.key: blob for part in parts for blob in part.blobs()}
        self._uploaded = {key: row for key, row in self._uploaded.items() if key in contents}
        missing = (blob for key, blob in contents.items() if key not in self._uploaded)
        self._uploaded |= self._blobs.upload(missing)
        return self._uploaded

    def _append(self, connection: sa.Connection, parts: list[Append], uploaded: Uploaded) -> None:
        contents = [blob for part in parts for blob in part.blobs()]
        if contents:
            self._blobs.write(connection, contents, uploaded=uploaded)
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
        self._statements.add_events.run_many(connection, rows)
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
        self._statements.add_records.run_many(connection, recorded)
        self._statements.touch.run_many(
            connection,
            [
                {"run": part.run_id, "seq": part.last_seq}
                for part in parts
                if part.last is None and part.records and part.was_lost
            ],
        )
        ends = [(part, part.last) for part in parts if part.last is not None]
        self._statements.end.run_many(
            connection,
            [
                {
                    "run": part.run_id,
                    "seq": part.last_seq,
                    "why": last.reason,
                    "result": last.outcome,
                    "final": None if last.final_state is None else last.final_state.key,
                }
                for part, last in ends
            ],
        )
        self._statements.close_claim.run_many(
            connection, [{"run": part.run_id, "owner": part.owner} for part, _last in ends]
        )


class _Statements:
    """The statements of each transaction, compiled once."""

    def __init__(self, database: Database) -> None:
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        claim = workflow_status.c

        def lock(run_ids: Sequence[sa.BindParameter[str]]) -> sa.Select[Any]:
            query = (
                sa.select(claim.workflow_uuid, claim.owner_xid)
                .where(
                    claim.workflow_uuid.in_(run_ids),
                    claim.status == PENDING,
                    claim.executor_id == sa.bindparam("worker"),
                )
                .order_by(claim.workflow_uuid)  # two workers never wait for each other
            )
            return database.lock_row(query)

        self.lock = PreparedList(database, lock)
        self.add_events = Prepared(
            database, insert(events).values(**_columns(events)).on_conflict_do_nothing()
        )
        self.add_records = Prepared(
            database, insert(records).values(**_columns(records)).on_conflict_do_nothing()
        )
        one_run = runs.update().where(runs.c.id == sa.bindparam("run"))
        now_ms = database.now_ms
        # A run with a new record is not given up as poison.
        self.touch = Prepared(
            database, one_run.values(lost=0, last_seq=sa.bindparam("seq"), last_event_ms=now_ms)
        )
        self.end = Prepared(
            database,
            one_run.values(
                status="done",
                reason=sa.bindparam("why"),
                outcome=sa.bindparam("result"),
                final_state=sa.bindparam("final"),
                last_seq=sa.bindparam("seq"),
                ended_ms=now_ms,
                last_event_ms=now_ms,
            ),
        )
        self.close_claim = Prepared(database, closing_claim(database))


def _columns(table: sa.Table) -> dict[str, sa.BindParameter[Any]]:
    return {column.name: sa.bindparam(column.name) for column in table.c}
