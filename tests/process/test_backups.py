"""A copy of a store, made while it is in use, is a store: docs/deploying.md says how to make one."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from postgres import PostgresServer, find_programs
from store_databases import StoreDatabases

from engine import Engine
from jobcell import Store
from jobcell.worker import Worker

PLAN = {
    "workflow": {
        "steps": [{"id": "a", "expression": "def main(state):\n    return {'n': state['n'] + 1}\n"}]
    }
}


@contextmanager
def serving(store: Store, engine: Engine) -> Iterator[None]:
    """Serve a store in a thread."""
    worker = Worker(store, engine, max_runs=2)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def fill(store: Store, engine: Engine) -> None:
    """Put a run that is over and one that waits into a store."""
    with serving(store, engine):
        store.enqueue(PLAN, {"n": 1}, id="over").result(timeout_s=30)
    store.enqueue(PLAN, {"n": 10}, id="waiting")


def check_copy(url: str, engine: Engine) -> None:
    """The copy has the results of the past, goes on with the rest, and knows each id."""
    with closing(Store.open(url)) as copy:
        assert copy.run("over").result(timeout_s=0).state == {"n": 2}
        assert [event.seq for event in copy.run("over").poll(after=0)][:2] == [1, 2]
        with serving(copy, engine):
            assert copy.run("waiting").result(timeout_s=30).state == {"n": 11}
        # A client that does not know what was lost enqueues all of it again.
        assert copy.enqueue(PLAN, {"n": 1}, id="over").result(timeout_s=0).state == {"n": 2}


def test_a_copy_of_a_sqlite_store_in_use_goes_on(
    made_file: Path, tmp_path: Path, zygote: Engine
) -> None:
    """`VACUUM INTO` takes the commits that are still in the write-ahead log along; the first file alone would not."""
    file = tmp_path / "runs.db"
    file.write_bytes(made_file.read_bytes())
    with closing(Store.open(f"sqlite:///{file}")) as store:
        fill(store, zygote)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])

    check_copy(f"sqlite:///{tmp_path}/copy.db", zygote)


def test_a_restored_dump_of_a_postgresql_store_goes_on(
    postgres: PostgresServer, store_databases: StoreDatabases, tmp_path: Path, zygote: Engine
) -> None:
    """`pg_dump` takes both schemas from the same moment."""
    programs = find_programs()
    with store_databases.new() as source, postgres.database() as target:
        with closing(Store.open(source)) as store:
            fill(store, zygote)
            dump = [programs / "pg_dump", "--format", "custom", "--file", tmp_path / "dump", source]
            subprocess.run(dump, check=True)
        restore = [programs / "pg_restore", "--no-owner", "--dbname", target, tmp_path / "dump"]
        subprocess.run(restore, check=True)

        check_copy(target, zygote)
