"""Finds the few packages of the child, and nothing that happens to lie beside them.

Those packages usually live in a site-packages directory with everything the manager has installed.
Putting that directory on ``sys.path`` would let adaptors import all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Final

BARE: Final = frozenset(("RestrictedPython",))
"""Packages whose ``__init__`` is left out: the child wants one module of theirs, and importing the
others takes 4 ms."""


LEAN: Final = "msgspec"
"""A package that gets the names of its C half and the modules that the child uses.  Its ``__init__``
would import those for JSON, TOML, YAML and inspection, too, and that takes 3 ms."""


class LeanLoader:
    """Fills `LEAN`."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002 - the protocol
        """Leave the making of the module to the import system."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what is public in its C half."""
        from msgspec import _core

        names = {name: value for name, value in vars(_core).items() if name[0] != "_"}
        vars(module).update(names)
        vars(module)["field"] = _core.Field
        __import__(f"{LEAN}.msgpack")
        __import__(f"{LEAN}.structs")


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
        """Return where to load *name* from, if it is one of the packages."""
        directory = self._directories.get(name)
        if directory is None:
            return None
        if name in BARE:
            spec = ModuleSpec(name, None, is_package=True)
        elif name == LEAN:
            # Not derived from importlib.abc.Loader, which would have to be imported.
            spec = ModuleSpec(name, LeanLoader(), is_package=True)  # type: ignore[arg-type]
        else:
            file = f"{directory}/__init__.py"
            spec = ModuleSpec(name, SourceFileLoader(name, file), origin=file, is_package=True)
            spec.has_location = True
        spec.submodule_search_locations = [directory]
        return spec

    def invalidate_caches(self) -> None:
        """Do nothing: there is no cache."""


def install(arguments: Iterable[str]) -> None:
    """Let ``name=directory`` pairs be found, before anything on ``sys.path``.

    Modules inside of the packages are found as usual, by the ``__path__`` of these.

    Raises:
        ValueError: An argument is no such pair.

    """
    directories = {}
    for argument in arguments:
        name, equals, directory = argument.partition("=")
        if not (name.isidentifier() and equals and directory.startswith("/")):
            raise ValueError(f"expected name=/directory, not {argument[:200]!r}")
        directories[name] = directory
    sys.meta_path.insert(0, PackageFinder(directories))
