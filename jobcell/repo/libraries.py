"""The libraries of a bundled adaptor, copied from the environment in which jobcell is installed.

So `jobcell repo add http` needs no index where `jobcell[adaptors]` is installed.  Only files that the
installer of that environment has recorded are copied, and only if they still have their recorded hashes.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jobcell.repo.bundled import Bundled, of_ours
from jobcell.repo.source import copy_source, read_ours


class Libraries(NamedTuple):
    """All that some requirements need."""

    files: dict[str, Path]
    """The path below the adaptor's directory, and the file that is copied there."""
    bundled: tuple[Bundled, ...]
    """Adaptors of ours among the requirements."""


def find_libraries(requirements: Sequence[str], *, dependencies: bool = True) -> Libraries | None:
    """Return the files of *requirements* from this environment; None if it lacks one of them.

    An environment that has only some of them is not used at all, because an index could give versions
    that do not fit the others.

    Args:
        requirements: Requirements of a bundled adaptor.
        dependencies: Whether the requirements of the requirements are meant as well.

    """
    wanted = [Requirement(text) for text in requirements]
    done: set[tuple[str, frozenset[str]]] = set()
    files: dict[str, Path] = {}
    bundled: dict[str, Bundled] = {}
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in done:
            continue
        done.add((name, frozenset(requirement.extras)))
        ours = of_ours(name) if name.startswith("jobcell-") else None
        found = None if ours is not None else _installed(name)
        version = ours.version if ours is not None else found.version if found is not None else None
        if version is None or requirement.url or not requirement.specifier.contains(version, True):
            return None
        if ours is not None:
            bundled[name] = ours
            needs: Sequence[str] = ours.requirements
        else:
            assert found is not None
            recorded = _recorded(found)
            if recorded is None:
                return None
            files |= recorded
            needs = found.requires or ()
        if dependencies:
            wanted += _needed(needs, requirement.extras)
    return Libraries(files, tuple(bundled.values()))


def copy_libraries(libraries: Libraries, target: Path) -> None:
    """Copy *libraries* into the directory of an adaptor."""
    for name, place in libraries.files.items():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, copy)
        times = place.stat()  # compiled files have the time of their source in them
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
    for ours in libraries.bundled:
        copy_source(read_ours(ours.name, ours.directory), target)


def _installed(name: str) -> Distribution | None:
    """Return a distribution of this environment; the first one of a name is the imported one.

    It is found by the name of its directory: the metadata of all others would have to be read as well.
    """
    for item in distributions(name=name):
        if canonicalize_name(item.metadata["Name"] or "") == name:
            return item
    return None


def _needed(texts: Sequence[str], extras: set[str]) -> Iterator[Requirement]:
    for text in texts:
        needed = Requirement(text)
        if needed.marker is None or any(
            needed.marker.evaluate({"extra": extra}) for extra in extras or {""}
        ):
            yield needed


def _recorded(found: Distribution) -> dict[str, Path] | None:
    """Return the files of a distribution by their paths; None if they are not as they were installed.

    A distribution without a record cannot be compared, and one that is edited in place changes.  The record
    is read here, because `Distribution.files` of newer versions leaves missing files out.
    """
    record = found.read_text("RECORD")
    if record is None or _is_edited_in_place(found):
        return None
    files = {}
    for row in csv.reader(record.splitlines()):
        if len(row) != 3:
            return None
        path, digest, _ = row
        file = PurePosixPath(path)
        if file.is_absolute() or ".." in file.parts or "__pycache__" in file.parts:
            continue  # scripts, and what this interpreter has compiled
        place = Path(str(found.locate_file(path)))
        if not place.is_file() or not _is_unchanged(file, digest, place):
            return None
        files[file.as_posix()] = place
    return files


def _is_edited_in_place(found: Distribution) -> bool:
    text = found.read_text("direct_url.json")
    try:
        origin = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return True
    return bool(origin.get("dir_info", {}).get("editable"))


def _is_unchanged(file: PurePosixPath, recorded: str, place: Path) -> bool:
    if not recorded:
        return file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    digest = hashlib.sha256(place.read_bytes()).digest()
    return recorded == f"sha256={urlsafe_b64encode(digest).rstrip(b'=').decode()}"
