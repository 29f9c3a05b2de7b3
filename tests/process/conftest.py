"""Fixtures for all tests with real children: engines of each start mode, and proof of no leak."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from postgres import kept
from runs import MODES, make_engine
from warm import KINDS, start, start_pip

from engine import Engine, Policy


def _descriptors() -> set[str]:
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        if int(fd.name) in kept:
            continue
        try:
            found.add(f"{fd.name} {fd.readlink()}")
        except OSError:
            pass  # the descriptor that listed the directory
    return found


def _children() -> set[int]:
    """Return all descendants."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():  # the kernel may lack it
        return {child.pid for child in psutil.Process().children(recursive=True)}
    # Psutil reads a file of each process of the machine: 5 ms for 100 of them, twice for each test.
    found: set[int] = set()
    pending = [os.getpid()]
    while pending:
        children = _children_of(pending.pop())
        found.update(children)
        pending += children
    return found


def _children_of(pid: int) -> list[int]:
    """Return the children of all threads of a process, which may have ended."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return found


def _held() -> dict[str, set[object]]:
    threads = {t for t in threading.enumerate() if "jobcell-resolve" not in t.name}
    return {"children": {*_children()}, "threads": {*threads}, "descriptors": {*_descriptors()}}


@pytest.fixture(scope="module", autouse=True)
def older_objects_are_left_alone() -> None:
    """Let the collector pass over objects that are older than this file's tests.

    `no_leak` collects after each test: this takes 0.2 s with 7,000 collected tests in sight.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the servers before forks that run the tests share them; without forks they start with the first test."""
    here = Path(__file__).parent
    if session.config.pluginmanager.has_plugin("parallel") and any(
        here in item.path.parents for item in session.items
    ):
        for kind in KINDS:
            start(kind)
        start_pip()


@pytest.fixture(scope="module", autouse=True)
def pip_is_warm(request: pytest.FixtureRequest) -> None:
    """Files that install adaptors have the server for pip."""
    if "add" in vars(request.module):
        request.getfixturevalue("warm_pip")


@pytest.fixture(scope="session", autouse=True)
def warm_server() -> None:
    """Start the servers before a test compares the descriptors that it found and left."""
    for kind in KINDS:
        start(kind)


@pytest.fixture(scope="module", autouse=True)
def children_are_warm(warm_children: None) -> None:
    """Give it to each file of process tests."""


@contextlib.contextmanager
def _nothing_is_left() -> Iterator[None]:
    # There is hardly any garbage now, because the test before this one has been followed by a collection.
    before = _held()
    yield
    gc.collect()
    # A test may leave a resolver's thread behind, which holds its answer for a moment longer.
    deadline = time.monotonic() + 5
    while left := {name: new - before[name] for name, new in _held().items() if new - before[name]}:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.01)
        gc.collect()


@pytest.fixture(autouse=True)
def no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare children, threads and descriptors before and after the test."""
    arguments = getattr(request.node, "callspec", None)
    if arguments is not None and "postgresql" in arguments.params.values():
        request.getfixturevalue("postgres")  # it belongs to the session, and not to the test
    with _nothing_is_left():
        yield


@pytest.fixture(scope="module")
def no_leak_of_file(
    warm_server: None, pip_is_warm: None, children_are_warm: None
) -> Iterator[None]:
    """Compare them before and after all tests of a file that share engines: its `no_leak` takes this fixture."""
    with _nothing_is_left():
        yield


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each way to start a child."""
    return str(request.param)


@pytest.fixture
def engine(mode: str) -> Iterator[Engine]:
    """An engine of each start mode, with the default walls."""
    with make_engine(mode) as made:
        yield made


@pytest.fixture(scope="module")
def shared_zygote() -> Iterator[Engine]:
    """An engine for the tests of a file; it has had a run that lasted, and so has all of its threads."""
    with make_engine("zygote") as made:
        lasts = "import time\ndef main(state):\n    time.sleep(0.5)\n    return state"
        assert made.execute(lasts).result(60).reason == "success"
        yield made


@pytest.fixture
def zygote(shared_zygote: Engine) -> Engine:
    """An engine for tests that do not depend on the way in which a child is started.

    Other tests of the file use it as well, because the start of a zygote takes as long as 20 runs.
    """
    return shared_zygote


@pytest.fixture
def plain() -> Iterator[Engine]:
    """An engine without the language wall: jobs may do anything that Python can do."""
    with make_engine("zygote", policy=Policy(language=False)) as made:
        yield made


@pytest.fixture
def bare() -> Iterator[Engine]:
    """An engine without any wall, to show what a job can do then."""
    with make_engine("zygote", policy=Policy(level="none", language=False)) as made:
        yield made
