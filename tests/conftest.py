"""Settings for all tests: profiles of Hypothesis, ids that do not change, and a place for files."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from postgres import PostgresMissingError, PostgresServer

# A deadline for one example would be a demand on the machine, and not on the code.
settings.register_profile("full", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("full"), max_examples=10)
settings.load_profile("full")  # `--hypothesis-profile` is read after this

CHANGES = re.compile(r" at 0x[0-9a-f]{6}|" + re.escape(str(Path(__file__).parents[1])))
"""Parts of an id that differ in another process, or in another clone."""

_made: list[Path] = []
"""The directory for files of this test run, if pytest was not given one."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give a session a directory for files that every user of the machine can pass through.

    A run of root has a user id of its own.  Pytest's default directory belongs to one user only.
    Each new session takes away the rights of others again, even rights that a running session gave.
    """
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        _made.append(Path(tempfile.mkdtemp(prefix="jobcell-tests-")).resolve())
        _made[0].chmod(0o755)
        config.option.basetemp = str(_made[0] / "all")


def pytest_sessionfinish(exitstatus: int) -> None:
    """Remove the files of a session, unless a failed test left them."""
    if exitstatus != pytest.ExitCode.TESTS_FAILED and _made:
        shutil.rmtree(_made[0], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse ids that change: such a test could not be named again, or be given to a worker."""
    unstable = [item.nodeid for item in items if CHANGES.search(item.nodeid)]
    if unstable:
        raise pytest.UsageError("unstable ids, see tests/support/ids.py: " + "; ".join(unstable))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this process. A test may kill it, because no other process uses it.

    Most tests want `postgres_url` or `store_url`.
    """
    try:
        server = PostgresServer()
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The address of an empty database, which is dropped after the test."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet: a new file, then an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    return str(request.getfixturevalue("postgres_url"))
