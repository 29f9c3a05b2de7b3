"""Opening a store: a good address works at once, and a bad one is one clear error."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa
from store_runs import JOB
from warm import run_warm

from jobcell.store import (
    Store,
    StoreDamagedError,
    StoreError,
    StoreUnavailableError,
    StoreUrlError,
    StoreVersionError,
)
from jobcell.store.schema import SCHEMA_VERSION

pytestmark = pytest.mark.slow  # each test has a store of its own


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user without settings."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("JOBCELL_STORE", raising=False)
    return tmp_path


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_default_store_is_a_private_file_in_the_state_directory(home):
    """Nobody else can read it, whatever the umask is; the files of WAL mode neither."""
    before = os.umask(0)
    try:
        with Store.open() as store:
            store.enqueue(JOB)
            files = list((home / "state" / "jobcell").iterdir())
            modes = {path.name: mode_of(path) for path in files}
    finally:
        os.umask(before)

    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    assert mode_of(home / "state" / "jobcell") == 0o700


def test_the_default_store_is_private_also_in_a_directory_that_was_there(home):
    """An older directory is closed, and the directories above it are not open to all."""
    place = home / "state" / "jobcell"
    place.mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        Store.open().close()
        (place / "store.db").unlink()
        place.rmdir()
        (home / "state").rmdir()
        Store.open().close()
    finally:
        os.umask(before)

    assert mode_of(place) == 0o700
    assert mode_of(place / "store.db") == 0o600
    assert mode_of(home / "state") == 0o700


def test_the_default_store_lies_in_the_home_directory_without_a_variable(home, monkeypatch):
    """As the XDG Base Directory Specification says; a relative path does not count."""
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        with Store.open() as store:
            assert store.database.url.database == str(home / "home/.local/state/jobcell/store.db")


def test_the_environment_names_a_store(home, monkeypatch):
    """`JOBCELL_STORE` is the default; an argument wins."""
    monkeypatch.setenv("JOBCELL_STORE", f"sqlite:///{home}/named.db")
    with Store.open() as store:
        assert store.database.url.database == f"{home}/named.db"
    with Store.open(home / "path.db") as store:
        assert store.database.url.database == f"{home}/path.db"


def test_a_relative_file_stays_the_same_file_in_another_directory(home, monkeypatch):
    """A process may change its directory."""
    monkeypatch.chdir(home)
    with Store.open("sqlite:///runs.db") as store:
        (home / "other").mkdir()
        monkeypatch.chdir(home / "other")
        store.enqueue(JOB)
        store.database.engine.dispose()  # the next call opens the file again
        assert len(store.runs()) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is not the URL of a store"),
        ("runs.db", "write sqlite:///runs.db"),
        ("/var/lib/runs.db", "write sqlite:////var/lib/runs.db"),
        ("mysql://user@host/db", "a store cannot be in 'mysql'"),
        ("postgresql+asyncpg://user@host/db", r"cannot be in 'postgresql\+asyncpg'"),
        ("sqlite+aiosqlite:///runs.db", r"cannot be in 'sqlite\+aiosqlite'"),
        ("https://example.org/", "a store cannot be in 'https'"),
        ("sqlite://", "needs a file that stays"),
        ("sqlite:///:memory:", "needs a file that stays"),
        ("sqlite:///file:x?mode=memory", "no options: mode"),
        ("sqlite://runs.db", "three slashes"),
        ("sqlite:///runs.db?mode=ro", "no options: mode"),
        ("sqlite:////no/such/directory/runs.db", "directory /no/such/directory .* does not exist"),
        ("sqlite:////tmp", "is a directory"),
        ("postgresql://host:port/db", "cannot be read"),
        ("postgresql://host", "names no database"),
        ("postgresql://[::1/db", "cannot be read"),
        ("postgresql://127.0.0.1/db?nonsense=1", 'invalid connection option "nonsense"'),
        ("sqlite:///a\0b.db", "NUL"),
        ("sqlite:///a%00b.db", r"name of the database .* cannot have: 'a\\x00b.db'"),
        ("postgresql://host/d%00b", "name of the database .* cannot have"),
        ("postgresql://user:a%00b@host/db", "the password .* cannot have$"),
        ("sqlite:////dev/null", "/dev/null is not a file"),
        ("sqlite:////dev/null/runs.db", "directory /dev/null of the store does not exist"),
        (f"sqlite:///{'long' * 99}.db", "cannot be opened: File name too long"),
    ],
)
def test_a_wrong_address_is_a_url_error(home, monkeypatch, url, words):
    """The text says what would be right; the environment's value is checked alike."""
    monkeypatch.chdir(home)
    with pytest.raises(StoreUrlError, match=words):
        Store.open(url)
    if url and "\0" not in url:
        monkeypatch.setenv("JOBCELL_STORE", url)
        with pytest.raises(StoreUrlError, match=words):
            Store.open()


