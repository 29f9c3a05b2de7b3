"""Where the source of installed adaptors is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from engine.adaptors import Repo, RepoError, TreeError, tree_hash

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


def source_hashes(repo_dir: Path, specs: Iterable[str]) -> dict[str, str]:
    """Return the hash of the files of each adaptor that is installed; others are left out."""
    found = {}
    for spec in dict.fromkeys(specs):
        for directory in source_directories(repo_dir, [spec]):
            with suppress(TreeError, OSError):
                found[spec] = tree_hash(directory)
    return found
