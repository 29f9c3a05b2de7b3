"""Finds the modules of a realm."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    ModuleSpec,
)
from types import ModuleType
from typing import Any

from sandbox_child.linker.callers import is_standard
from sandbox_child.linker.loaders import BytecodeLoader, ExtensionLoader, Home, SourceLoader


class RealmFinder:
    """Finds standard modules like the child, and all other modules below the realm's directory."""

    def __init__(self, realm: Home, child_finders: list[Any]) -> None:
        self._realm = realm
        self._child_finders = child_finders
        self._directories: dict[str, FileFinder] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of *name*; None if the realm does not have the module."""
        if is_standard(name):
            return self._find_standard(name, path, target)
        portions: list[str] = []
        for directory in (self._realm.path,) if path is None else tuple(path):
            spec = self._directory(directory).find_spec(name)
            if spec is None:
                continue
            if spec.loader is not None:
                return spec
            portions += spec.submodule_search_locations or ()
        if portions:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = NamespacePath(portions)
            return spec
        return self._find_unlisted(name) if path is None else None

    def find_distributions(self, context: Any) -> Iterable[Any]:
        """Return the distributions for ``importlib.metadata``: the realm's own."""
        from importlib.metadata import DistributionFinder, MetadataPathFinder

        given = vars(context).get("path")
        own = DistributionFinder.Context(name=context.name, path=given or [self._realm.path])
        return MetadataPathFinder.find_distributions(own)

    def invalidate_caches(self) -> None:
        """Forget the contents of directories, so that they are read again."""
        self._directories.clear()

    def _find_standard(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in list.__iter__(self._child_finders):
            spec: ModuleSpec | None = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None

    def _find_unlisted(self, name: str) -> ModuleSpec | None:
        """Find the adaptor's own module if it can be read but its directory cannot be listed."""
        if name != self._realm.module:
            return None
        base = f"{self._realm.path}/{name}"
        for file, inside in ((f"{base}/__init__.py", [base]), (f"{base}.py", None)):
            if os.path.isfile(file):
                loader = SourceLoader(self._realm, name, file)
                spec = ModuleSpec(name, loader, origin=file, is_package=inside is not None)
                spec.has_location = True
                spec.submodule_search_locations = inside
                return spec
        return None

    def _directory(self, directory: str) -> FileFinder:
        finder = self._directories.get(directory)
        if finder is None:
            realm = self._realm
            finder = self._directories[directory] = FileFinder(
                directory,
                (_for(realm, ExtensionLoader), EXTENSION_SUFFIXES),
                (_for(realm, SourceLoader), SOURCE_SUFFIXES),
                (_for(realm, BytecodeLoader), BYTECODE_SUFFIXES),
            )
        return finder


class NamespacePath(list[str]):
    """The ``__path__`` of a namespace package; importlib.resources recognises it by its repr."""

    def __repr__(self) -> str:
        return f"_NamespacePath({list(self)!r})"


def _for(realm: Home, loader: type[Any]) -> Any:
    return lambda name, path: loader(realm, name, path)


def standard_beside(path: str) -> Iterator[str]:
    """Yield the names of standard modules that files in *path* seem to replace."""
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        stem, dot, suffix = name.partition(".")
        if stem in sys.stdlib_module_names and (not dot or suffix == "py"):
            yield stem