def test_an_address_of_another_type_is_a_type_error():
    """Bytes are not a URL."""
    with pytest.raises(TypeError, match="must be text, not bytes"):
        Store.open(b"sqlite:///runs.db")


def test_a_password_is_in_no_message_and_in_no_repr(postgres):
    """It may be in a log."""
    port = free_port()
    url = f"postgresql://jobcell:hunter2secret@127.0.0.1:{port}/nothing?sslmode=disable"
    with pytest.raises(StoreUnavailableError) as caught:
        Store.open(url)
    assert "hunter2secret" not in str(caught.value)
    assert f"127.0.0.1:{port}/nothing" in str(caught.value)
    with pytest.raises(StoreUrlError) as wrong:
        Store.open("postgresql://jobcell:hunter2secret@host:x/db")
    assert "hunter2secret" not in str(wrong.value)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_server_that_is_away_is_unavailable_at_once_or_after_the_given_time():
    """The caller decides how long to try."""
    url = f"postgresql://jobcell@127.0.0.1:{free_port()}/runs"
    with pytest.raises(StoreUnavailableError, match="is out of reach"):
        Store.open(url)
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        Store.open(url, timeout_s=0.3)
    assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize(
    ("part", "words"),
    [("/no_such_database", "does not exist"), ("nobody@", 'role "nobody" does not exist')],
)
def test_a_database_or_a_user_that_does_not_exist_is_a_url_error(postgres, part, words):
    """No later try would help."""
    url = postgres.url("postgres")
    wrong = (
        url.replace("/postgres", part) if part.startswith("/") else url.replace("jobcell@", part)
    )
    with pytest.raises(StoreUrlError, match=words):
        Store.open(wrong)


def test_a_file_that_is_not_a_database_is_left_as_it_is(tmp_path):
    """The error says so, and the file keeps its bytes."""
    file = tmp_path / "notes.db"
    file.write_text("these are notes, and not a database" * 100)
    with pytest.raises(StoreUrlError, match="is not a database of SQLite"):
        Store.open(file)
    assert file.read_text().startswith("these are notes")


def test_a_damaged_file_is_reported_as_damaged(tmp_path):
    """SQLite notices it when it reads the page."""
    file = tmp_path / "runs.db"
    with Store.open(file) as store:
        for number in range(50):
            store.enqueue(JOB, {"n": number, "text": os.urandom(3000).hex()})
    with sqlite3.connect(file) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    body = bytearray(file.read_bytes())
    for place in range(4096, len(body) - 4096, 4096):
        body[place : place + 200] = b"\xff" * 200
    file.write_bytes(body)
    with pytest.raises(StoreDamagedError, match="damaged"), Store.open(file) as store:
        store.runs()


def test_another_database_in_sqlite_gets_the_tables_beside_its_own(tmp_path):
    """A caller keeps its own tables in the same file."""
    file = tmp_path / "app.db"
    with sqlite3.connect(file) as connection:
        connection.execute("create table orders (id)")
    connection.close()
    with Store.open(file) as store:
        store.enqueue(JOB)
    with sqlite3.connect(file) as connection:
        assert connection.execute("select count(*) from orders").fetchone() == (0,)
    connection.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_cannot_be_written_is_one_clear_error_for_a_user(tmp_path):
    """Reading works; writing says why not."""
    file = tmp_path / "runs.db"
    Store.open(file).close()
    file.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="read-only"), Store.open(file) as store:
            store.enqueue(JOB)
    finally:
        tmp_path.chmod(0o700)


