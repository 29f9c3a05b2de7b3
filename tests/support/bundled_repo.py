"""Repos with adaptors of this project, for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobcell.repo import add, initialise


def make_bundled_repo(directory: Path, *names: str) -> Path:
    """Make a repo with bundled adaptors, whose libraries are those of this environment.

    No index is asked, and no installer is started.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        initialise(directory)
        add(directory, list(names))
    return directory
