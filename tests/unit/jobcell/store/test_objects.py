"""Large contents in object stores: in memory, in a directory, and on real servers for FTP and S3."""

from __future__ import annotations

import os
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from object_stores import ObjectServer
from store_runs import JOB, carry_out

from jobcell.store import Store, StoreDamagedError, StoreUnavailableError, blobs
from jobcell.store.blobs import ORPHAN_S
from jobcell.store.objects import Objects
from jobcell.store.schema import runs, schedules

pytestmark = pytest.mark.slow  # each test has a store, and some a server

PATIENCE_S = 60.0
LARGE = {"data": [f"row {number}" for number in range(20_000)]}


@pytest.fixture(scope="module")
def ftp(tmp_path_factory):
    """A server that the tests share."""
    server = ObjectServer("ftp", tmp_path_factory.mktemp("ftp"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A server that the tests share; its start takes seconds."""
    server = ObjectServer("s3", tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "file", "ftp", "s3"])
def objects(request, tmp_path, monkeypatch):
    """The address of an empty directory of objects."""
    if request.param in ("memory", "file"):
        return f"{request.param}://{tmp_path}/objects"
    server = request.getfixturevalue(request.param)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"{server.url}/{tmp_path.name}"


@pytest.fixture
def store(objects, tmp_path):
    """A store in SQLite with these objects."""
    with Store.open(tmp_path / "runs.db", objects=objects) as opened:
        yield opened


def names(store):
    """Return the names of all objects of a store."""
    later = time.time() + 10 * ORPHAN_S
    return sorted(name for part in store.blobs._objects.old_names(later) for name in part)


def known(store):
    """Return the names that rows have."""
    with store.database.read() as connection:
        query = sa.select(blobs.c.url).where(blobs.c.url.is_not(None))
        return sorted(connection.execute(query).scalars())


def test_a_large_state_makes_its_way_through_each_object_store(store, eng):
    """The run ends as in any store.  The state is one object, and prune removes it."""
    run = store.enqueue(JOB, LARGE)
    carry_out(store, eng, run.id)
    assert run.result().state == LARGE
    assert len(names(store)) == 1
    assert names(store) == known(store)
    with store.database.write() as connection:
        connection.execute(sa.text("update jobcell_runs set last_event_ms = 0"))
        connection.execute(sa.text("update jobcell_blobs set used_ms = 0"))
    assert store.prune(60) == 1
    assert names(store) == known(store) == []


def test_many_threads_use_an_object_store_at_once(store):
    """A connection of FTP takes one call at a time, so each thread has its own."""

    def use(number):
        content = f"{number} ".encode() * 30_000
        name = store.blobs._objects.write(f"{number:02x}{'0' * 62}", content)
        return store.blobs._objects.read(name) == content

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(24)))


def test_an_object_without_a_row_is_removed_when_it_is_a_day_old(
    store, objects, tmp_path, monkeypatch
):
    """A transaction that has failed leaves it.  Younger ones, and those of other stores, stay."""
    run = store.enqueue(JOB, LARGE, id="kept")
    needed = known(store)

    def leave(of, age_s):
        clock = types.SimpleNamespace(time=lambda: time.time() - age_s)
        with monkeypatch.context() as patched:
            patched.setattr("jobcell.store.objects.time", clock)
            return of.blobs._objects.write("ab" * 32, b"left")

    young = leave(store, ORPHAN_S - 3600)
    leave(store, ORPHAN_S + 3600)
    # The object of the run is old as well, and it has a row.
    old_name = leave(store, ORPHAN_S + 7200)
    with store.database.write() as connection:
        connection.execute(
            blobs.insert().values(
                key="x", encoding="raw", size=4, url=old_name, used_ms=store.database.now_ms
            )
        )
    with Store.open(tmp_path / "other.db", objects=objects) as other:
        foreign = leave(other, 10 * ORPHAN_S)
        store.prune(60)
        assert names(other) == [foreign]
    assert names(store) == sorted([*needed, young, old_name])
    assert run.id == "kept"


def test_an_object_that_is_cut_or_replaced_is_damage_and_is_not_used(tmp_path):
    """A reader gets the true state, or an error."""
    with Store.open(tmp_path / "runs.db", objects=f"file://{tmp_path}/objects") as store:
        store.enqueue(JOB, LARGE, id="one")
        [name] = known(store)
        file = tmp_path / "objects" / name
        whole = file.read_bytes()
        for content in (b"", whole[: len(whole) // 2], whole[:-1], os.urandom(len(whole))):
            file.write_bytes(content)
            with (
                pytest.raises(StoreDamagedError, match="has another hash"),
                store.database.read() as c,
            ):
                store.reader.stored(c, "one")
        file.write_bytes(whole)
        with store.database.read() as connection:
            assert store.reader.stored(connection, "one").state == LARGE


def test_an_object_store_that_is_away_is_out_of_reach_and_then_used_again(tmp_path, monkeypatch):
    """A run is stored with its state, or it is refused.  The error names the address without the password."""
    server = ObjectServer("ftp", tmp_path)
    try:
        with Store.open(tmp_path / "runs.db", objects=server.url) as store:
            store.enqueue(JOB, LARGE, id="before")
            server.stop()
            monkeypatch.setattr("jobcell.store.intake.ENQUEUE_S", 0.0)
            with pytest.raises(StoreUnavailableError, match="object store") as caught:
                store.enqueue(JOB, {"more": LARGE}, id="meanwhile")
            assert "s3cr3t" not in str(caught.value)
            assert [run.id for run in store.runs()] == ["before"]
            store.enqueue(JOB, {"small": 1}, id="small")  # it needs no object
            server.start()
            store.enqueue(JOB, {"more": LARGE}, id="after")
            with store.database.read() as connection:
                assert store.reader.stored(connection, "after").state == {"more": LARGE}
    finally:
        server.stop()


def test_nobody_waits_behind_a_slow_object_store(store_url, tmp_path, monkeypatch):
    """An object is written before the transaction: SQLite has one lock, and PostgreSQL ends an idle transaction."""
    from jobcell.store import objects as module

    begun, go_on = threading.Event(), threading.Event()
    write = module._write

    def write_slowly(files, path, body):
        begun.set()
        assert go_on.wait(PATIENCE_S)
        write(files, path, body)

    monkeypatch.setattr(module, "_write", write_slowly)
    with Store.open(store_url, objects=f"file://{tmp_path}/objects") as store:
        thread = threading.Thread(target=lambda: store.enqueue(JOB, LARGE, id="large"))
        thread.start()
        assert begun.wait(PATIENCE_S)
        with store.database.write() as connection:  # SQLite would wait for its lock, and fail
            found = connection.execute(sa.text("select count(*) from jobcell_runs")).scalar_one()
        assert found == 0
        if not store.database.is_sqlite:
            query = "select count(*) from pg_stat_activity where state = 'idle in transaction'"
            with store.database.read() as connection:
                assert connection.execute(sa.text(query)).scalar_one() == 0
        go_on.set()
        thread.join(PATIENCE_S)
        assert [run.id for run in store.runs()] == ["large"]


def test_a_schedule_reads_large_contents_before_its_row_is_locked(
    store_url, tmp_path, monkeypatch, eng
):
    """An object store can take seconds, and SQLite has one lock for all who write."""
    reads = []
    read = Objects.read

    def read_beside_a_writer(self, name):
        locked = sa.select(schedules.c.name).with_for_update(nowait=True)
        with store.database.write() as connection:  # SQLite would wait for its lock, and fail
            assert len(connection.execute(locked).all()) == 2
        reads.append(name)
        return read(self, name)

    with Store.open(store_url, objects=f"file://{tmp_path}/objects") as store:
        for name, carries in [("same", False), ("carries", True)]:
            store.schedules.add(name, JOB, cron="* * * * *", state=LARGE, carry_state=carries)
        last = store.enqueue(JOB, {"data": LARGE["data"][1:]})
        carry_out(store, eng, last.id)
        now_ms = store.database.now_ms
        with store.database.write() as connection:
            connection.execute(runs.update().values(schedule="carries"))
            connection.execute(
                schedules.update().values(looked_ms=now_ms - 60_000, due_ms=now_ms - 1)
            )
        monkeypatch.setattr(Objects, "read", read_beside_a_writer)
        made = store.schedules.run_due()
        monkeypatch.setattr(Objects, "read", read)
        assert len(reads) == 2
        with store.database.read() as connection:
            states = {
                name.split("@")[0]: store.reader.stored(connection, name).state for name in made
            }
        assert states == {"same": LARGE, "carries": {"data": LARGE["data"][1:]}}


def test_a_fork_opens_connections_of_its_own(store):
    """Two processes with one connection would get each other's answers."""
    run = store.enqueue(JOB, LARGE)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with store.database.read() as connection:
                code = int(store.reader.stored(connection, run.id).state != LARGE)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with store.database.read() as connection:
        assert store.reader.stored(connection, run.id).state == LARGE
