"""Loaders for the modules of a realm."""

from __future__ import annotations

import os
from importlib.machinery import (
    ExtensionFileLoader,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import ModuleType
from typing import Any, Final, Protocol

from sandbox_child.linker.callers import Owner
from sandbox_child.linker.table import ModuleTable

_ONCE: Final = frozenset(("lxml.etree",))
"""Extension modules that can be loaded twice but then fail.  This one keeps its objects in the
thread's state (PyThreadState_GetDict), where two copies find the objects of each other."""


class Home(Owner, Protocol):
    """The part of a realm that its finder and its loaders use."""

    label: str
    """``name@version``."""
    path: str
    """The directory in which all its modules lie."""
    module: str
    """The import name of the adaptor itself."""
    table: ModuleTable

    def show(self) -> None:
        """Let C code see the modules of this realm."""


class SourceLoader(SourceFileLoader):
    """Loads a module with the builtins of its realm; it never writes compiled files."""

    def __init__(self, realm: Home, name: str, path: str) -> None:
        super().__init__(name, path)
        self._realm = realm

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module for its realm."""
        module.__dict__["__builtins__"] = self._realm.builtins
        super().exec_module(module)

    def set_data(self, path: str, data: Any, *, _mode: int = 0) -> None:
        """Do nothing, because the repo must not be changed."""


class BytecodeLoader(SourcelessFileLoader):
    """Does the same for a module that comes without its source."""

    def __init__(self, realm: Home, name: str, path: str) -> None:
        super().__init__(name, path)
        self._realm = realm

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module for its realm."""
        module.__dict__["__builtins__"] = self._realm.builtins
        super().exec_module(module)


class ExtensionLoader(ExtensionFileLoader):
    """Loads an extension module for a realm.

    Two copies of a file are two libraries for the dynamic linker, each with its own static data, so
    most extensions can live in several realms.  A single file would be one library for two realms,
    which is refused.
    """

    loaded: Final[dict[tuple[int, int], str]] = {}
    """For the device and inode of a library, the adaptor that it was loaded for."""
    names: Final[dict[str, str]] = {}
    """For the name of an extension module, the first adaptor that had it."""

    def __init__(self, realm: Home, name: str, path: str) -> None:
        super().__init__(name, path)
        self._realm = realm

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load the library.

        Raises:
            ImportError: The library cannot be loaded, or not a second time.

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
            # Extension modules put themselves into the interpreter's table under their name, and
            # may replace the child's own module. importlib stores them in the right place.
            self._realm.show()
            self._realm.table.show_again(name, before)
