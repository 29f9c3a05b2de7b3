"""Workers die, stop and lose their store; every accepted run ends once, and its log stays one story."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from postgres import PostgresServer
from workers import (
    DEAD_S,
    HANGS,
    PATIENCE_S,
    QUICK,
    WorkerProcess,
    row_of,
    serving,
    story,
    wait_event,
    wait_for,
    warm_engine,
)

from engine import Engine
from jobcell import Store
from jobcell.store import StoreBusyError
from protocol.events import JobError

BEFORE = [
    "workflow-start 0",
    "edge t>a",
    "init-start a 1",
    "init-complete a 1",
    "job-start a 1",
    "job-complete a 1",
    "edge a>b",
    "edge a>never",
    "init-start b 1",
    "init-complete b 1",
    "job-start b 1",
    "log",
]
AFTER = [
    "job-error b 1",
    "workflow-start 1",
    "init-start b 2",
    "init-complete b 2",
    "job-start b 2",
    "log",
    "job-complete b 2",
    "edge b>c",
    "init-start c 1",
    "init-complete c 1",
    "job-start c 1",
    "job-complete c 1",
    "workflow-complete",
]


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    """An engine for the workers in this process."""
    with warm_engine(max_runs=4) as made:
        yield made


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store, of each kind."""
    with closing(Store.open(store_url)) as opened:
        yield opened


def test_the_run_of_a_killed_worker_goes_on_in_another_one(
    store: Store, store_url: str, shared_engine: Engine
) -> None:
    """Its log goes on with the next number: the open attempt is closed, nothing is doubled."""
    run = store.enqueue(HANGS, {"n": 1})
    with WorkerProcess(store_url) as first:
        wait_event(run, "log")
        assert story(run) == BEFORE
        first.send(signal.SIGKILL)
        first.wait()
    with serving(store, shared_engine):
        result = run.result(timeout_s=PATIENCE_S)
    assert (result.reason, result.state["a"], result.state["b"], result.state["c"]) == (
        *("success", 1, 2, 1),
    )
    assert story(run) == BEFORE + AFTER
    events = run.poll(after=0)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    (lost,) = (event for event in events if isinstance(event, JobError))
    assert (lost.error.name, lost.retry_in_ms) == ("WorkerLost", 0)
    row = row_of(store, run)
    assert (row.status, row.takeovers, row.lost) == ("done", 1, 0)


def test_a_worker_that_was_stopped_beyond_its_lease_finds_itself_fenced_off(
    store: Store, store_url: str, shared_engine: Engine
) -> None:
    """It kills its own child, writes nothing more, and then serves again."""
    run = store.enqueue(HANGS)
    with WorkerProcess(store_url) as first:
        wait_event(run, "log")
        children = [child for child in first.children() if child.children() == []]
        stop_without_lock(first, store)
        with serving(store, shared_engine):
            assert run.result(timeout_s=PATIENCE_S).state["b"] == 2
            told = story(run)
        first.send(signal.SIGCONT)
        wait_for(lambda: first.has_said("fenced off"))
        wait_for(lambda: first.has_said("has a lease"))
        again = store.enqueue(QUICK)
        assert again.result(timeout_s=PATIENCE_S).reason == "success"
        wait_for(lambda: len([c for c in children if c.is_running() and _is_alive(c)]) <= 1)
    assert told == BEFORE + AFTER
    assert story(run) == told


def stop_without_lock(worker: WorkerProcess, store: Store) -> None:
    """Stop a worker at a moment at which it does not hold the lock of a SQLite file, which it would keep."""
    while True:
        worker.send(signal.SIGSTOP)
        try:
            with store.database.write():
                return
        except StoreBusyError:
            worker.send(signal.SIGCONT)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_drained_worker_ends_its_runs_and_takes_no_new_one(store: Store, store_url: str) -> None:
    """SIGTERM without a drain time waits for the runs, and the exit code is 0."""
    text = "import time\ndef main(state):\n    print('here')\n    time.sleep(1)\n    return state"
    plan = {"workflow": {"steps": [{"id": "a", "expression": text}]}}
    run = store.enqueue(plan)
    with WorkerProcess(store_url) as worker:
        wait_event(run, "log")
        worker.send(signal.SIGTERM)
        wait_for(lambda: worker.has_said("takes no new runs"))
        later = store.enqueue(QUICK)
        assert worker.wait() == 0
        assert worker.has_said("has drained")
    assert run.result(timeout_s=0).reason == "success"
    assert row_of(store, later).status == "queued"


def test_a_worker_gives_back_what_is_not_over_after_its_drain_time(
    store: Store, store_url: str, shared_engine: Engine
) -> None:
    """Another worker goes on with it at once, and it does not count as a death."""
    run = store.enqueue(HANGS)
    with WorkerProcess(store_url, "--drain", "0.2") as worker:
        wait_event(run, "log")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    assert story(run) == BEFORE
    with serving(store, shared_engine, dead_s=600.0):
        assert run.result(timeout_s=PATIENCE_S).state["b"] == 2
    assert story(run) == BEFORE + AFTER
    assert row_of(store, run).lost == 0


def test_an_outage_of_the_store_leads_to_no_takeover(
    postgres: PostgresServer, postgres_url: str, shared_engine: Engine
) -> None:
    """The worker kills its child in time, and begins its own run again: one step is repeated."""
    with closing(Store.open(postgres_url)) as store:
        run = store.enqueue(HANGS)
        with serving(store, shared_engine) as worker:
            wait_event(run, "log")
            postgres.take_away()
            try:
                wait_for(lambda: worker._service.figures.fences == 1)
            finally:
                postgres.start_again()
            assert run.result(timeout_s=PATIENCE_S).state["b"] == 2
        assert story(run) == BEFORE + AFTER
        assert row_of(store, run).takeovers == 0


def test_an_open_transaction_of_a_caller_does_not_fence_a_worker_off(
    tmp_path: Path, shared_engine: Engine
) -> None:
    """In SQLite it holds the lock for writing, so nobody else can take the run over either."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        run = store.enqueue(HANGS)
        with serving(store, shared_engine) as worker:
            wait_event(run, "log")
            with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as caller:
                caller.execute("BEGIN IMMEDIATE")
                beats = worker._service.figures.beats
                # The time is what this test is about: so long the lock is held.
                assert not threading.Event().wait(2 * DEAD_S)
                caller.execute("COMMIT")
            wait_for(lambda: worker._service.figures.beats > beats + 2)
            assert worker._service.figures.fences == 0
            run.cancel("enough")
            assert run.result(timeout_s=PATIENCE_S).reason == "cancelled"
        assert story(run)[: len(BEFORE)] == BEFORE
