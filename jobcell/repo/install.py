"""Installing adaptors, each into a directory of its own together with its dependencies."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

import msgspec
from packaging.utils import canonicalize_name

from engine.adaptors import canonical_name, module_name, sort_key, tree_hash
from jobcell.repo import index
from jobcell.repo.bundled import PREFIX, check_extras, of_others, write_constraints
from jobcell.repo.index import Entry, RepoWriteError
from jobcell.repo.libraries import copy_libraries, find_libraries
from jobcell.repo.source import Source, copy_source, read_source

_OF_THIS_MACHINE: Final = ("direct_url.json", "INSTALLER", "REQUESTED")
"""Files that installers write and that differ from one machine to the next."""


class Installed(msgspec.Struct, frozen=True):
    """The result of `add` for one spec."""

    name: str
    version: str
    fresh: bool
    """False if the repo had this version already, which was then left as it is."""


class Staged(msgspec.Struct, frozen=True):
    """A finished directory that is not yet in the repo."""

    files: Path | None
    """None if the repo has the files already."""
    entry: Entry


def add(
    repo_dir: Path,
    specs: Sequence[str],
    *,
    name: str | None = None,
    module: str | None = None,
    allow_build: bool = False,
    find_links: Sequence[str] = (),
) -> list[Installed]:
    """Install all of the adaptors or, if one fails, none of them.

    Args:
        repo_dir: The repo.
        specs: Each a directory, a wheel, or a requirement (``common``, ``common==1.0.0``,
            ``common@1.0.0``).
        name: How plans name the adaptor, if not like its distribution.  For one spec only.
        module: Its import name, if `add` cannot find it out.  For one spec only.
        allow_build: Whether code of the adaptor and its dependencies may run to build them.
        find_links: Directories with wheels, besides what the installer knows.

    Raises:
        RepoWriteError: An adaptor cannot be installed.  The repo is unchanged.

    """
    if len(specs) != 1 and (name or module):
        raise RepoWriteError("--name and --module can be given for one adaptor at a time only")
    sources = [read_source(spec, allow_build=allow_build, find_links=find_links) for spec in specs]
    return add_sources(
        repo_dir,
        sources,
        name=name,
        module=module,
        allow_build=allow_build,
        find_links=find_links,
    )


def add_sources(
    repo_dir: Path,
    sources: Sequence[Source],
    *,
    name: str | None = None,
    module: str | None = None,
    allow_build: bool = False,
    find_links: Sequence[str] = (),
) -> list[Installed]:
    """Do the same as `add` for sources that were read."""
    index.read(repo_dir)
    with index.stage(repo_dir) as room:
        staged = [
            stage_adaptor(
                source,
                room / str(number),
                name=name,
                module=module,
                allow_build=allow_build,
                find_links=find_links,
            )
            for number, source in enumerate(sources)
        ]
        return publish(repo_dir, staged, room)


def stage_adaptor(
    source: Source,
    files: Path,
    *,
    name: str | None = None,
    module: str | None = None,
    allow_build: bool = False,
    find_links: Sequence[str] = (),
    pinned: Sequence[str] | None = None,
) -> Staged:
    """Install one adaptor into *files* and describe it.

    Args:
        source: The adaptor to install.
        files: The directory to make.
        name: As in `add`.
        module: As in `add`.
        allow_build: As in `add`.
        find_links: As in `add`.
        pinned: Install exactly these requirements and not those of the adaptor.

    """
    files.mkdir()
    requirements = source.requirements if pinned is None else tuple(pinned)
    if requirements and not _from_environment(source, requirements, files, find_links, pinned):
        run_installer(
            requirements,
            files,
            allow_build=allow_build,
            find_links=find_links,
            constraints=_constraints(source, files),
            dependencies=pinned is None,
            of_bundled=source.distribution if source.bundled and source.directory else None,
        )
    if source.directory is not None:
        copy_source(source, files)
    _tidy(files)
    own, others = _distributions(source, files)
    check_extras(source.spec, source.extras, own.metadata.get_all("Provides-Extra") or ())
    adaptor = name or own.name.removeprefix(PREFIX)
    entry: Entry = {
        "name": adaptor,
        "version": own.version,
        "path": "",
        "module": module or _find_module(adaptor, own, others, files),
        "distribution": own.name,
        "sha256": tree_hash(str(files)),
        "dependencies": {other.name: other.version for other in others},
    }
    if source.bundled:
        entry["bundled"] = True
    elif source.directory is not None:
        entry["source"] = str(source.directory)
    _compile(files)
    entry["bytecode_sha256"] = tree_hash(str(files), bytecode=True)
    index.sync_tree(files)
    return Staged(files, entry)


def _from_environment(
    source: Source,
    requirements: Sequence[str],
    files: Path,
    find_links: Sequence[str],
    pinned: Sequence[str] | None,
) -> bool:
    """Copy the libraries of a bundled adaptor from this environment; return whether it has them all.

    A directory that the user names is asked in place of the environment.
    """
    if not (source.bundled and source.directory is not None) or find_links:
        return False
    libraries = find_libraries(requirements, dependencies=pinned is None)
    if libraries is None:
        return False
    copy_libraries(libraries, files)
    return True


def publish(
    repo_dir: Path, staged: Iterable[Staged], room: Path, *, only: bool = False
) -> list[Installed]:
    """Move staged adaptors into the repo and list them, in one rewrite of the index.

    Args:
        repo_dir: The repo.
        staged: The adaptors to add; a version that is there already is left as it is.
        room: The stage.
        only: Take everything else out of the index.

    """
    done = []
    with index.locked(repo_dir):
        whole = index.read(repo_dir)
        known = {_key(entry): entry for entry in whole["adaptors"]}
        kept = [] if only else list(whole["adaptors"])
        fresh_entries = []
        for item in staged:
            entry = item.entry
            there = known.get(_key(entry))
            if item.files is None and there is None:
                raise RepoWriteError(f"{entry['name']} was removed by another command meanwhile")
            # `only` asks for exactly these files, so they replace another tree of the same version.
            if there is not None and (not only or item.files is None):
                if only:
                    kept.append(there)
                done.append(Installed(entry["name"], there["version"], fresh=False))
                continue
            assert item.files is not None
            path = _directory_name(entry["name"], entry["version"])
            entry["path"] = index.move_in(repo_dir, item.files, path, whole, room)
            fresh_entries.append(entry)
            done.append(Installed(entry["name"], entry["version"], fresh=True))
        if fresh_entries or only:
            after = {**whole, "adaptors": [*kept, *fresh_entries]}
            index.replace_index(repo_dir, after, room)
            staying = {entry["path"] for entry in after["adaptors"]}
            for entry in whole["adaptors"]:
                if entry["path"] not in staying:
                    discard(repo_dir, entry["path"], room)
    return done


def _key(entry: Entry) -> tuple[str, Any]:
    return canonical_name(entry["name"]), sort_key(entry["version"])


def discard(repo_dir: Path, path: str, room: Path) -> None:
    """Take a directory that is no longer listed out of the repo; the stage removes it."""
    directory = repo_dir / path
    # A path that was written by hand may be shared or lead elsewhere.
    if directory.is_dir() and not directory.is_symlink() and "/" not in path and path != "..":
        directory.rename(room / f"gone-{path}")


def run_installer(
    requirements: Sequence[str],
    target: Path,
    *,
    allow_build: bool,
    find_links: Sequence[str],
    constraints: Path,
    dependencies: bool = True,
    of_bundled: str | None = None,
) -> None:
    """Let pip, or uv where pip is missing, install into a directory.

    A dependency that *constraints* names comes from there, not from an index.  *of_bundled* is the
    adaptor that comes with jobcell, if *requirements* are its dependencies.

    Raises:
        RepoWriteError: The installer failed; the message is its last error.

    """
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "install", "--no-input", "--no-compile"]
        command += ["--disable-pip-version-check", "--no-warn-script-location", "--quiet"]
        # The conflicts would be those of the libraries of jobcell, and to find them takes longer than the rest.
        command += ["--no-warn-conflicts"]
    elif uv := shutil.which("uv"):
        # Copies: with hard links two adaptors would share their libraries' inodes.
        command = [uv, "pip", "install", "--python", sys.executable, "--link-mode", "copy"]
    else:
        raise RepoWriteError("neither pip nor uv is installed for this interpreter")
    command += ["--target", str(target), "--constraint", str(constraints)]
    if not allow_build:
        command += ["--only-binary", ":all:"]
    if not dependencies:
        command += ["--no-deps"]
    for place in find_links:
        command += ["--find-links", place]
    outcome = subprocess.run(
        [*command, "--", *requirements],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if outcome.returncode != 0:
        errors = [line for line in outcome.stderr.splitlines() if line.strip()]
        reason = next((line for line in errors if line.startswith("ERROR")), (errors or ["?"])[-1])
        remedy = "" if allow_build else "; only wheels are taken unless --allow-build is given"
        what = repr(requirements[0])
        if of_bundled is not None:
            name = of_bundled.removeprefix(PREFIX)
            needed = of_others(requirements)
            what = f"the libraries of {name} ({', '.join(needed)})"
            remedy = (
                f"; {name} itself comes with jobcell. Its libraries come from the environment of jobcell"
                " (pip install 'jobcell[adaptors]'), or else from an index. Without an index,"
                f" run `pip download -d wheels {' '.join(map(repr, needed))}` on a machine that"
                f" has one, and then `jobcell repo add {name} --find-links wheels` here"
            )
        raise RepoWriteError(f"cannot install {what}: {reason.strip()[:300]}{remedy}")


def _constraints(source: Source, files: Path) -> Path:
    """Write the constraints beside *files*, without the distribution that the user names."""
    room = files.with_name(f"{files.name}-bundled")
    room.mkdir()
    return write_constraints(room, without=source.distribution)


def _tidy(files: Path) -> None:
    """Remove what differs from one machine to the next, so that a lock file holds for all."""
    # Scripts begin with the path of an interpreter; a job cannot start them anyway.
    shutil.rmtree(files / "bin", ignore_errors=True)
    for cache in list(files.rglob("__pycache__")):
        shutil.rmtree(cache)
    for information in files.glob("*.dist-info"):
        for name in _OF_THIS_MACHINE:
            (information / name).unlink(missing_ok=True)
        record = information / "RECORD"
        if record.is_file():
            lines = record.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if (files / line.split(",")[0]).is_file()]
            kept = [line for line in kept if not line.startswith("..")]
            record.write_text("\n".join(sorted(kept)) + "\n", encoding="utf-8")


def _distributions(source: Source, files: Path) -> tuple[Distribution, list[Distribution]]:
    found = sorted(distributions(path=[str(files)]), key=lambda d: canonicalize_name(d.name))
    wanted = canonicalize_name(source.distribution)
    own = [item for item in found if canonicalize_name(item.name) == wanted]
    if not own and len(found) == 1:
        own = found
    if len(own) != 1:
        raise RepoWriteError(f"{source.spec!r}: the installer left no distribution {wanted!r}")
    return own[0], [item for item in found if item is not own[0]]


def _find_module(
    adaptor: str, own: Distribution, others: Sequence[Distribution], files: Path
) -> str:
    """Return the import name: that of the adaptor, or the only module that it installed."""
    usual = canonical_name(module_name(adaptor))
    modules = {
        item.name.partition(".")[0]
        for item in files.iterdir()
        if item.suffix in {".py", ".so"} or (item.is_dir() and item.name.isidentifier())
    }
    for found in sorted(modules):
        if canonical_name(found) == usual:
            return found
    for other in others:
        modules -= {str(file).partition("/")[0].partition(".")[0] for file in other.files or ()}
    public = sorted(module for module in modules if not module.startswith("_"))
    if len(public) == 1:
        return public[0]
    brought = ", ".join(public) or "none"
    raise RepoWriteError(
        f"cannot choose the module of {own.name!r} among those that it installs ({brought});"
        " name it with --module"
    )


def _compile(files: Path) -> None:
    """Compile all sources, without running them.  Some packages ship files of other Pythons."""
    subprocess.run(
        # Without -S it would first import what site packages want to run in every interpreter.
        [
            *(sys.executable, "-IS", "-m", "compileall", "-qq"),
            "-s",
            str(files),
            "-p",
            "/",
            str(files),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def _directory_name(name: str, version: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+!-]+", "-", f"{name.lstrip('@')}_{version}")
