"""Appends in one trip to PostgreSQL: the check of the claims, the writes and the commit are sent together.

The usual transaction has a trip for each statement, and one for its commit.  Each trip switches between
processes twice, while the steps of runs wait.  PostgreSQL takes the statements of a pipeline as one transaction:
the first statement that fails takes back the others.  So the check is a statement that fails if a claim is
not this worker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobcell.store.blobs import Blobs
from jobcell.store.database import Database
from jobcell.store.prepared import Prepared, binary_lists_of, rows_of
from jobcell.store.schema import blobs, events, records, runs, workflow_status
from jobcell.worker.append import Append
from jobcell.worker.beginning import closing_claim

_CLAIM: Final = ("workflow_uuid", "owner_xid")
_EVENT: Final = ("run_id", "seq", "body", "state")
_RECORD: Final = ("run_id", "number", "step_run_id", "body", "state")
_END: Final = ("id", "reason", "outcome", "final_state", "last_seq")


class Express:
    """Writes the usual parts of runs: small ones, of claims that this worker holds.

    Args:
        database: A database of PostgreSQL.
        blobs: Of the store.
        worker: The id of the worker.

    """

    def __init__(self, database: Database, blobs: Blobs, worker: str) -> None:
        self._database = database
        self._blobs = blobs
        self._worker = worker
        self._statements = _Statements(database)

    def commit(self, parts: Sequence[Append]) -> bool:
        """Write all parts in one transaction; return whether that was done.

        If not, nothing was written: a claim is not this worker's, or a part needs a transaction that asks first.

        Raises:
            StoreError: Nothing was written, or everything was; the call may be repeated.

        """
        if any(part.was_lost for part in parts):
            return False
        contents = self._blobs.pack_small(blob for part in parts for blob in part.blobs())
        if contents is None:
            return False
        to = self._statements
        claims = [(part.run_id, part.owner) for part in parts]
        calls = [
            to.check.call(
                worker=self._worker,
                number=len(claims),
                **binary_lists_of(workflow_status, _CLAIM, claims),
            )
        ]
        if contents:
            rows = [tuple(row.values()) for row in contents]
            calls.append(
                self._blobs.add_together.call(**binary_lists_of(blobs, tuple(contents[0]), rows))
            )
        added = [
            (part.run_id, seq, event.body, None if event.blob is None else event.blob.key)
            for part in parts
            for seq, event in part.events
        ]
        if added:
            calls.append(to.add_events.call(**binary_lists_of(events, _EVENT, added)))
        recorded = [
            (part.run_id, number, record.step_run_id, packed.body, packed.blob.key)
            for part in parts
            for number, record, packed in part.records
        ]
        if recorded:
            calls.append(to.add_records.call(**binary_lists_of(records, _RECORD, recorded)))
        ends = [(part, part.last) for part in parts if part.last is not None]
        if ends:
            ended = [
                (
                    part.run_id,
                    last.reason,
                    last.outcome,
                    None if last.final_state is None else last.final_state.key,
                    part.last_seq,
                )
                for part, last in ends
            ]
            over = [(part.run_id, part.owner) for part, _last in ends]
            calls.append(to.end.call(**binary_lists_of(runs, _END, ended)))
            calls.append(to.close_claims.call(**binary_lists_of(workflow_status, _CLAIM, over)))
        return self._database.send_together(calls)


class _Statements:
    """The statements of each transaction, compiled once; each takes lists."""

    def __init__(self, database: Database) -> None:
        claim = workflow_status.c
        wanted = rows_of(workflow_status, _CLAIM)
        held = (
            sa.select(claim.workflow_uuid, claim.owner_xid)
            .where(
                claim.workflow_uuid.in_(sa.select(wanted.c.workflow_uuid)),
                claim.status == "PENDING",
                claim.executor_id == sa.bindparam("worker"),
            )
            .order_by(claim.workflow_uuid)  # two workers never wait for each other
            .with_for_update(of=workflow_status)
            .cte("held")
        )
        all_held = sa.func.count() == sa.bindparam("number", type_=sa.BigInteger)
        same = sa.and_(*(held.c[name] == wanted.c[name] for name in _CLAIM))
        self.check = Prepared(
            database,
            sa.select(sa.literal_column("1") // sa.cast(all_held, sa.Integer)).select_from(
                held.join(wanted, same)
            ),
        )
        self.add_events = self._adding(database, events, _EVENT)
        self.add_records = self._adding(database, records, _RECORD)
        now_ms = database.now_ms
        ended = rows_of(runs, _END)
        self.end = Prepared(
            database,
            runs.update()
            .where(runs.c.id == ended.c.id)
            .values(
                {name: ended.c[name] for name in _END if name != "id"}
                | {"status": "done", "ended_ms": now_ms, "last_event_ms": now_ms}
            ),
        )
        over = rows_of(workflow_status, _CLAIM)
        self.close_claims = Prepared(
            database,
            closing_claim(database, run=over.c.workflow_uuid, owner=over.c.owner_xid),
        )

    @staticmethod
    def _adding(database: Database, table: sa.Table, names: Sequence[str]) -> Prepared:
        given: Any = rows_of(table, names)
        query = sa.select(*(given.c[name] for name in names))
        insert = postgresql.insert(table).from_select(list(names), query)
        return Prepared(database, insert.on_conflict_do_nothing())
