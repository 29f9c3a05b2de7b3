"""A newer jobcell changes the tables of a store while older programs have it open."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa
from store_runs import JOB
from warm import WarmProcess, run_warm

from jobcell.store import Store, StoreVersionError, runs
from jobcell.store.enqueue import prepare
from jobcell.store.schema import SCHEMA_VERSION, meta

pytestmark = pytest.mark.slow  # each test has a store of its own

PATIENCE_S = 60.0
WORDS = f"it needs version 7 of the tables, and this jobcell knows version {SCHEMA_VERSION}"

NEWER = """
import sys
import sqlalchemy as sa
from jobcell.store import database, opening, schema, Store

schema.SCHEMA_VERSION = opening.SCHEMA_VERSION = database.SCHEMA_VERSION = 9
schema.READABLE_FROM = 9

def rename(connection):
    table = "jobcell_runs" if connection.dialect.name == "sqlite" else "public.jobcell_runs"
    connection.execute(sa.text(f"alter table {table} rename column tenant to customer"))
    connection.execute(sa.text(f"create table {table}_of_version_9 (id text)"))

schema._MIGRATIONS = (*schema._MIGRATIONS, *(8 - len(schema._MIGRATIONS)) * [id], rename)
sys.stdin.readline()
Store.open(sys.argv[1]).close()
"""
"""A newer jobcell, whose tables an older one cannot use.  It begins when it gets a line."""


def outdate(store, *, readable_from=7):
    """Do what the migration of a newer jobcell does last."""
    with store.database.write() as connection:
        values = {"schema_version": 7, "readable_from": readable_from}
        connection.execute(meta.update().values(values))


def wait_for(fact):
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


CALLS = {
    "enqueue": lambda store: store.enqueue(JOB),
    "cancel": lambda store: store._handle("first").cancel(),
    "retry": lambda store: store.retry("first"),
    "prune": lambda store: store.prune(0),
    "schedule": lambda store: store.schedules.add("s", JOB, cron="@daily"),
    "run": lambda store: store.run("first"),
    "runs": lambda store: store.runs(),
    "status": lambda store: store.status(),
    "poll": lambda store: store._handle("first").poll(timeout_s=PATIENCE_S),
    "result": lambda store: store._handle("first").result(timeout_s=PATIENCE_S),
    "await": lambda store: asyncio.run(store._handle("first")._wait_result()),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_call_of_a_client_ends_with_the_error_of_a_newer_store(fresh, name):
    """The client was open before.  A call that waits notices it as well."""
    fresh.enqueue(JOB, id="first")
    outdate(fresh)
    with pytest.raises(StoreVersionError, match=WORDS):
        CALLS[name](fresh)


def test_a_client_that_waits_is_woken_by_the_error(fresh):
    """It does not wait for a run whose end it could not read."""
    run = fresh.enqueue(JOB, id="first")
    ends: list[BaseException] = []
    waits = threading.Event()

    def wait():
        try:
            run.poll(after=0)
            waits.set()
            run.result(timeout_s=PATIENCE_S)
        except StoreVersionError as error:
            ends.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(PATIENCE_S)
    outdate(fresh)
    thread.join(PATIENCE_S)
    assert WORDS in str(ends[0])


@pytest.mark.parametrize("kind", ["driver", "sqlalchemy"])
def test_a_transaction_of_a_caller_takes_no_run_for_a_newer_store(fresh, kind):
    """The rest of the transaction stays as it was."""
    with fresh.database.write() as connection:
        connection.execute(sa.text("create table letters (letter text)"))
    outdate(fresh)
    url = fresh.database.url
    if kind == "sqlalchemy":
        engine = sa.create_engine(url)
        opened = closing(engine.connect())
    elif fresh.database.is_sqlite:
        import sqlite3

        opened = closing(sqlite3.connect(url.database))
    else:
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        opened = closing(psycopg.connect(plain))
    insert = "insert into letters values ('a')"
    with opened as connection:
        connection.execute(sa.text(insert) if kind == "sqlalchemy" else insert)
        with pytest.raises(StoreVersionError, match=WORDS):
            fresh.enqueue(JOB, connection=connection)
        connection.commit()
    if kind == "sqlalchemy":
        engine.dispose()
    with fresh.database.read(checked=False) as connection:
        assert connection.execute(sa.text("select letter from letters")).scalars().all() == ["a"]
        assert connection.execute(sa.select(runs.c.id)).first() is None


def test_a_store_of_a_newer_jobcell_that_admits_this_one_is_used_as_before(fresh):
    """The twin: only ``readable_from`` decides."""
    outdate(fresh, readable_from=1)
    run = fresh.enqueue(JOB)
    fresh.database._next_look_s = 0.0
    assert [found.id for found in fresh.runs()] == [run.id]
    run.cancel()
    assert run.result(timeout_s=PATIENCE_S).reason == "cancelled"


def test_a_migration_waits_for_the_transactions_of_old_programs(fresh, store_url):
    """Old programs write whole transactions, and nothing more afterwards."""
    with closing(Store.open(store_url)) as other:
        read, write = os.pipe()
        newer = WarmProcess(NEWER, store_url, streams=(read, 1, 2), kind="commands")
        os.close(read)
        with fresh.database.write() as connection:
            os.write(write, b"\n")
            os.close(write)
            if not fresh.database.is_sqlite:
                # The query keeps the transaction from being idle, which PostgreSQL allows for 5 seconds.
                wait_for(
                    lambda: connection.execute(sa.text("select 1")) and _waits_for_the_lock(other)
                )
            assert newer.poll() is None
            fresh._intake.write(connection, _enqueued(fresh, "old"))
        assert newer.wait(PATIENCE_S) == 0
        for client in (fresh, other):
            with pytest.raises(StoreVersionError, match="needs version 9 of the tables"):
                client.enqueue(JOB)
        with other.database.read(checked=False) as connection:
            found = connection.execute(sa.text("select id, customer from jobcell_runs")).all()
            assert [tuple(row) for row in found] == [("old", "acme")]
    with pytest.raises(StoreVersionError, match="needs version 9 of the tables"):
        Store.open(store_url)


def test_a_read_that_meets_the_new_tables_gives_the_same_error(fresh, store_url):
    """Reads look at the version once a second only, and may find a column missing."""
    assert fresh.runs() == []
    fresh.database._next_look_s = time.monotonic() + 3600
    assert run_warm(NEWER, store_url, stdin="\n", kind="commands").returncode == 0
    with pytest.raises(StoreVersionError, match="needs version 9 of the tables"):
        fresh.runs()


def _enqueued(store, run_id):
    return prepare(
        store.blobs,
        JOB,
        None,
        run_id=run_id,
        tenant="acme",
        priority=0,
        not_before=None,
        options=None,
    )


def _waits_for_the_lock(store):
    query = "select 1 from pg_locks where mode = 'AccessExclusiveLock' and not granted"
    with store.database.read(checked=False) as connection:
        return connection.execute(sa.text(query)).first() is not None