def test_a_directory_that_may_not_be_searched_is_a_url_error(tmp_path):
    """Root without its rights over files meets it as well."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    program = "import sys\nfrom jobcell import Store\nStore.open(sys.argv[1])"
    words = [sys.executable, "-c", program, f"sqlite:///{closed}/runs.db"]
    if os.geteuid() == 0:
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    done = subprocess.run(words, check=False, capture_output=True, text=True)

    assert "StoreUrlError: the store" in done.stderr
    assert "cannot be opened: Permission denied" in done.stderr


def test_a_file_on_a_read_only_file_system_is_one_clear_error(tmp_path):
    """Root meets it as well."""
    file = tmp_path / "runs.db"
    with Store.open(file):
        pass
    script = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.unshare(0x00020000) == 0\n"
        "assert libc.mount(None, b'/', None, 16384 | (1 << 18), None) == 0\n"
        "where = sys.argv[1].encode()\n"
        "assert libc.mount(where, where, None, 4096, None) == 0\n"
        "assert libc.mount(None, where, None, 4096 | 32 | 1, None) == 0\n"
        "from jobcell.store import Store, StoreError\n"
        "try:\n"
        "    with Store.open(f'sqlite:///{sys.argv[1]}/runs.db') as store:\n"
        "        store.enqueue('def main(state):\\n    return state\\n')\n"
        "except StoreError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = run_warm(script, tmp_path, kind="commands")
    if "assert libc" in done.stderr:
        pytest.skip("this user may not mount")
    assert done.stderr == ""
    assert str(file) in done.stdout
    assert "read-only" in done.stdout or "cannot be opened" in done.stdout


def test_a_full_disk_is_unavailable_and_works_again_with_room(tmp_path):
    """A tmpfs of one megabyte; nothing is stored in halves."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], capture_output=True, check=False
    ).returncode:
        pytest.skip("this user may not mount")
    try:
        with Store.open(place / "runs.db") as store:
            store.enqueue(JOB, id="before")
            filler = place / "filler"
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while True:
                    file.write(bytes(4096))
            big = {"text": os.urandom(40_000).hex()}
            with pytest.raises(StoreUnavailableError, match=r"disk is full|disk I/O error"):
                _enqueue_once(store, big)
            assert [run.id for run in store.runs()] == ["before"]
            filler.unlink()
            assert store.enqueue(JOB, big).id
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def _enqueue_once(store, state):
    """Enqueue without the 30 seconds of patience."""
    from jobcell.store import intake as module

    patience = module.ENQUEUE_S
    module.ENQUEUE_S = 0.0
    try:
        store.enqueue(JOB, state)
    finally:
        module.ENQUEUE_S = patience


def test_a_store_of_a_newer_jobcell_is_refused_only_if_it_cannot_be_read(store_url):
    """``readable_from`` decides; a newer ``schema_version`` alone does not."""
    with Store.open(store_url) as store, store.database.write() as connection:
        connection.execute(sa.text("update jobcell_meta set schema_version = 99"))
    with Store.open(store_url) as store:
        assert store.facts.schema_version == 99
        store.enqueue(JOB)
        with store.database.write() as connection:
            connection.execute(sa.text("update jobcell_meta set readable_from = 98"))
    with pytest.raises(StoreVersionError, match=rf"version 98 .* knows version {SCHEMA_VERSION};"):
        Store.open(store_url)


def test_the_queue_takes_its_times_in_milliseconds_in_every_version_of_sqlite(tmp_path):
    """DBOS would call a function that SQLite 3.40 lacks, or would take whole seconds."""
    with Store.open(tmp_path / "runs.db") as store:
        run = store.enqueue(JOB)
        with store.database.read() as connection:
            made = sa.text("select group_concat(sql) from sqlite_master")
            tables = connection.execute(made).scalar_one()
            clock = connection.execute(sa.select(store.client._sys_db._now_ms_sql())).scalar_one()
            row = connection.execute(sa.text("select * from workflow_status")).one()
    assert "unixepoch" not in tables
    assert "strftime" not in tables
    assert row.workflow_uuid == run.id
    assert abs(clock - time.time() * 1000) < 60_000
    assert abs(row.updated_at - clock) < 60_000


@pytest.mark.slow
def test_two_processes_may_open_a_new_store_at_once(new_store_url, tmp_path):
    """Both find the tables complete, and the store has one identity."""
    gate, opened = os.pipe()
    pids = []
    for number in range(3):
        pids.append(os.fork())
        if pids[-1] == 0:
            code = 1
            with (tmp_path / f"end-{number}").open("w") as end:
                try:
                    os.read(gate, 1)
                    with Store.open(new_store_url) as store:
                        store.enqueue(JOB)
                        end.write(store.facts.store_id)
                    code = 0
                except BaseException:
                    traceback.print_exc(file=end)
            os._exit(code)
    os.write(opened, b"xxx")
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(gate)
    os.close(opened)

    ends = [(tmp_path / f"end-{number}").read_text() for number in range(3)]
    assert codes == [0, 0, 0], ends
    assert len({*ends}) == 1
    with Store.open(new_store_url) as store:
        assert len(store.runs()) == 3


