"""Repos with adaptors of this project, for tests."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest

place: list[Path] = []
"""A directory in which the forks of a test run share what they have installed."""


def make_bundled_repo(directory: Path, *names: str) -> Path:
    """Make a repo with bundled adaptors, whose libraries are those of this environment.

    No index is asked, and no installer is started. To compile the libraries takes a second, so each adaptor is installed
    once in a test run, and the repos have links to its files. A test must not write into them.
    """
    from jobcell.repo import initialise

    if not place:
        _install(directory, names)
        return directory
    initialise(directory)
    entries = []
    for name in names:
        shared = _install_once(place[0], name)
        for entry in json.loads((shared / "repo.json").read_text())["adaptors"]:
            path = entry["path"]
            shutil.copytree(shared / path, directory / path, copy_function=os.link)
            entries.append(entry)
    (directory / "repo.json").write_text(json.dumps({"adaptors": entries}))
    return directory


def _install(directory: Path, names: tuple[str, ...]) -> None:
    from jobcell.repo import add, initialise

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        initialise(directory)
        done = add(directory, list(names))
    assert [item.name for item in done if item.fresh] == list(names)


def _install_once(parent: Path, name: str) -> Path:
    """Return a repo with one adaptor, which the first caller makes while the others wait."""
    parent.mkdir(exist_ok=True)
    made = parent / name
    with (parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            begun = parent / f"{name}.begun"
            shutil.rmtree(begun, ignore_errors=True)
            _install(begun, (name,))
            begun.rename(made)
    return made
