"""Sources of an adaptor: a name in a registry, a wheel, or a directory of Python source."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.adaptors import LATEST, NEXT
from jobcell.repo.bundled import find
from jobcell.repo.index import RepoWriteError

_NAMED: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:@[A-Za-z0-9.+!_-]+)?")
_CODE_TO_BUILD: Final = (".c", ".cc", ".cpp", ".pyx", ".rs")
_LEFT_OUT: Final = ("__pycache__", "*.pyc", ".git", ".*")
_BUILD: Final = "it must be built, which runs its code; --allow-build permits that"


class Source(msgspec.Struct, frozen=True):
    """Where one adaptor comes from.

    Attributes:
        requirements: The requirements for the installer, the adaptor itself first. For a directory
            that is copied they are its dependencies only.
        directory: Pure Python source that is copied as it is.
        bundled: The directory came with jobcell, so its path says nothing to another machine.
        extras: The extras that the spec asks for.

    """

    spec: str
    distribution: str
    requirements: tuple[str, ...]
    directory: Path | None = None
    version: str | None = None
    bundled: bool = False
    extras: tuple[str, ...] = ()


def read_source(spec: str, *, allow_build: bool, find_links: Sequence[str] = ()) -> Source:
    """Find out what *spec* is.

    The name of a bundled adaptor is that adaptor, even beside a directory of the same name.

    Args:
        spec: A directory, a wheel, or a requirement.
        allow_build: Whether code may run to build it.
        find_links: Directories with wheels.

    Raises:
        RepoWriteError: *spec* cannot be installed, or only by running its code.

    """
    try:
        requirement = _requirement(spec)
    except InvalidRequirement as error:
        requirement, text = None, str(error).splitlines()[0]
    if requirement is not None and not requirement.url:
        ours = find(requirement, find_links)
        if ours is not None:
            return read_ours(spec, ours, extras=requirement.extras)
    path = Path(spec).expanduser()
    if path.is_dir():
        return _directory(spec, path.resolve(), allow_build=allow_build)
    if path.suffix == ".whl" and path.is_file():
        return _wheel(spec, path)
    if path.is_file() or "/" in spec.partition("@")[0] or spec.startswith(("-", ".")):
        if path.is_file() and allow_build:
            return Source(spec, path.name.rpartition("-")[0], (str(path.resolve()),))
        if path.is_file():
            raise RepoWriteError(f"{spec!r} is not a wheel: {_BUILD}")
        raise RepoWriteError(f"{spec!r} does not exist")
    if requirement is None:
        raise RepoWriteError(f"{spec!r} is not a directory, a wheel or a requirement: {text}")
    if requirement.url and not requirement.url.endswith(".whl") and not allow_build:
        raise RepoWriteError(f"{spec!r} is not a wheel: {_BUILD}")
    extras = tuple(sorted(requirement.extras))
    return Source(spec, requirement.name, (str(requirement),), extras=extras)


def read_named(spec: str, *, find_links: Sequence[str] = ()) -> Source:
    """Return the source of an adaptor that a plan names: `name` or `name@version`.

    A plan may come from somebody else, so the text is never a path, a URL or an option of an installer.

    Raises:
        RepoWriteError: *spec* is anything else, or jobcell comes with another version of that name.

    """
    if not _NAMED.fullmatch(spec):
        raise RepoWriteError(
            f"{spec!r} cannot be installed from an index: only a name of letters, digits, '-', '_' and '.',"
            " with @VERSION or without, can be"
        )
    try:
        requirement = _requirement(spec)
    except InvalidRequirement as error:
        raise RepoWriteError(f"{spec!r}: {str(error).splitlines()[0]}") from None
    ours = find(requirement, find_links)
    if ours is not None:
        return read_ours(spec, ours)
    return Source(spec, requirement.name, (str(requirement),))


def _requirement(spec: str) -> Requirement:
    """Return a requirement of pip, or of `name@version`, `name@latest` and `name@next`.

    Raises:
        InvalidRequirement: *spec* is none of these.

    """
    if "://" in spec:
        return Requirement(spec)
    name, at, version = spec.partition("@")
    if not at or version == LATEST:
        return Requirement(name)
    # A specifier that names a pre-release admits all of them, of this distribution only.
    return Requirement(f"{name}>=0.dev0" if version == NEXT else f"{name}=={version}")


def read_ours(spec: str, place: Path, *, extras: Iterable[str] = ()) -> Source:
    """Return the source of an adaptor of ours: its bundled directory, or a wheel."""
    if place.is_dir():
        source = _directory(spec, place, allow_build=False)
        return msgspec.structs.replace(source, bundled=True, extras=tuple(sorted(extras)))
    return _wheel(spec, place, extras=tuple(sorted(extras)))


def copy_source(source: Source, target: Path) -> None:
    """Copy a source directory's modules to *target*, with the metadata that an installer writes.

    Raises:
        RepoWriteError: The directory does not contain a module.

    """
    assert source.directory is not None
    assert source.version is not None
    root = source.directory / "src" if (source.directory / "src").is_dir() else source.directory
    left_out = shutil.ignore_patterns(*_LEFT_OUT)
    found = False
    for item in sorted(root.iterdir()):
        if item.name.startswith((".", "_")) or item.stem in {"setup", "conftest", "tests", "test"}:
            continue
        if item.is_dir() and item.name.isidentifier() and any(item.rglob("*.py")):
            shutil.copytree(item, target / item.name, ignore=left_out)
            found = True
        elif item.suffix == ".py" and item.stem.isidentifier():
            shutil.copyfile(item, target / item.name)
            found = True
    if not found:
        raise RepoWriteError(f"{source.spec!r} does not contain a Python module")
    name = canonicalize_name(source.distribution).replace("-", "_")
    information = target / f"{name}-{source.version}.dist-info"
    information.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {source.distribution}", f"Version: {source.version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in source.requirements]
    (information / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _wheel(spec: str, path: Path, *, extras: tuple[str, ...] = ()) -> Source:
    place = str(path.resolve())
    requirement = f"{place}[{','.join(extras)}]" if extras else place
    return Source(spec, path.name.partition("-")[0], (requirement,), extras=extras)


def _directory(spec: str, path: Path, *, allow_build: bool) -> Source:
    project = _project(spec, path)
    name, version = project.get("name"), project.get("version")
    why = None
    if not isinstance(name, str) or not isinstance(version, str):
        why = "its pyproject.toml lacks [project] name and version"
    elif any(file.suffix in _CODE_TO_BUILD for file in path.rglob("*")):
        why = "it contains code to be compiled"
    elif (path / "setup.py").exists():
        why = "it has a setup.py"
    if why is not None:
        if not allow_build:
            raise RepoWriteError(f"{spec!r}: {why}: {_BUILD}")
        return Source(spec, name if isinstance(name, str) else path.name, (str(path),))
    assert isinstance(name, str)
    assert isinstance(version, str)
    dependencies = project.get("dependencies", [])
    try:
        requirements = tuple(str(Requirement(text)) for text in dependencies)
        version = str(Version(version))
    except (InvalidRequirement, InvalidVersion, TypeError) as error:
        raise RepoWriteError(f"{spec!r}: {str(error).splitlines()[0]}") from None
    return Source(spec, name, requirements, path, version)


def _project(spec: str, path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RepoWriteError(f"{spec!r}: cannot read its pyproject.toml: {error}") from None
    return table if isinstance(table, dict) else {}
