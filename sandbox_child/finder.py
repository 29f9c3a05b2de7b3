"""Finds the few packages of the child, but no other modules beside them.

These packages are usually in a site-packages directory with all other packages of the manager.  If
that directory were on ``sys.path``, adaptors could import all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Final

BARE: Final = frozenset(("RestrictedPython",))
"""Packages whose ``__init__`` is left out: the child needs only two of their modules, and importing
the others takes 4 ms."""


class PackageFinder:
    """A meta path finder for top-level packages at given directories."""

    def __init__(self, directories: dict[str, str]) -> None:
        self._directories = directories

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002 - the import system's signature
    ) -> ModuleSpec | None:
        """Return the spec of *name*, if it is one of the packages."""
        directory = self._directories.get(name)
        if directory is None:
            return None
        if name in BARE:
            spec = ModuleSpec(name, None, is_package=True)
        else:
            file = f"{directory}/__init__.py"
            spec = ModuleSpec(name, SourceFileLoader(name, file), origin=file, is_package=True)
            spec.has_location = True
        spec.submodule_search_locations = [directory]
        return spec

    def invalidate_caches(self) -> None:
        """Do nothing, because this finder does not use a cache."""


def install(arguments: Iterable[str]) -> None:
    """Have the packages in ``name=directory`` pairs found before ``sys.path`` is searched.

    Modules inside the packages are found as usual, through the ``__path__`` of the package.

    Raises:
        ValueError: An argument is not such a pair.

    """
    directories = {}
    for argument in arguments:
        name, equals, directory = argument.partition("=")
        if not (name.isidentifier() and equals and directory.startswith("/")):
            raise ValueError(f"expected name=/directory, not {argument[:200]!r}")
        directories[name] = directory
    sys.meta_path.insert(0, PackageFinder(directories))
