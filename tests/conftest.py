"""Settings for all tests: profiles of Hypothesis, ids that do not change, and a place for files."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bundled_repo
import pytest
from hypothesis import HealthCheck, settings
from postgres import PostgresMissingError, PostgresServer

if TYPE_CHECKING:
    from empty_databases import EmptyDatabases
    from store_databases import StoreDatabases
    from warm_children import Interpreters

# A deadline for one example would be a demand on the machine, and not on the code.
settings.register_profile(
    "usual", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=40
)
settings.register_profile("fast", settings.get_profile("usual"), max_examples=5)
settings.register_profile("long", settings.get_profile("usual"), max_examples=1000)
settings.load_profile("usual")  # `--hypothesis-profile` is read after this

CHANGES = re.compile(r" at 0x[0-9a-f]{6}|" + re.escape(str(Path(__file__).parents[1])))
"""Parts of an id that differ in another process, or in another clone."""

HANGS_S = 120
"""A test that takes longer gets the tracebacks of all threads on standard error."""

ARMED_FOR_S = 10
"""The timer for tracebacks is set anew after this time, and not for each test: it is a thread, and its
start and end cost a test 0.2 ms on a quiet machine and 5 ms on a busy one."""

_armed: list[float] = []
"""The time at which the timer was set, if it was."""
_errors: list[int] = []
"""A descriptor of standard error that pytest does not capture."""
_made: list[Path] = []
"""The directory for files of this test run, if pytest was not given one."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give a session a directory for files that every user of the machine can pass through.

    A run of root has a user id of its own.  Pytest's default directory belongs to one user only.
    Each new session takes away the rights of others again, even rights that a running session gave.
    """
    _errors.append(os.dup(2))
    gc.disable()  # until the end of the collection, which makes many objects that stay, and hardly any garbage
    # A pytest that a test starts would import the plugins of all packages here: 2 s of a processor.  Workers of
    # `pytest -n` need the plugin whose workers they are.
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # A shell lets its background jobs ignore Ctrl-C, and so would each process of a test that sends it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        _made.append(Path(tempfile.mkdtemp(prefix="jobcell-tests-")).resolve())
        _made[0].chmod(0o755)
        config.option.basetemp = str(_made[0] / "all")
        bundled_repo.place.append(_made[0] / "bundled")


def _look_for_no_constants() -> None:
    """Keep Hypothesis from reading all our files for constants, which it would try in one of 40 draws.

    In a fresh clone this takes 5 s of a processor in each fork, and 0.6 s later.
    """
    try:
        from hypothesis.internal.conjecture import providers
    except ImportError:  # an older version
        return
    if hasattr(providers, "_get_local_constants"):
        providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare the collector all tests and their modules, at which each full collection would look.

    It also runs less often: as often as usual it takes a tenth of the time of tests that make many objects.
    """
    if session.config.getoption("hypothesis_profile", None) != "long":
        _look_for_no_constants()
    if "sqlalchemy" in sys.modules:  # a file imports it if its tests use a store
        from shared_statements import share

        share()
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(5_000, 20, 20)


def pytest_runtest_logstart() -> None:
    """Set the timer for tracebacks, if it was set long ago."""
    now = time.monotonic()
    if not _armed or now - _armed[0] > ARMED_FOR_S:
        _armed[:] = [now]
        faulthandler.dump_traceback_later(HANGS_S + ARMED_FOR_S, file=_errors[0])


def pytest_sessionfinish(exitstatus: int) -> None:
    """Remove the files of a session, unless a failed test left them."""
    faulthandler.cancel_dump_traceback_later()
    if exitstatus != pytest.ExitCode.TESTS_FAILED and _made:
        shutil.rmtree(_made[0], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse ids that change: such a test could not be named again, or be given to a worker."""
    unstable = [item.nodeid for item in items if CHANGES.search(item.nodeid)]
    if unstable:
        raise pytest.UsageError("unstable ids, see tests/support/ids.py: " + "; ".join(unstable))


@pytest.fixture(scope="session")
def postgres(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this process. A test may kill it, because no other process uses it.

    Most tests want `postgres_url` or `store_url`.
    """
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if hasattr(request.config, "workerinput") else base) / "postgres"
    try:
        server = PostgresServer(made=made)
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def empty_databases(postgres: PostgresServer) -> Iterator[EmptyDatabases]:
    """The empty databases of the server of this process."""
    from empty_databases import EmptyDatabases

    made = EmptyDatabases(postgres)
    yield made
    made.close()


@pytest.fixture
def postgres_url(empty_databases: EmptyDatabases) -> Iterator[str]:
    """The address of an empty database. It is emptied after the test, and the next test gets it with another name."""
    with empty_databases.new() as url:
        yield url


@pytest.fixture(scope="session")
def store_databases(postgres: PostgresServer) -> Iterator[StoreDatabases]:
    """The databases with a store of the server of this process."""
    from store_databases import StoreDatabases

    made = StoreDatabases(postgres)
    yield made
    made.close()


@pytest.fixture(scope="session")
def interpreters() -> Iterator[Interpreters]:
    """The interpreters whose forks are children of engines."""
    from warm_children import Interpreters

    made = Interpreters()
    yield made
    made.close()


@pytest.fixture(scope="module")
def warm_children(request: pytest.FixtureRequest) -> Iterator[None]:
    """Engines of this process do not wait for new interpreters, except in files with the mark `real_starts`."""
    from engine.start import exec as starts

    if request.node.get_closest_marker("real_starts"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "spawn", request.getfixturevalue("interpreters").spawn)
        yield


@pytest.fixture
def real_start(interpreters: Interpreters, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test waits for new interpreters, in a file without the mark `real_starts`."""
    from engine.start import exec as starts

    monkeypatch.setattr(starts, "spawn", interpreters.spawn_new)


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with a new store, for copies."""
    from jobcell import Store

    file = tmp_path_factory.mktemp("store") / "runs.db"
    Store.open(file).close()
    return file


@pytest.fixture(scope="module")
def warm_pip() -> Iterator[None]:
    """In tests of what was installed, `python -m pip` becomes a fork of a process that has imported pip."""
    from warm import start_pip

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBCELL_WARM_PIP", start_pip())
        patch.setenv(
            "PYTHONPATH", str(Path(__file__).parent / "support" / "warm_pip"), prepend=os.pathsep
        )
        yield


BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(params=BACKENDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new store of each kind, which has no runs."""
    if request.param == "sqlite":
        file = Path(shutil.copy(request.getfixturevalue("made_file"), tmp_path))
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE jobcell_meta SET store_id = ?", [str(uuid.uuid4())])
        yield f"sqlite:///{file}"
        return
    with request.getfixturevalue("store_databases").new() as url:
        yield url


@pytest.fixture(params=BACKENDS)
def new_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet: a new file, then an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    return str(request.getfixturevalue("postgres_url"))
