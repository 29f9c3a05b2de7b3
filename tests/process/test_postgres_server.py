"""The tests' own PostgreSQL is a real server that can be killed, and nothing of it outlives the tests."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from postgres import PostgresMissingError, PostgresServer, find_programs

SUPPORT = Path(__file__).parents[1] / "support"


def test_each_test_has_a_database_of_its_own(postgres: PostgresServer) -> None:
    """Tests run beside each other and in any order, so none may see the tables of another."""
    with postgres.database() as one, postgres.database() as other:
        postgres.sql("create table t (n int)", one.rsplit("/", 1)[1])

        assert postgres.sql("select to_regclass('t')", one.rsplit("/", 1)[1]) == "t"
        assert not postgres.sql("select to_regclass('t')", other.rsplit("/", 1)[1])


def test_a_dropped_database_ends_connections_that_a_test_left(postgres: PostgresServer) -> None:
    """A killed worker may leave its connections; they must not stop the database from going."""
    with postgres.database() as url:
        left = subprocess.Popen(
            [find_programs() / "psql", "-XqAt", "-d", url, "-c", "select 1", "-f", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert left.stdout.readline() == b"1\n"

    with pytest.raises(RuntimeError, match="does not exist"):
        postgres.sql("select 1", url.rsplit("/", 1)[1])
    left.communicate()


@pytest.mark.parametrize("backends", [True, False], ids=["all killed", "postmaster only"])
def test_a_killed_server_comes_back_with_everything_that_was_committed(
    postgres: PostgresServer, postgres_url: str, *, backends: bool
) -> None:
    """The drill of the store: SIGKILL at any moment, and the same address afterwards."""
    name = postgres_url.rsplit("/", 1)[1]
    postgres.sql("create table t (n int); insert into t values (41)", name)

    postgres.kill(backends=backends)
    assert not postgres.running()
    postgres.start_again()

    assert postgres.sql("select n from t", name) == "41"


def test_a_server_that_was_taken_away_comes_back(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """The store is away for a while, and nothing is lost."""
    postgres.take_away()
    assert not postgres.running()

    assert postgres.start_again() > 0
    assert postgres.running()


OWNER = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from postgres import PostgresServer
server = PostgresServer()
print(server.pid, server.directory, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "Ctrl-C"])
def test_a_server_ends_with_its_owner(how: signal.Signals) -> None:
    """A server that outlives its tests would fill the machine, one for each session that was stopped."""
    try:
        find_programs()
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, SUPPORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    pid, directory = owner.stdout.readline().split()
    postmaster = os.pidfd_open(int(pid))
    with os.fdopen(postmaster):
        assert not select.select([postmaster], [], [], 0)[0]

        os.killpg(owner.pid, how)
        owner.communicate()

        assert select.select([postmaster], [], [], 30)[0]
    wait_until_gone(Path(directory))


def wait_until_gone(directory: Path) -> None:
    """Return when a directory does not exist, and fail if it stays."""
    for _ in range(3_000):
        if not directory.exists():
            return
        select.select([], [], [], 0.01)
    pytest.fail(f"{directory} is still there")


def test_a_machine_without_a_server_is_named_with_the_place_searched(tmp_path: Path) -> None:
    """A skipped test must say what to install."""
    with pytest.raises(PostgresMissingError, match=r"initdb, pg_ctl, postgres.*apt-get install"):
        find_programs(str(tmp_path), debian=tmp_path)


def test_the_newest_server_of_debian_is_taken(tmp_path: Path) -> None:
    """Debian may have several; 9.6 sorts behind 15 as a text."""
    for version in ("9", "15"):
        room = tmp_path / version / "bin"
        room.mkdir(parents=True)
        for name in ("initdb", "pg_ctl", "postgres", "psql"):
            (room / name).touch(0o755)

    assert find_programs("", debian=tmp_path) == tmp_path / "15" / "bin"
