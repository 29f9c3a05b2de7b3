"""Wheels of what is installed here, so that tests can install libraries without an index."""

from __future__ import annotations

import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def make_wheels(directory: Path, *requirements: str) -> Path:
    """Write the wheels of installed distributions, and of all that they need.

    Args:
        directory: Where the wheels go.
        requirements: Such as `httpx[http2]`.

    """
    directory.mkdir(parents=True, exist_ok=True)
    wanted, done = [Requirement(text) for text in requirements], set[tuple[str, frozenset[str]]]()
    while wanted:
        requirement = wanted.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in done:
            continue
        done.add(key)
        found = distribution(requirement.name)
        _pack(found, directory)
        for text in found.requires or ():
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                wanted.append(needed)
    return directory


def _pack(found: Distribution, directory: Path) -> None:
    about = found.read_text("WHEEL") or ""
    tag = next(line.partition(": ")[2] for line in about.splitlines() if line.startswith("Tag:"))
    stem = f"{canonicalize_name(found.name).replace('-', '_')}-{found.version}"
    place = directory / f"{stem}-{tag}.whl"
    if place.exists():
        return
    names = []
    with zipfile.ZipFile(place, "w") as archive:
        for file in found.files or ():
            name = file.as_posix()
            if name.startswith("..") or "__pycache__" in name or name.endswith("/RECORD"):
                continue
            # The directory of the metadata must have the name of the wheel.
            first, slash, rest = name.partition("/")
            if first.endswith(".dist-info"):
                name = f"{stem}.dist-info{slash}{rest}"
            archive.write(Path(str(file.locate())), name)
            names.append(name)
        record = f"{stem}.dist-info/RECORD"
        archive.writestr(record, "".join(f"{name},,\n" for name in [*names, record]))


def make_small_wheel(directory: Path, name: str) -> None:
    """Write a wheel with the name and the version of an installed distribution, whose module has no code."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{distribution(name).version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {distribution(name).version}\n"
    files = {
        f"{name}/__init__.py": "",
        f"{stem}.dist-info/METADATA": about + "Provides-Extra: http2\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/RECORD": f"{name}/__init__.py,,\n",
    }
    with zipfile.ZipFile(directory / f"{stem}-py3-none-any.whl", "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
