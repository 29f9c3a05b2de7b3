"""A worker carries out the runs of a store: limits, order, cancellation, secrets, and what it says of itself."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from postgres import PostgresServer
from workers import (
    HANGS,
    PATIENCE_S,
    QUICK,
    job,
    row_of,
    serving,
    story,
    wait_event,
    wait_for,
    warm_engine,
)

from engine import Engine, Resolvers
from jobcell import Store, StoreError, StoreVersionError
from jobcell.store import StoreRun
from jobcell.store.errors import StoreReplacedError
from jobcell.store.schema import SCHEMA_VERSION, events, meta, records, runs, shut_out
from jobcell.worker import Worker

NAP = job("import time\ndef main(state):\n    time.sleep(0.2)\n    return state")
FOR_EVER = job(
    "import time\ndef main(state):\n    print('here')\n    time.sleep(300)\n    return state"
)
WITH_SECRET = {
    "workflow": {
        "steps": [
            {
                "id": "a",
                "configuration": "crm",
                "expression": "def main(state):\n    return {**state, 'kept': state['configuration']['token']}",
                "next": {"b": True},
            },
            {
                "id": "b",
                "expression": "def main(state):\n    return {**state, 'n': len(state['kept'])}",
            },
        ]
    }
}
TOKEN = "s3cr3t-token-of-crm"


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


def times_of(run: StoreRun) -> tuple[float, float]:
    """Return when the job of a run began and ended."""
    events = run.poll(after=0)
    begun = next(event.time for event in events if event.type == "job-start")
    return begun, next(event.time for event in events if event.type == "job-complete")


def most_at_once(runs: list[StoreRun]) -> int:
    """Return the largest number of jobs that ran at the same time."""
    spans = [times_of(run) for run in runs]
    return max(sum(begun <= moment < ended for begun, ended in spans) for moment, _ended in spans)


def test_a_tenant_has_no_more_runs_at_once_than_its_limit(
    store: Store, shared_engine: Engine
) -> None:
    """The runs of another tenant do not wait for those of a greedy one."""
    greedy = [store.enqueue(NAP, {"n": n}, tenant="greedy") for n in range(6)]
    other = [store.enqueue(NAP, {"n": n}, tenant="other") for n in range(2)]
    with serving(store, shared_engine, tenant_limit=2, drain_s=None):
        for run in [*greedy, *other]:
            assert run.result(timeout_s=PATIENCE_S).reason == "success"
    assert most_at_once(greedy) <= 2
    last_of_other = max(times_of(run)[1] for run in other)
    assert sum(times_of(run)[1] > last_of_other for run in greedy) >= 2


def test_lower_priorities_come_first_and_then_the_first_ones(
    store: Store, shared_engine: Engine
) -> None:
    """A worker with one place shows the order."""
    order = [(5, "e"), (0, "c"), (-3, "a"), (0, "d"), (-3, "b")]
    runs = {name: store.enqueue(QUICK, id=name, priority=number) for number, name in order}
    with serving(store, shared_engine, max_runs=1):
        for run in runs.values():
            run.result(timeout_s=PATIENCE_S)
    assert sorted(runs, key=lambda name: times_of(runs[name])) == ["a", "b", "c", "d", "e"]


def test_a_run_is_cancelled_through_the_store(store: Store, shared_engine: Engine) -> None:
    """The worker looks for it a few times each second."""
    run = store.enqueue(FOR_EVER)
    with serving(store, shared_engine):
        wait_event(run, "log")
        run.cancel("not needed")
        result = run.result(timeout_s=PATIENCE_S)
    assert result.reason == "cancelled"
    assert result.error is not None
    assert "not needed" in result.error.message
    assert story(run)[-2:] == ["job-error a 1", "workflow-error"]


def test_the_events_of_a_run_come_while_it_goes_on(store: Store, shared_engine: Engine) -> None:
    """A task that waits for events gets each of them soon, and not all of them at the end of the run."""
    run = store.enqueue(FOR_EVER)

    async def follow() -> list[str]:
        found = []
        async for event in store.run(run.id):
            found.append(event.type)
            if event.type == "log":
                assert not run.done
                run.cancel()
        return found

    with serving(store, shared_engine):
        found = asyncio.run(asyncio.wait_for(follow(), PATIENCE_S))
    assert found[-3:] == ["log", "job-error", "workflow-error"]


def test_a_state_with_a_secret_is_not_in_the_store_without_a_key(
    store: Store, shared_engine: Engine
) -> None:
    """Its step has no checkpoint, and neither have the steps after it; the log says so once."""
    run = store.enqueue(WITH_SECRET)
    resolvers = Resolvers(credential=lambda _id: {"token": TOKEN})
    with serving(store, shared_engine, resolvers=resolvers):
        result = run.result(timeout_s=PATIENCE_S)
    assert (result.reason, result.state["n"]) == ("success", len(TOKEN))
    with store.database.read() as connection:
        assert connection.execute(sa.select(records)).all() == []
        everything = _everything(connection, store)
    assert TOKEN.encode() not in everything
    lines = [event.message for event in run.poll(after=0) if event.type == "log"]
    assert sum("JOBCELL_STORE_KEY" in line for line in lines) == 1


def _everything(connection: sa.Connection, store: Store) -> bytes:
    from jobcell.store.schema import blobs, events, runs

    rows: list[Any] = []
    for table in (runs, events, records):
        rows += connection.execute(sa.select(table)).all()
    keys = connection.execute(sa.select(blobs.c.key)).scalars().all()
    contents = store.blobs.read(connection, keys).values()
    return repr([tuple(row) for row in rows]).encode() + b"".join(contents)


def test_a_state_with_a_secret_is_recorded_with_a_key(
    store_url: str, shared_engine: Engine
) -> None:
    """An encrypted store keeps every step."""
    with closing(Store.open(store_url, key=bytes(32))) as store:
        run = store.enqueue(WITH_SECRET)
        resolvers = Resolvers(credential=lambda _id: {"token": TOKEN})
        with serving(store, shared_engine, resolvers=resolvers):
            assert run.result(timeout_s=PATIENCE_S).reason == "success"
        with store.database.read() as connection:
            assert len(connection.execute(sa.select(records)).all()) == 2


def test_a_second_worker_in_a_process_is_one_clear_error(
    tmp_path: Path, shared_engine: Engine
) -> None:
    """DBOS has one instance in a process.  Afterwards another worker can serve."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        with serving(store, shared_engine) as first:
            wait_for(lambda: first.id is not None and _known(store))
            with pytest.raises(StoreError, match="serves a worker already"):
                Worker(store, shared_engine).serve()
            assert store.enqueue(QUICK).result(timeout_s=PATIENCE_S).reason == "success"
        with serving(store, shared_engine):
            assert store.enqueue(QUICK).result(timeout_s=PATIENCE_S).reason == "success"


def _known(store: Store) -> bool:
    from jobcell.store.schema import workers

    with store.database.read() as connection:
        return connection.execute(sa.select(workers.c.id)).first() is not None


def test_a_worker_ends_when_a_newer_program_changes_the_store(
    store: Store, shared_engine: Engine
) -> None:
    """It kills its children, and writes nothing more into tables that it does not understand."""
    run = store.enqueue(FOR_EVER)
    worker = Worker(store, shared_engine, heartbeat_s=0.1, dead_s=5)
    ended: list[BaseException] = []

    def serve() -> None:
        try:
            worker.serve()
        except StoreError as error:
            ended.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    wait_event(run, "log")
    held = row_of(store, run)
    with store.database.write() as connection:
        connection.execute(meta.update().values(schema_version=SCHEMA_VERSION + 1, readable_from=1))
    assert not ended  # an older program can read newer tables, if they say so
    with store.database.write() as connection:
        connection.execute(meta.update().values(schema_version=7, readable_from=7))
    thread.join(PATIENCE_S)
    [error] = ended
    assert isinstance(error, StoreVersionError)
    assert "it needs version 7 of the tables" in str(error)
    with store.database.write(checked=False) as connection:
        connection.execute(meta.update().values(readable_from=1))
    assert row_of(store, run) == held
    assert [event.type for event in run.poll(after=0)][-1] == "log"


STEPS = 40
ONE_AFTER_THE_OTHER = {
    "workflow": {
        "steps": [
            {
                "id": f"s{number}",
                "expression": "import time\ndef main(state):\n    time.sleep(0.05)\n    return state",
                "next": {f"s{number + 1}": True} if number < STEPS else {},
            }
            for number in range(STEPS + 1)
        ]
    }
}


