"""Where the modules of one realm come from, and what loads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from sandbox_child.linker.worlds import is_standard

if TYPE_CHECKING:
    from sandbox_child.linker.realm import Realm


_ONCE: Final = frozenset(("lxml.etree",))
"""Extension modules that load twice but then fail: this one keeps its own objects in the thread's
state (PyThreadState_GetDict), where two copies of it find each other's."""


class RealmFinder:
    """Finds standard modules where the child finds them, all others below the realm's directory."""

    def __init__(self, realm: Realm, child_finders: list[Any]) -> None:
        self._realm = realm
        self._child_finders = child_finders
        self._directories: dict[str, FileFinder] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where to load *name* from; None if the realm has no such module."""
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
        """Return what ``importlib.metadata`` shall know: the realm's own distributions."""
        from importlib.metadata import DistributionFinder, MetadataPathFinder

        given = vars(context).get("path")
        own = DistributionFinder.Context(name=context.name, path=given or [self._realm.path])
        return MetadataPathFinder.find_distributions(own)

    def invalidate_caches(self) -> None:
        """Look into the directories again."""
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
        """Find the adaptor's own module where only it may be read, not the directory around it."""
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
    """The ``__path__`` of a namespace package; importlib.resources knows one by its text."""

    def __repr__(self) -> str:
        return f"_NamespacePath({list(self)!r})"


class SourceLoader(SourceFileLoader):
    """Gives modules the builtins of their realm; never writes compiled files."""

    def __init__(self, realm: Realm, name: str, path: str) -> None:
        super().__init__(name, path)
        self._realm = realm

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module for its realm."""
        module.__dict__["__builtins__"] = self._realm.builtins
        super().exec_module(module)

    def set_data(self, path: str, data: Any, *, _mode: int = 0) -> None:
        """Leave the repo as it is."""


class BytecodeLoader(SourcelessFileLoader):
    """The same for a module that was delivered without its source."""

    def __init__(self, realm: Realm, name: str, path: str) -> None:
        super().__init__(name, path)
        self._realm = realm

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module for its realm."""
        module.__dict__["__builtins__"] = self._realm.builtins
        super().exec_module(module)


class ExtensionLoader(ExtensionFileLoader):
    """Loads an extension module for one realm.

    Two copies of a file are two libraries for the dynamic linker, each with its own static data,
    so most extensions can live in several realms.  One file in two realms would be one library:
    that is refused.
    """

    loaded: Final[dict[tuple[int, int], str]] = {}
    """Device and inode of a library to the adaptor that it was loaded for."""
    names: Final[dict[str, str]] = {}
    """Name of an extension module to the adaptor that first had it."""

    def __init__(self, realm: Realm, name: str, path: str) -> None:
        super().__init__(name, path)
        self._realm = realm

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load the library.

        Raises:
            ImportError: It cannot be loaded, or not a second time.

        """
        label = self._realm.label
        status = os.stat(self.path)
        owner = self.loaded.setdefault((status.st_dev, status.st_ino), label)
        if owner != label:
            raise ImportError(
                f"the extension module {spec.name!r} of {label} is one file with that of {owner};"
                " it cannot be loaded twice in one run",
                name=spec.name,
            )
        first = self.names.get(spec.name, label)
        if spec.name in _ONCE and first != label:
            raise ImportError(
                f"the extension module {spec.name!r} is already loaded for {first}; it cannot be"
                " loaded twice in one run",
                name=spec.name,
            )
        made = self._guarded(lambda: super(ExtensionLoader, self).create_module(spec), spec.name)
        assert isinstance(made, ModuleType)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module for its realm."""
        self._guarded(lambda: super(ExtensionLoader, self).exec_module(module), module.__name__)

    def _guarded(self, load: Any, name: str) -> Any:
        label = self._realm.label
        owner = self.names.setdefault(name, label)
        self._realm.show()
        before = self._realm.table.shown(name)
        try:
            return load()
        except Exception as error:
            if owner == label:
                raise
            raise ImportError(
                f"the extension module {name!r} is already loaded for {owner} and cannot be loaded"
                f" a second time in one run ({type(error).__name__}: {error})",
                name=name,
            ) from error
        finally:
            # Extension modules put themselves into the interpreter's table under their name, where
            # the child's own module of that name may be.  importlib stores them where they belong.
            self._realm.show()
            self._realm.table.show_again(name, before)


def _for(realm: Realm, loader: type[Any]) -> Any:
    return lambda name, path: loader(realm, name, path)


def standard_beside(path: str) -> Iterator[str]:
    """Yield the names of standard modules that files in *path* seem to want to replace."""
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        stem, dot, suffix = name.partition(".")
        if stem in sys.stdlib_module_names and (not dot or suffix == "py"):
            yield stem
