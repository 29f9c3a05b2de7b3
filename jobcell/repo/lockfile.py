"""The lock file: it lists what is in a repo, so that another machine gets the same files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from packaging.requirements import Requirement

from engine.adaptors import Repo, RepoError, canonical_name, module_name
from jobcell.repo import index
from jobcell.repo.bundled import find, find_wheel, of_ours
from jobcell.repo.index import RepoWriteError
from jobcell.repo.install import Installed, Staged, publish, stage_adaptor
from jobcell.repo.source import Source, read_ours, read_source

FORMAT: Final = 1


class LockedAdaptor(msgspec.Struct, frozen=True, omit_defaults=True):
    """An adaptor with the exact versions of all packages in its directory."""

    name: str
    version: str
    module: str
    sha256: str
    dependencies: dict[str, str] = {}
    distribution: str | None = None
    source: str | None = None
    """The directory that the adaptor was copied from; None if a wheel was installed, or if it is
    bundled."""
    bundled: bool = False
    """Whether the adaptor came with jobcell."""


class LockFile(msgspec.Struct, frozen=True):
    """All adaptors of a repo."""

    format: int
    adaptors: tuple[LockedAdaptor, ...]


def lock(repo_dir: Path) -> str:
    """Return the text of a lock file for what is in the repo.

    Raises:
        RepoWriteError: An adaptor was not installed by `add`, so the installation cannot be
            repeated.

    """
    whole = index.read(repo_dir)
    adaptors = []
    for entry in sorted(whole["adaptors"], key=lambda e: (e["name"], e["version"])):
        if not entry.get("sha256"):
            spec = f"{entry['name']}@{entry['version']}"
            raise RepoWriteError(f"{spec} has no sha256 in repo.json, so it cannot be locked")
        adaptors.append(
            LockedAdaptor(
                name=entry["name"],
                version=entry["version"],
                module=entry.get("module") or module_name(entry["name"]),
                sha256=entry["sha256"],
                dependencies=entry.get("dependencies", {}),
                distribution=entry.get("distribution"),
                source=entry.get("source"),
                bundled=entry.get("bundled", False),
            )
        )
    plain = msgspec.to_builtins(LockFile(FORMAT, tuple(adaptors)))
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def sync(
    repo_dir: Path, text: str, *, allow_build: bool = False, find_links: Sequence[str] = ()
) -> list[Installed]:
    """Make the repo contain exactly the adaptors of a lock file, with the same files.

    Raises:
        RepoWriteError: *text* is not a lock file, a package cannot be installed, or the installed
            files have another hash than the locked ones.  The repo is unchanged.

    """
    wanted = _read(text)
    index.read(repo_dir)
    repo = Repo.read(repo_dir)
    with index.stage(repo_dir) as room:
        staged = []
        for number, adaptor in enumerate(wanted.adaptors):
            there = _there(repo, adaptor)
            if there is not None:
                staged.append(there)
                continue
            source = _source(adaptor, allow_build=allow_build, find_links=find_links)
            fresh = stage_adaptor(
                source,
                room / str(number),
                name=adaptor.name,
                module=adaptor.module,
                allow_build=allow_build,
                find_links=find_links,
                pinned=_pins(adaptor, source),
            )
            got = fresh.entry["sha256"]
            if got != adaptor.sha256:
                raise RepoWriteError(
                    f"{adaptor.name}@{adaptor.version}: the files are not the locked ones"
                    f" (sha256 {got[:12]}..., locked {adaptor.sha256[:12]}...)"
                )
            staged.append(fresh)
        return publish(repo_dir, staged, room, only=True)


def _read(text: str) -> LockFile:
    try:
        found = msgspec.json.decode(text, type=LockFile)
    except (ValueError, RecursionError) as error:
        raise RepoWriteError(f"the text is not a lock file: {str(error)[:200]}") from None
    if found.format != FORMAT:
        raise RepoWriteError(f"this lock file has format {found.format}, not {FORMAT}")
    return found


def _there(repo: Repo, adaptor: LockedAdaptor) -> Staged | None:
    """Return the repo's own entry of a locked adaptor, if every byte of its files is as locked."""
    for entry in repo.entries():
        same = canonical_name(entry.name) == canonical_name(adaptor.name)
        same = same and entry.version == adaptor.version
        if same and entry.sha256 == adaptor.sha256:
            try:
                repo.verify(repo.resolve(entry.spec))
            except RepoError:
                return None
            return Staged(None, msgspec.to_builtins(entry))
    return None


def _source(adaptor: LockedAdaptor, *, allow_build: bool, find_links: Sequence[str]) -> Source:
    if adaptor.source is not None:
        return read_source(adaptor.source, allow_build=allow_build)
    name = adaptor.distribution or adaptor.name
    requirement = Requirement(f"{name}=={adaptor.version}")
    if adaptor.bundled:
        place = find(requirement, ())
        if place is None:
            raise RepoWriteError(
                f"{adaptor.name}@{adaptor.version} does not come with this jobcell"
            )
        return read_ours(str(requirement), place)
    if of_ours(name) is None:
        return Source(str(requirement), name, (str(requirement),))
    wheel = find_wheel(requirement, find_links)
    if wheel is None:
        raise RepoWriteError(
            f"{adaptor.name}@{adaptor.version} was installed from a wheel, and an index may have another"
            f" {name!r}; name the directory of that wheel with --find-links"
        )
    return read_ours(str(requirement), wheel)


def _pins(adaptor: LockedAdaptor, source: Source) -> list[str]:
    own = () if source.directory is not None else source.requirements
    return [*own, *(f"{name}=={version}" for name, version in adaptor.dependencies.items())]
