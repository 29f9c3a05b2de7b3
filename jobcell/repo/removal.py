"""Removing adaptors from the repo, and checking that its files are those that were installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.adaptors import Repo, RepoError, canonical_name, sort_key, split_spec
from jobcell.repo import index
from jobcell.repo.index import RepoWriteError
from jobcell.repo.install import discard


def remove(repo_dir: Path, specs: Sequence[str]) -> list[str]:
    """Remove adaptors, each ``name@version``, or ``name`` if there is one version of it.

    A run that has begun keeps the files that it has opened, but cannot import the others any more.

    Returns:
        The removed adaptors, as ``name@version``.

    Raises:
        RepoWriteError: An adaptor is not installed. The repo is unchanged.

    """
    with index.stage(repo_dir) as room, index.locked(repo_dir):
        whole = index.read(repo_dir)
        gone = []
        for spec in specs:
            name, version = _split(spec)
            matching = [
                entry
                for entry in whole["adaptors"]
                if canonical_name(entry["name"]) == canonical_name(name)
                and (version is None or sort_key(entry["version"]) == sort_key(version))
            ]
            if not matching:
                raise RepoWriteError(f"{spec!r} is not installed")
            if len(matching) > 1:
                versions = ", ".join(entry["version"] for entry in matching)
                message = f"{name!r} is installed as {versions}: say which, as name@version"
                raise RepoWriteError(message)
            gone += matching
        kept = [entry for entry in whole["adaptors"] if entry not in gone]
        index.replace_index(repo_dir, {**whole, "adaptors": kept}, room)
        paths = {entry["path"] for entry in kept}
        for entry in gone:
            if entry["path"] not in paths:
                discard(repo_dir, entry["path"], room)
    return [f"{entry['name']}@{entry['version']}" for entry in gone]


def verify(repo_dir: Path, specs: Sequence[str] = ()) -> list[tuple[str, str | None]]:
    """Check the files of adaptors against the hashes recorded when they were installed.

    Args:
        repo_dir: The repo.
        specs: The adaptors to check; none given: all of them.

    Returns:
        For each adaptor, ``name@version`` and the problem (None if its files are right).

    Raises:
        RepoError: *repo_dir* is not a repo, or lacks one of the adaptors.

    """
    repo = Repo.read(repo_dir)
    wanted = list(specs) or [entry.spec for entry in repo.entries()]
    results: list[tuple[str, str | None]] = []
    for spec in wanted:
        try:
            repo.verify(repo.resolve(spec))
        except RepoError as error:
            results.append((spec, str(error)))
        else:
            results.append((spec, None))
    return results


def _split(spec: str) -> tuple[str, str | None]:
    try:
        return split_spec(spec)
    except RepoError as error:
        raise RepoWriteError(str(error)) from None
