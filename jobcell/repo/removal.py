"""Taking adaptors out of the repo, and looking whether what is in it is what was installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.adaptors.repo import Repo, RepoError, split_spec
from engine.adaptors.versions import sort_key
from jobcell.repo import index
from jobcell.repo.index import RepoWriteError
from jobcell.repo.install import discard


def remove(repo_dir: Path, specs: Sequence[str]) -> list[str]:
    """Remove adaptors, each ``name@version``, or ``name`` if there is one version of it.

    Runs that have begun keep the files that they have opened; others fail to import the rest.

    Returns:
        What was removed, as ``name@version``.

    Raises:
        RepoWriteError: One is not there; nothing was changed.

    """
    with index.stage(repo_dir) as room, index.locked(repo_dir):
        whole = index.read(repo_dir)
        gone = []
        for spec in specs:
            name, version = _split(spec)
            matching = [
                entry
                for entry in whole["adaptors"]
                if entry["name"] == name
                and (version is None or sort_key(entry["version"]) == sort_key(version))
            ]
            if not matching:
                raise RepoWriteError(f"{spec!r} is not installed")
            if len(matching) > 1:
                versions = ", ".join(entry["version"] for entry in matching)
                raise RepoWriteError(f"{name!r} is there in {versions}: say which")
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
        specs: Which; none: all.

    Returns:
        ``name@version`` and what is wrong with it (None: nothing), for each.

    Raises:
        RepoError: There is no repo, or it has no such adaptor.

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
