"""Writes into a store what a worker writes, without a worker: events, records and the end of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from engine import Engine, RunResult, StepRecord
from jobcell.store import Store, events, records, runs, workflow_status
from protocol.events import AnyEvent

JOB = "def main(state):\n    return state\n"
CHAIN = {
    "workflow": {
        "steps": [
            {"id": "a", "expression": "def main(s):\n    return {'n': s['n'] + 1}\n", "next": "b"},
            {"id": "b", "expression": "def main(s):\n    return {'n': s['n'] * 10}\n", "next": "c"},
            {"id": "c", "expression": "def main(s):\n    return {'n': s['n'] + 5}\n"},
        ]
    }
}


def write_events(store: Store, run_id: str, new: Iterable[AnyEvent]) -> None:
    """Append events to the log of a run, which is then going on; its row has no number of the last one."""
    with store.database.write() as connection:
        for event in new:
            packed = store.contents.pack_event(event)
            blobs = [] if packed.blob is None else [packed.blob]
            keys = store.blobs.write(connection, blobs)
            state = None if packed.blob is None else keys[packed.blob.key]
            connection.execute(
                events.insert().values(run_id=run_id, seq=event.seq, body=packed.body, state=state)
            )
            connection.execute(
                runs.update()
                .where(runs.c.id == run_id)
                .values(
                    status="running",
                    started_ms=store.database.now_ms,
                    last_event_ms=store.database.now_ms,
                )
            )


def write_records(store: Store, run_id: str, kept: Iterable[StepRecord], *, first: int = 1) -> None:
    """Write the records of a run, which have the numbers from *first* on."""
    with store.database.write() as connection:
        for number, record in enumerate(kept, start=first):
            packed = store.contents.pack_record(run_id, number, record)
            keys = store.blobs.write(connection, [packed.blob])
            connection.execute(
                records.insert().values(
                    run_id=run_id,
                    number=number,
                    step_run_id=record.step_run_id,
                    body=packed.body,
                    state=keys[packed.blob.key],
                )
            )


def end(store: Store, run_id: str, result: RunResult, *, status: str = "done") -> None:
    """End a run, in the store and in the queue."""
    packed = store.contents.pack_result(run_id, result)
    with store.database.write() as connection:
        blobs = [] if packed.blob is None else [packed.blob]
        keys = store.blobs.write(connection, blobs)
        connection.execute(
            runs.update()
            .where(runs.c.id == run_id)
            .values(
                status=status,
                reason=result.reason,
                outcome=packed.body,
                final_state=None if packed.blob is None else keys[packed.blob.key],
                ended_ms=store.database.now_ms,
            )
        )
        connection.execute(
            workflow_status.update()
            .where(workflow_status.c.workflow_uuid == run_id)
            .values(status="SUCCESS")
        )


class Records:
    """A journal in memory, which starts with given records."""

    def __init__(self, known: Iterable[StepRecord] = ()) -> None:
        self.known = list(known)
        self.new: list[StepRecord] = []

    def record(self, record: StepRecord) -> None:
        self.new.append(record)

    def records(self) -> list[StepRecord]:
        return self.known


def carry_out(store: Store, engine: Engine, run_id: str) -> RunResult:
    """Run a run of the store in an engine, and write all of it into the store, as a worker does."""
    with store.database.read() as connection:
        stored = store.reader.stored(connection, run_id)
        journal = Records(store.reader.records(connection, run_id))
    run = engine.execute(stored.plan, stored.state, journal=journal)
    result = run.result(30)
    write_events(store, run_id, run.poll(after=0))
    write_records(store, run_id, journal.new, first=len(journal.known) + 1)
    end(store, run_id, result)
    return result


def everything(store: Store) -> bytes:
    """Return all that a store holds, as bytes: every column of every table."""
    found: list[Any] = []
    with store.database.read() as connection:
        schema = store.database.schema
        for name in sa.inspect(connection).get_table_names(schema=schema):
            found += connection.execute(sa.text(f'select * from "{name}"')).all()
        if schema is not None:
            for name in sa.inspect(connection).get_table_names(schema="dbos"):
                found += connection.execute(sa.text(f'select * from dbos."{name}"')).all()
    parts = [
        bytes(item) if isinstance(item, bytes | memoryview) else str(item).encode()
        for row in found
        for item in row
    ]
    return b"\0".join(parts)
