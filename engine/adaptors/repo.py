"""The repo: which adaptors are installed, and which version a run gets.

The engine reads the repo and never writes it; the manager installs adaptors (`jobcell.repo`).
Messages of this module do not contain paths of the host, because a run's report quotes them.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from engine.adaptors.names import (
    LATEST,
    NEXT,
    RepoError,
    canonical_name,
    module_name,
    split_spec,
)
from engine.adaptors.treehash import TreeError, tree_hash
from engine.adaptors.versions import is_prerelease, sort_key
from protocol.adaptor import AdaptorLink, ModuleRef
from protocol.suggestion import hint, shorten

__all__ = ["INDEX", "Repo", "RepoEntry", "adaptor_paths"]

INDEX: Final = "repo.json"


class RepoEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An installed version of an adaptor, as `repo.json` lists it."""

    name: str
    version: str
    path: str
    """The directory below the repo in which the importable module lies."""
    module: str | None = None
    """The import name; if it is None, it is made from the name."""
    sha256: str | None = None
    """The hash of the files (`engine.adaptors.treehash`). Without it they cannot be verified."""
    bytecode_sha256: str | None = None
    """The hash of the compiled files, which differ from one interpreter to another."""
    dependencies: dict[str, str] = {}
    """Name to version of the distributions that were installed into the same directory."""

    @property
    def spec(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def import_name(self) -> str:
        """The name under which jobs import the adaptor."""
        return self.module or module_name(self.name)


_NUMBERED = re.compile(r"v?[0-9]")
"""The beginning of a version; `latest` and `^1.0` are not versions."""


class _Index(msgspec.Struct):
    adaptors: list[RepoEntry] = []


class Repo:
    """The adaptors of a repo directory, as they were when it was read.

    A broken entry does not affect the others: `resolve` raises an error for this entry only.
    """

    def __init__(self, directory: str | None, entries: list[RepoEntry]) -> None:
        self._directory = directory
        self._by_name: dict[str, list[RepoEntry]] = {}
        for entry in sorted(entries, key=lambda e: sort_key(e.version), reverse=True):
            self._by_name.setdefault(canonical_name(entry.name), []).append(entry)

    @classmethod
    def read(cls, repo_dir: str | os.PathLike[str] | None) -> Repo:
        """Read the index of *repo_dir*; None is a repo without adaptors.

        Raises:
            RepoError: The index is missing, unreadable or corrupt.

        """
        if repo_dir is None:
            return cls(None, [])
        directory = os.path.realpath(repo_dir)
        try:
            entries = msgspec.json.decode(Path(directory, INDEX).read_bytes(), type=_Index).adaptors
        except OSError as error:
            raise RepoError(f"{INDEX} of the repo cannot be read ({error.strerror})") from None
        # Besides msgspec's own errors: bad UTF-8 and deep nesting raise others.
        except (ValueError, RecursionError) as error:
            raise RepoError(f"{INDEX} of the repo is corrupt: {str(error)[:200]}") from None
        _check(entries)
        return cls(directory, entries)

    def entries(self) -> list[RepoEntry]:
        """Return the installed adaptors by name, the newest version first."""
        return [entry for name in sorted(self._by_name) for entry in self._by_name[name]]

    def resolve(self, spec: str, modules: Mapping[str, ModuleRef] | None = None) -> AdaptorLink:
        """Return the installed version that *spec* names.

        Args:
            spec: ``name`` or ``name@latest`` (the newest version by PEP 440; a pre-release only if all
                others are too), ``name@next`` (the newest version, pre-releases included), or
                ``name@version``.  Any spelling of a name that pip accepts means the same.
            modules: Replacements of the repo's choice, by name; they win over the version in
                *spec*, too.

        Raises:
            RepoError: The adaptor or the version is not installed, or is broken.

        """
        name, version = split_spec(spec)
        key = canonical_name(name)
        replaced = [(n, ref) for n, ref in (modules or {}).items() if canonical_name(n) == key]
        if not replaced:
            return self._link(self._choose(name, version, modules or {}))
        own_name, ref = replaced[-1]
        if ref.path is not None:
            return link_module(own_name, ref, ref.path)
        try:
            return self._link(self._choose(name, ref.version, modules or {}))
        except RepoError as error:
            raise RepoError(f"{error} (asked for by RunOptions.modules)") from None

    def newest(self, modules: Mapping[str, ModuleRef] | None = None) -> list[AdaptorLink]:
        """Return the version that each name alone means; broken adaptors are left out."""
        names = {canonical_name(name): name for name in modules or ()}
        names = {key: entries[0].name for key, entries in self._by_name.items()} | names
        links = []
        for name in sorted(names.values()):
            try:
                links.append(self.resolve(name, modules))
            except RepoError:
                continue
        return links

    def has(self, spec: str) -> bool:
        """Return whether the version that *spec* names is installed, even if it is broken.

        Raises:
            RepoError: *spec* is not ``name`` or ``name@version``.

        """
        name, version = split_spec(spec)
        return self._find(name, version) is not None

    def verify(self, link: AdaptorLink) -> None:
        """Check that the files of an adaptor are those that were installed.

        Raises:
            RepoError: The files differ or cannot be read, or a hash was not recorded.

        """
        entry = self._choose(link.name, link.version, {})
        label = f"adaptor {entry.spec}"
        directory = self._locate(entry)
        if entry.sha256 is None:
            raise RepoError(f"{label}: no sha256 is recorded, so it cannot be verified")
        try:
            if tree_hash(directory) != entry.sha256.lower():
                raise RepoError(f"{label}: its files are not those that were installed (sha256)")
            recorded = entry.bytecode_sha256
            if recorded is not None and tree_hash(directory, bytecode=True) != recorded.lower():
                raise RepoError(f"{label}: its compiled files were changed (bytecode_sha256)")
        except TreeError as error:
            raise RepoError(f"{label}: {error}") from None

    def _choose(
        self, name: str, version: str | None, modules: Mapping[str, ModuleRef]
    ) -> RepoEntry:
        found = self._find(name, version)
        if found is not None:
            return found
        entries = self._by_name.get(canonical_name(name))
        if entries is None:
            if self._directory is None:
                message = f"the engine has no repo_dir, so it has no adaptor {shorten(name)}"
                raise RepoError(message)
            known = sorted({*(some[0].name for some in self._by_name.values()), *modules})
            if not known:
                raise RepoError(
                    f"the repo is empty, so it has no adaptor {shorten(name)}"
                    "; jobcell repo add installs adaptors"
                )
            raise RepoError(
                f"the repo has no adaptor {shorten(name)}" + hint(name, known, kind="installed")
            )
        installed = ", ".join(e.version for e in entries)
        assert version is not None
        newest = "" if _NUMBERED.match(version) else f"; {name!r} alone means the newest version"
        raise RepoError(
            f"the repo has no version {shorten(version)} of adaptor {name!r}"
            f"; installed: {installed[:300]}{newest}"
        )

    def _find(self, name: str, version: str | None) -> RepoEntry | None:
        entries = self._by_name.get(canonical_name(name), [])
        key = None if version is None else sort_key(version)
        for entry in entries:
            if entry.version == version or sort_key(entry.version) == key:
                return entry
        if entries and version == NEXT:
            return entries[0]
        if entries and version in (None, LATEST):
            return next((e for e in entries if not is_prerelease(e.version)), entries[0])
        return None

    def _link(self, entry: RepoEntry) -> AdaptorLink:
        link = AdaptorLink(entry.name, entry.version, self._locate(entry), entry.import_name)
        _check_module(link)
        return link

    def _locate(self, entry: RepoEntry) -> str:
        assert self._directory is not None
        place = f"{self._directory.rstrip('/')}/{entry.path}"
        if entry.path not in (".", "..") and "/" not in entry.path and _is_real_directory(place):
            return place
        path = os.path.realpath(Path(self._directory, entry.path))
        if os.path.commonpath((self._directory, path)) != self._directory:
            raise RepoError(f"adaptor {entry.spec}: its path leads out of the repo")
        if not Path(path).is_dir():
            raise RepoError(f"adaptor {entry.spec}: its directory {shorten(entry.path)} is missing")
        return path


def link_module(name: str, ref: ModuleRef, place: str) -> AdaptorLink:
    """Return the link to a module that does not come from the repo, but from *place*.

    *place* is a directory that contains the importable module, the package's own directory, or its
    ``.py`` file.

    Raises:
        RepoError: *place* does not contain the module.

    """
    version = ref.version or "0"
    label = f"adaptor {name}@{version} (from RunOptions.modules)"
    path = Path(os.path.realpath(place))
    module = module_name(name)
    if path.is_file() and path.suffix == ".py" and path.stem != "__init__":
        link = AdaptorLink(name, version, str(path.parent), path.stem)
    elif (path / "__init__.py").is_file():
        link = AdaptorLink(name, version, str(path.parent), path.name)
    elif path.is_dir():
        link = AdaptorLink(name, version, str(path), module)
    else:
        raise RepoError(f"{label}: its path is neither a directory nor a .py file")
    _check_module(link)
    return link


def _check(entries: list[RepoEntry]) -> None:
    seen = set()
    for number, entry in enumerate(entries):
        where = f"{INDEX} of the repo is corrupt: adaptors[{number}]"
        for field in ("name", "version", "path"):
            text = getattr(entry, field)
            if not text or not text.isprintable():
                raise RepoError(f"{where}.{field} is {shorten(text)}")
        if not all(part.isidentifier() for part in entry.import_name.split(".")):
            shown = shorten(entry.import_name)
            raise RepoError(f"{where}.module is {shown}, which is not an import name")
        key = canonical_name(entry.name), sort_key(entry.version)
        if key in seen:
            raise RepoError(f"{where} is a second entry of {entry.spec}")
        seen.add(key)


def _check_module(link: AdaptorLink) -> None:
    label = f"adaptor {link.name}@{link.version}"
    if link.module.partition(".")[0] in sys.stdlib_module_names:
        raise RepoError(
            f"{label}: its module {link.module!r} has the name of a standard module; rename it"
        )
    base = "/".join((link.path, *link.module.split(".")))
    if _is_real_directory(base) or _mode(f"{base}.py"):
        return
    place = Path(base)
    files = place.parent.glob(f"{place.name}.*") if not place.is_dir() else ()
    if not place.is_dir() and not any(f.name.endswith((".py", ".so")) for f in files):
        raise RepoError(f"{label}: its directory does not contain the module {link.module!r}")


def _is_real_directory(path: str) -> bool:
    """Return whether a path is a directory, and not a link to one.

    Each run looks at all adaptors of a repo.  The methods of a `Path` would take five times as long.
    """
    return stat.S_ISDIR(_mode(path))


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0


def adaptor_paths(
    repo_dir: str | os.PathLike[str] | None, modules: Mapping[str, ModuleRef]
) -> list[str]:
    """Return the paths that a run may read of adaptors: the repo, and what replaces parts of it.

    A path below another one is left out: runs with the same paths share a zygote.
    """
    places = [ref.path for ref in modules.values() if ref.path is not None]
    if repo_dir is not None:
        places.append(os.fspath(repo_dir))
    paths = sorted({os.path.realpath(place) for place in places})
    return [path for path in paths if not any(_is_below(path, other) for other in paths)]


def _is_below(path: str, other: str) -> bool:
    return path.startswith(f"{other.rstrip('/')}/") and path != other