def test_a_fork_may_use_the_store_of_its_parent(store):
    """Web servers open a store and then fork."""
    run = store.enqueue(JOB)
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            store.enqueue(JOB, id=f"of the fork {run.id}")
            code = 0 if not run.done else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.run(f"of the fork {run.id}")
    assert not run.done


def test_a_store_is_used_by_many_threads(store):
    """Each waits for a free connection, and none is lost."""
    failed = []

    def enqueue():
        try:
            for _ in range(5):
                store.enqueue(JOB, tenant="threads")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=enqueue) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    assert len(store.runs(tenant="threads")) == 60


@pytest.mark.parametrize("borrow", ["read", "write"])
def test_a_connection_in_use_is_closed_when_it_comes_back_after_the_store_was_closed(
    store_url, borrow
):
    """A thread of a task may look at the store in the moment in which another thread closes it."""
    store = Store.open(store_url)
    with getattr(store.database, borrow)() as connection:
        driver = connection.connection.driver_connection
        store.close()
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    if isinstance(driver, sqlite3.Connection):
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            driver.execute("SELECT 1")
    else:
        assert driver.closed


def test_a_closed_store_says_so(store_url):
    """Each call does; closing again is allowed."""
    store = Store.open(store_url)
    run = store.enqueue(JOB)
    store.close()
    store.close()
    calls = [
        store.runs,
        store.status,
        lambda: store.enqueue(JOB),
        lambda: store.run("x"),
        run.cancel,
    ]
    for call in (*calls, run.poll, run.result, lambda: run.done):
        with pytest.raises(StoreError, match="the store is closed"):
            call()


def test_calls_go_on_when_the_server_comes_back(postgres):
    """`poll`, `result` and `enqueue` try again; the handle stays good."""
    with postgres.database() as url, Store.open(url) as store:
        run = store.enqueue(JOB)
        postgres.take_away()
        try:
            with pytest.raises(StoreUnavailableError):
                run.poll(timeout_s=0.1)
            with pytest.raises(StoreUnavailableError):
                run.result(timeout_s=0.1)
            with pytest.raises(StoreUnavailableError):
                _ = run.done
            made = []
            thread = threading.Thread(target=lambda: made.append(store.enqueue(JOB, id="late")))
            thread.start()
        finally:
            postgres.start_again()
        thread.join(40)
        assert made[0].id == "late"
        assert run.poll(timeout_s=0.0) == []
        with pytest.raises(TimeoutError):
            run.result(timeout_s=0.0)


def test_a_locked_file_is_busy_and_works_again(tmp_path):
    """Another program holds the write lock; reading goes on."""
    from jobcell.store import StoreBusyError, database

    file = tmp_path / "runs.db"
    with Store.open(file) as store:
        run = store.enqueue(JOB)
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("begin immediate")
        assert not run.done
        patience = database.BUSY_TIMEOUT_MS
        database.BUSY_TIMEOUT_MS = 50
        store.database.engine.dispose()  # new connections have the new patience
        try:
            with pytest.raises(StoreBusyError, match="locked by another process"):
                _enqueue_once(store, None)
        finally:
            database.BUSY_TIMEOUT_MS = patience
        other.execute("commit")
        other.close()
        assert store.enqueue(JOB).id


def test_the_schema_of_the_tables_does_not_depend_on_the_connection(postgres):
    """Another search path, as a caller may have it, finds the same tables."""
    import psycopg

    with postgres.database() as url, Store.open(url) as store:
        with psycopg.connect(url) as connection:
            connection.execute("create schema elsewhere")
            connection.execute("set search_path to elsewhere")
            run = store.enqueue(JOB, connection=connection)
        assert not run.done
        with Store.open(f"{url}?options=-csearch_path%3Dpublic,elsewhere") as again:
            assert again.run(run.id)


def test_a_search_path_without_a_schema_is_one_clear_error(postgres):
    """Nothing is made in a schema that the address does not name."""
    with postgres.database() as url:
        with pytest.raises(StoreUrlError, match="no schema in the search_path exists"):
            Store.open(f"{url}?options=-csearch_path%3Dnowhere")
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()


def test_the_same_path_with_a_link_is_the_same_store(tmp_path):
    """A link to the file is no other store."""
    with Store.open(tmp_path / "runs.db") as store:
        store.enqueue(JOB, id="one")
        Path(tmp_path / "link.db").symlink_to(tmp_path / "runs.db")
        with Store.open(tmp_path / "link.db") as linked:
            assert linked.run("one")
