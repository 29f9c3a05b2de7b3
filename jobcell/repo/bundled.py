"""The adaptors that come with jobcell; their names are never looked up in an index.

Anybody can publish a distribution called `rest` or `jobcell-common`.  So this module resolves the
names of our adaptors: to the bundled source, else to a wheel in a directory that the user names.
"""

from __future__ import annotations

import functools
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from jobcell.repo.index import RepoWriteError

PREFIX: Final = "jobcell-"
"""A prefix that the distribution of an adaptor may have, and that the name of the adaptor lacks."""

_PLACES: Final = (Path(__file__).parents[1] / "bundled", Path(__file__).parents[2] / "adaptors")
"""Where the adaptors are in an installation, and where they are in a checkout."""


class Bundled(msgspec.Struct, frozen=True):
    """An adaptor that comes with jobcell."""

    name: str
    distribution: str
    version: str
    directory: Path
    requirements: tuple[str, ...] = ()
    """What it depends on; an index or a directory with wheels has it."""


@functools.cache
def bundled() -> dict[str, Bundled]:
    """Return the adaptors that come with jobcell, by name."""
    place = next((place for place in _PLACES if place.is_dir()), None)
    found = {}
    for file in sorted(place.glob("*/pyproject.toml")) if place is not None else ():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        name = project["name"].removeprefix(PREFIX)
        needs = tuple(project.get("dependencies", ()))
        found[name] = Bundled(name, project["name"], project["version"], file.parent, needs)
    return found


def of_ours(name: str) -> Bundled | None:
    """Return the bundled adaptor that a distribution's name means: `rest` or `jobcell-rest`."""
    return bundled().get(canonicalize_name(name).removeprefix(PREFIX))


def of_others(requirements: Sequence[str]) -> list[str]:
    """Return *requirements* with each adaptor of ours replaced by what it needs itself."""
    found: list[str] = []
    for text in requirements:
        ours = of_ours(Requirement(text).name)
        found += [text] if ours is None else of_others(ours.requirements)
    return found


def find(requirement: Requirement, find_links: Sequence[str]) -> Path | None:
    """Return the directory or the wheel that *requirement* means, if it names one of our adaptors.

    Args:
        requirement: A name, perhaps with versions.
        find_links: Directories with wheels of versions that are not bundled.

    Returns:
        The bundled directory, else the newest wheel that fits, or None for any other name.

    Raises:
        RepoWriteError: The name is ours, but neither jobcell nor *find_links* has such a version, or the
            adaptor lacks an extra.

    """
    ours = of_ours(requirement.name)
    if ours is None:
        return None
    if requirement.marker is not None and not requirement.marker.evaluate():
        raise RepoWriteError(f"{str(requirement)!r}: its marker does not hold on this machine")
    if requirement.specifier.contains(ours.version, prereleases=True):
        check_extras(str(requirement), requirement.extras, ())  # none of our adaptors has extras
        return ours.directory
    wheel = find_wheel(requirement, find_links)
    if wheel is not None:
        return wheel
    raise RepoWriteError(
        f"{str(requirement)!r}: jobcell comes with {ours.name} {ours.version}, and takes no other version"
        f" of it from an index; write {ours.name!r}, a directory or a wheel"
    )


def check_extras(spec: str, wanted: Iterable[str], there: Iterable[str]) -> None:
    """Check that a distribution has the extras that *spec* asks for; pip only warns.

    Raises:
        RepoWriteError: It lacks one.

    """
    known = {canonicalize_name(extra) for extra in there}
    missing = sorted(extra for extra in wanted if canonicalize_name(extra) not in known)
    if missing:
        names = ", ".join(map(repr, missing))
        has = f"it has {', '.join(sorted(known))}" if known else "it has no extras"
        raise RepoWriteError(f"{spec!r} asks for an extra that does not exist: {names}; {has}")


def find_wheel(requirement: Requirement, find_links: Sequence[str]) -> Path | None:
    """Return the newest wheel in *find_links* that fits one of our adaptors' names."""
    ours = of_ours(requirement.name)
    names = {ours.name, ours.distribution} if ours else {canonicalize_name(requirement.name)}
    fitting: list[tuple[Version, Path]] = []
    for place in find_links:
        for path in sorted(Path(place).expanduser().glob("*.whl")):
            try:
                name, version, _, _ = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            if name in names and requirement.specifier.contains(version, prereleases=True):
                fitting.append((version, path.resolve()))
    return max(fitting, default=(None, None))[1]


def write_constraints(room: Path, *, without: str) -> Path:
    """Write a constraints file that lets dependencies on our adaptors mean the bundled ones.

    Args:
        room: A directory for the file and for the wheels that it names.
        without: The distribution that the user installs, which may be another version of ours.

    """
    lines = []
    for ours in bundled().values():
        if ours.distribution == canonicalize_name(without):
            continue
        wheel = _write_wheel(ours, room)
        lines.append(f"{ours.distribution} @ {wheel.as_uri()}\n")
    constraints = room / "constraints.txt"
    constraints.write_text("".join(lines), encoding="utf-8")
    return constraints


def _write_wheel(ours: Bundled, room: Path) -> Path:
    """Write the wheel of a bundled adaptor, which is pure Python (PEP 427)."""
    stem = f"{ours.distribution.replace('-', '_')}-{ours.version}"
    information = f"{stem}.dist-info"
    files = {
        str(path.relative_to(ours.directory)): path.read_bytes()
        for path in sorted(ours.directory.rglob("*"))
        if path.suffix in {".py", ".txt"} or path.name == "py.typed"
    }
    lines = ["Metadata-Version: 2.1", f"Name: {ours.distribution}", f"Version: {ours.version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in ours.requirements]
    files[f"{information}/METADATA"] = ("\n".join(lines) + "\n").encode()
    files[f"{information}/WHEEL"] = (
        b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    names = [*files, f"{information}/RECORD"]
    files[f"{information}/RECORD"] = "".join(f"{name},,\n" for name in names).encode()
    wheel = room / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel
