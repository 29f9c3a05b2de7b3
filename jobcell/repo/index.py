"""`repo.json` and the directories beside it: changed under a lock, in steps that are atomic.

New files are made in a *stage*, a directory next to the repo on the same file system.  Then one
rename moves them into the repo, where the index does not list them yet, and one rename replaces
`repo.json`.  A command that is killed before the last rename leaves the repo unchanged.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from engine.adaptors import INDEX, Repo, RepoError

Entry = dict[str, Any]
"""An entry of `repo.json`; keys that we do not know are kept as they are."""

_LOCK: Final = ".lock"


class RepoWriteError(ValueError):
    """The repo was not changed; the message says why, in one line."""


def initialise(repo_dir: Path) -> bool:
    """Make an empty repo; return False if there is a repo already.

    Raises:
        RepoWriteError: The directory cannot be made, or has a `repo.json` that is not valid.

    """
    try:
        repo_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RepoWriteError(f"cannot make {repo_dir}: {error.strerror}") from None
    with stage(repo_dir) as room, locked(repo_dir):
        if (repo_dir / INDEX).exists():
            read(repo_dir)
            return False
        replace_index(repo_dir, {"adaptors": []}, room)
    return True


@contextlib.contextmanager
def locked(repo_dir: Path) -> Iterator[None]:
    """Hold the repo's lock, which the kernel gives back if its holder is killed (flock(2))."""
    try:
        descriptor = os.open(repo_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise RepoWriteError(f"{repo_dir} cannot be written to: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def stage(repo_dir: Path) -> Iterator[Path]:
    """Make a stage and remove it at the end; remove stages left by killed commands too."""
    prefix = f".{repo_dir.resolve().name}.stage-"
    parent = repo_dir.resolve().parent
    # Under the lock, so that another command cannot sweep away a stage that is not held yet.
    with locked(repo_dir):
        try:
            _sweep(parent, prefix)
            room = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        except OSError as error:
            raise RepoWriteError(f"{parent} cannot be written to: {error.strerror}") from None
        held = _hold(room)
    assert held is not None
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the stages of commands that were killed: their locks are free."""
    for left in parent.glob(f"{prefix}*"):
        held = _hold(left)
        if held is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)


def _hold(directory: Path) -> int | None:
    """Lock a directory and return its descriptor; None if it is gone or already locked."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def read(repo_dir: Path) -> dict[str, Any]:
    """Return the whole index as plain data.

    Raises:
        RepoWriteError: The index does not exist, or is corrupt and must not be built upon.

    """
    try:
        Repo.read(repo_dir)
        index: dict[str, Any] = json.loads((repo_dir / INDEX).read_bytes())
    except RepoError as error:
        remedy = "" if (repo_dir / INDEX).exists() else " (make one with: jobcell repo init)"
        raise RepoWriteError(f"{error}{remedy}") from None
    index.setdefault("adaptors", [])
    return index


def replace_index(repo_dir: Path, index: dict[str, Any], room: Path) -> None:
    """Write the index in one step: a reader sees the old one or the new one."""
    fresh = room / INDEX
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(index, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(repo_dir / INDEX)
    sync_directory(repo_dir)


def move_in(repo_dir: Path, files: Path, name: str, index: dict[str, Any], room: Path) -> str:
    """Move a finished directory into the repo; return its name there.

    A directory of that name that the index does not list was left by a command that was killed.
    """
    listed = {entry["path"].partition("/")[0] for entry in index["adaptors"]}
    free, number = name, 2
    while free in listed:
        free, number = f"{name}-{number}", number + 1
    target = repo_dir / free
    if target.exists():
        target.rename(room / f"left-{free}")
    files.rename(target)
    sync_directory(repo_dir)
    return free


def sync_tree(directory: Path) -> None:
    """Write all files below *directory* to the disk."""
    for root, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(descriptor)
            os.close(descriptor)
        sync_directory(Path(root))


def sync_directory(directory: Path) -> None:
    """Write the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(descriptor)
    os.close(descriptor)
