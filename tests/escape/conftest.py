"""Fixtures for all escape tests: the harness, and facts about this machine."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from modes import let_everybody_in
from warm import start
from warm_children import edits
from warm_pairs import WarmRepo

from engine import Engine

ROOT = Path(__file__).parents[2]

# Under --import-mode=importlib a test's own directory is not on the module path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def warm_server() -> None:
    """Start the server for managers before a test compares the descriptors that it found and left."""
    start("programs")


@pytest.fixture(scope="module", autouse=True)
def hostile_server(request):
    """Files of tests that start hostile children have a server that forks them."""
    if not {"Child", "run_hostile"} & vars(request.module).keys():
        yield
        return
    from harness import Server

    Server.running = Server()
    yield
    Server.running.close()
    Server.running = None


@pytest.fixture(autouse=True)
def no_descriptor_is_left():
    """A test leaves the same number of descriptors open as it found."""
    before = descriptors()
    yield
    check_descriptors(before)


@pytest.fixture(scope="module")
def no_descriptor_of_file():
    """The same for all tests of a file together, which share an engine."""
    before = descriptors()
    yield
    check_descriptors(before)


def check_descriptors(before: set[str]) -> None:
    """Wait until this process has no more descriptors than before."""
    # An engine that lives on may remove a control group at this moment, in a thread of its own.
    deadline = time.monotonic() + 10
    while not descriptors() <= before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert descriptors() <= before


def descriptors() -> set[str]:
    """Return the open descriptors of this process."""
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def as_root():
    """The test needs an action from outside that only root may do."""
    if os.geteuid() != 0:
        pytest.skip("needs root: without it there is nothing to give up")


@pytest.fixture
def repo(tmp_path: Path) -> WarmRepo:
    return WarmRepo(tmp_path / "repo")


@pytest.fixture(scope="module", autouse=True)
def children_are_warm(warm_children: None) -> None:
    """Give it to each file of escape tests."""


@pytest.fixture
def edited() -> Iterator[Callable[[str, str, str], None]]:
    """Let zygotes that start from now on have another text in the place of one in their code."""
    with editing() as edit:
        yield edit


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest,
    no_descriptor_of_file: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """An engine that has tried to warm each of `ADAPTORS` of the file, for several of its tests.

    Its parameter is a text of the children's code that is replaced, or None.
    """
    from hostile_adaptors import engine_for_all

    place = tmp_path_factory.mktemp("shared")
    let_everybody_in(place)
    with editing() as edit:
        if request.param is not None:
            edit(*request.param)
        with engine_for_all(WarmRepo(place / "repo"), request.module.ADAPTORS) as engine:
            yield engine


@contextlib.contextmanager
def editing() -> Iterator[Callable[[str, str, str], None]]:
    """Do the work of `edited`."""

    def edit(file: str, old: str, new: str) -> None:
        count = (ROOT / "sandbox_child" / file).read_text().count(old)
        assert count == 1, f"{file} has {count} times {old!r}"
        edits.append((file, old, new))

    yield edit
    edits.clear()
