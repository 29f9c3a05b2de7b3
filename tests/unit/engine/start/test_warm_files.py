"""Changes of the files of an adaptor are noticed, with the help of the kernel and without."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.start import warm_files
from engine.start.warm_files import Files, Notices, TooManyFilesError


@pytest.fixture(params=["inotify", "times"])
def notices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notices]:
    """Notices of the kernel, and notices on a machine that has no room for them."""
    made = Notices()
    if request.param == "times":

        def refuse() -> None:
            raise OSError(errno.EMFILE, "too many")

        monkeypatch.setattr(made, "open", refuse)
    yield made
    made.close()


@pytest.fixture
def adaptor(tmp_path: Path) -> Path:
    inner = tmp_path / "a_1" / "a" / "inner"
    inner.mkdir(parents=True)
    (inner / "deep.py").write_text("x = 1")
    (tmp_path / "a_1" / "a" / "__init__.py").write_text("")
    return tmp_path / "a_1"


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is written": lambda at: (at / "a/inner/deep.py").write_text("x = 22"),
    "a file is added": lambda at: (at / "a/new.py").write_text(""),
    "a file is replaced": lambda at: (at / "a/__init__.py").replace(at / "a/inner/deep.py"),
    "a file is removed": lambda at: (at / "a/inner/deep.py").unlink(),
    "a directory is removed": lambda at: shutil.rmtree(at / "a/inner"),
    "the adaptor is removed": shutil.rmtree,
    "the adaptor is moved": lambda at: at.rename(at.with_name("gone")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_once_and_for_all(notices: Notices, adaptor: Path, change: str):
    """The very next look notices it."""
    files = Files([str(adaptor)], notices)
    assert files.unchanged()
    CHANGES[change](adaptor)
    assert not files.unchanged()
    assert not files.unchanged()


def test_reading_and_compiling_is_no_change(notices: Notices, adaptor: Path):
    """Compiled files appear beside the sources when another program imports them."""
    files = Files([str(adaptor)], notices)
    (adaptor / "a/inner/deep.py").read_text()
    assert files.unchanged()
    cache = adaptor / "a/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"")
    if not files._stamps:
        assert files.unchanged()


def test_sets_are_told_of_their_own_files_only(adaptor: Path):
    """Two sets may share a directory, and one of them may be given up."""
    notices = Notices()
    other = adaptor.with_name("b_1")
    other.mkdir()
    first, both = Files([str(adaptor)], notices), Files([str(adaptor), str(other)], notices)
    (other / "b.py").write_text("")
    assert first.unchanged()
    assert not both.unchanged()
    both.close()
    (adaptor / "a/new.py").write_text("")
    assert not first.unchanged()
    notices.close()


def test_a_tree_without_end_is_refused(adaptor: Path, monkeypatch: pytest.MonkeyPatch):
    """A manager may name a path with far more below it than adaptors."""
    monkeypatch.setattr(warm_files, "MOST_DIRECTORIES", 2)
    with pytest.raises(TooManyFilesError):
        Files([str(adaptor)], Notices())
