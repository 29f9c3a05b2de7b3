"""Fixtures for all escape tests: the harness, and facts about this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from modes import let_everybody_in
from warm_pairs import WarmRepo

from engine import Engine
from engine.confinement import interpreter

ROOT = Path(__file__).parents[2]

# Under --import-mode=importlib a test's own directory is not on the module path.
sys.path.insert(0, str(Path(__file__).parent))


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


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code of children on the file system of the tests."""
    return Path(shutil.copytree(ROOT / "sandbox_child", tmp_path_factory.mktemp("code") / "made"))


@pytest.fixture
def edited(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Let children run a copy of their code in which one text is replaced; return the copy."""
    copy = tmp_path / "code" / "sandbox_child"
    with replaced_text(code, copy, monkeypatch) as edit:
        yield edit


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest,
    no_descriptor_of_file: None,
    code: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """An engine that has tried to warm each of `ADAPTORS` of the file, for several of its tests.

    Its parameter is a text of the children's code that is replaced, or None.
    """
    from hostile_adaptors import engine_for_all

    place = tmp_path_factory.mktemp("shared")
    let_everybody_in(place)
    with (
        pytest.MonkeyPatch.context() as patch,
        replaced_text(code, place / "code" / "sandbox_child", patch) as edit,
    ):
        if request.param is not None:
            edit(*request.param)
        with engine_for_all(WarmRepo(place / "repo"), request.module.ADAPTORS) as engine:
            yield engine


@contextlib.contextmanager
def replaced_text(
    code: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Do the work of `edited`, with a directory for the copy."""
    found = interpreter._package_directory

    def edit(file: str, old: str, new: str) -> Path:
        if not copy.exists():
            copy.parent.mkdir()
            shutil.copytree(code, copy, copy_function=os.link)
            let_everybody_in(copy.parent)
        place = copy / file
        text = place.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
        place.unlink()  # other copies have a link to the same file
        place.write_text(text.replace(old, new))
        monkeypatch.setattr(
            interpreter,
            "_package_directory",
            lambda name: str(copy) if name == "sandbox_child" else found(name),
        )
        interpreter.readable.cache_clear()
        return copy

    yield edit
    interpreter.readable.cache_clear()
