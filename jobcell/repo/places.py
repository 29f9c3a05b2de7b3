"""Where the source of installed adaptors is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.adaptors import Repo, RepoError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def source_directories(repo_dir: Path, specs: Iterable[str]) -> list[str]:
    """Return the directories of the adaptors that are installed; others are left out."""
    found: dict[str, None] = {}
    try:
        repo = Repo.read(repo_dir)
    except RepoError:
        return []
    for spec in specs:
        try:
            found[repo.resolve(spec).path] = None
        except RepoError:
            continue
    return list(found)