def test_a_worker_writes_nothing_after_a_newer_program_has_changed_the_tables(
    store: Store, shared_engine: Engine
) -> None:
    """Each of its transactions looks, so the next heartbeat may be far away."""
    run = store.enqueue(ONE_AFTER_THE_OTHER)
    worker = Worker(store, shared_engine, max_runs=1, heartbeat_s=1000, dead_s=3000)
    ended: list[BaseException] = []

    def serve() -> None:
        try:
            worker.serve()
        except StoreError as error:
            ended.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    wait_event(run, "job-complete")
    with store.database.migrating() as connection:
        shut_out(connection)
        connection.execute(meta.update().values(schema_version=7, readable_from=7))
        last = connection.execute(sa.select(sa.func.max(events.c.seq))).scalar_one()
    thread.join(PATIENCE_S)
    [error] = ended
    assert isinstance(error, StoreVersionError)
    with store.database.read(checked=False) as connection:
        assert connection.execute(sa.select(sa.func.max(events.c.seq))).scalar_one() == last
        assert connection.execute(sa.select(runs.c.status)).scalar_one() == "running"


def test_a_user_of_the_database_without_rights_is_one_clear_error(
    postgres: PostgresServer, shared_engine: Engine
) -> None:
    """The errors of DBOS have the words of a store, too."""
    with postgres.database() as url:
        Store.open(url).close()
        with closing(Store.open(url)) as owner, owner.database.write() as connection:
            connection.execute(sa.text("drop role if exists reader"))
            connection.execute(sa.text("create role reader login"))
            for schema in ("public", "dbos"):
                connection.execute(sa.text(f"grant usage on schema {schema} to reader"))
                connection.execute(
                    sa.text(f"grant select on all tables in schema {schema} to reader")
                )
        with (
            closing(Store.open(url.replace("jobcell@", "reader@"))) as store,
            pytest.raises(StoreError, match="does not let this user do that"),
        ):
            Worker(store, shared_engine).serve()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_worker_ends_when_its_file_is_removed_or_replaced(
    tmp_path: Path, shared_engine: Engine, replaced: bool
) -> None:
    """Nobody else would see what it writes, and it would not see the runs of others."""
    path = tmp_path / "runs.db"
    with closing(Store.open(f"sqlite:///{path}")) as store:
        run = store.enqueue(FOR_EVER)
        worker = Worker(store, shared_engine, heartbeat_s=0.1, dead_s=5)
        ended: list[BaseException] = []

        def serve() -> None:
            try:
                worker.serve()
            except StoreError as error:
                ended.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        wait_event(run, "log")
        for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        if replaced:
            Store.open(f"sqlite:///{path}").close()
        thread.join(PATIENCE_S)
        assert [type(error) for error in ended] == [StoreReplacedError]
        assert path.exists() == replaced  # the worker has not made an empty one
        with pytest.raises(StoreReplacedError, match="open the store again"):
            store.enqueue(QUICK)
    with closing(Store.open(f"sqlite:///{path}")) as again:
        assert [known.id for known in again.runs()] == []


def test_a_worker_says_how_it_is(tmp_path: Path, shared_engine: Engine) -> None:
    """It is ready while it takes runs, and not while it drains; its figures have the format of Prometheus."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        with serving(store, shared_engine, health="127.0.0.1:0", drain_s=None) as worker:
            wait_for(lambda: worker.health_url is not None and _get(worker, "/readyz")[0] == 200)
            assert _get(worker, "/livez") == (200, "ok\n")
            assert _get(worker, "/other")[0] == 404
            store.enqueue(QUICK).result(timeout_s=PATIENCE_S)
            run = store.enqueue(FOR_EVER)
            wait_event(run, "log")
            wait_for(
                lambda: 'jobcell_runs_total{reason="success"} 1.0' in _get(worker, "/metrics")[1]
            )
            page = _get(worker, "/metrics")[1]
            assert "jobcell_running 1.0" in page
            assert "jobcell_takeovers_total 0.0" in page
            assert 'jobcell_flush_seconds_bucket{le="+Inf"}' in page
            assert "jobcell_queued_age_seconds 0.0" in page
            stopping = threading.Thread(target=worker.stop)
            stopping.start()
            wait_for(lambda: _get(worker, "/readyz")[0] == 503)
            assert "drains" in _get(worker, "/readyz")[1]
            assert _get(worker, "/livez")[0] == 200
            run.cancel("enough")
            stopping.join()
        assert worker.health_url is None


def _get(worker: Worker, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{worker.health_url}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_run_whose_zygote_dies_before_it_starts_is_started_again(tmp_path: Path) -> None:
    """Nothing of it was in flight, so nothing is repeated, and the run does not fail."""
    others = set(psutil.Process().children())
    with (
        closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store,
        Engine(max_runs=1) as engine,
        serving(store, engine),
    ):
        for _ in range(3):
            before = store.enqueue(NAP)
            run = store.enqueue(QUICK)
            wait_event(before, "job-start")
            for child in set(psutil.Process().children()) - others:
                if child.children():  # the zygote, whose child runs the other run
                    child.kill()
            assert run.result(timeout_s=PATIENCE_S).reason == "success"


def test_a_plan_that_the_engine_refuses_ends_its_run(tmp_path: Path, shared_engine: Engine) -> None:
    """The client's jobcell may be newer than that of the worker; the run has its end and its reason."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        plan = {
            "workflow": {
                "steps": [
                    {"id": "a", "expression": "fn(lambda s: s)", "permissions": {"net": ["h:1"]}}
                ]
            }
        }
        run = store.enqueue(plan)
        with serving(store, shared_engine):
            result = run.result(timeout_s=PATIENCE_S)
        assert result.error is not None
        assert (result.reason, result.error.name) == ("crash", "ValidationError")
        assert row_of(store, run).status == "done"


def test_a_worker_stops_at_once_if_it_is_told_so(tmp_path: Path, shared_engine: Engine) -> None:
    """`stop(drain_s=0)` gives a run back, whatever drain time the worker has."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        run = store.enqueue(HANGS)
        with serving(store, shared_engine, drain_s=None) as worker:
            wait_event(run, "log")
            began = time.monotonic()
            worker.stop(drain_s=0)
            assert time.monotonic() - began < PATIENCE_S
        row = row_of(store, run)
        assert (row.status, row.owner, row.worker) == ("running", None, None)


def test_runs_that_were_claimed_ahead_go_back_when_their_worker_drains(
    tmp_path: Path, shared_engine: Engine
) -> None:
    """They have not begun, so they wait in the queue again, and are not taken over later."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        warm = [store.enqueue(QUICK, {"n": n}) for n in range(4)]
        with serving(store, shared_engine, max_runs=1, drain_s=None) as worker:
            for run in warm:
                run.result(timeout_s=PATIENCE_S)
            first = store.enqueue(FOR_EVER)
            wait_event(first, "log")
            ahead = store.enqueue(FOR_EVER, {"n": 1})
            stopping = threading.Thread(target=worker.stop)
            stopping.start()
            wait_for(lambda: row_of(store, ahead).status == "queued" and _in_queue(store, ahead))
            assert row_of(store, first).status == "running"
            first.cancel("enough")
            stopping.join()
        row = row_of(store, ahead)
        assert (row.status, row.owner, row.takeovers) == ("queued", None, 0)
        assert ahead.poll(after=0) == []


def _in_queue(store: Store, run: StoreRun) -> bool:
    from jobcell.store.schema import workflow_status

    query = sa.select(workflow_status.c.status).where(workflow_status.c.workflow_uuid == run.id)
    with store.database.read() as connection:
        return connection.execute(query).scalar_one() == "ENQUEUED"


def test_a_worker_that_is_stopped_before_it_serves_does_not_serve(
    tmp_path: Path, shared_engine: Engine
) -> None:
    """The call returns at once; the next one serves."""
    with closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store:
        worker = Worker(store, shared_engine)
        worker.stop()
        worker.serve()
        assert worker.id is None


def test_two_engines_of_a_process_serve_one_store_one_after_the_other(
    store: Store, shared_engine: Engine
) -> None:
    """A second worker with an engine of its own is the same clear error.  Beside a worker, an engine runs plans of its own."""
    with warm_engine(max_runs=2) as other, serving(store, shared_engine) as first:
        wait_for(lambda: first.id is not None and _known(store))
        with pytest.raises(StoreError, match="serves a worker already"):
            Worker(store, other).serve()
        run = store.enqueue(QUICK)
        assert other.execute(QUICK).result().reason == "success"
        assert run.result(timeout_s=PATIENCE_S).reason == "success"
        first.stop()
        with serving(store, other):
            assert store.enqueue(QUICK).result(timeout_s=PATIENCE_S).reason == "success"
