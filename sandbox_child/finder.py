"""Finds the few packages of the child, but no other modules beside them.

These packages are usually in a site-packages directory with all other packages of the manager.  If
that directory were on ``sys.path``, adaptors could import all of them.

Some modules that every child needs load more than they use.  This module loads them with less, and
some of them late.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any, Final

BARE: Final = frozenset(("RestrictedPython",))
"""Packages whose ``__init__`` is left out: the child needs only two of their modules, and importing
the others takes 4 ms."""


class _Loader:
    """The interface of a loader; its base class in `importlib.abc` would have to be imported."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002 - the protocol
        """Let the import system make the module."""
        return None


class MsgspecLoader(_Loader):
    """Gives msgspec the names of its C half, and the modules that the child uses.

    Its ``__init__`` would also import the modules for JSON, TOML, YAML and inspection, in 3 ms.
    """

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the public names of its C half."""
        from msgspec import _core

        names = {name: value for name, value in vars(_core).items() if name[0] != "_"}
        vars(module).update(names)
        vars(module)["field"] = _core.Field
        __import__("msgspec.msgpack")
        __import__("msgspec.structs")


class DatetimeLoader(_Loader):
    """Gives `datetime` the names of its C half.

    Python 3.11 first makes the same classes in Python, in 1 ms, and then replaces them by these.
    """

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the public names of its C half."""
        import _datetime  # type: ignore[import-not-found]  # the stubs know only the whole

        names = {name: value for name, value in vars(_datetime).items() if name[0] != "_"}
        public = tuple(name for name in names if name != "datetime_CAPI")
        vars(module).update(names, __all__=public)


class LazyLoader(_Loader):
    """Loads the module at the first use of a name that is not in *known*.

    It is for modules that other modules import at their top, but hardly ever use.
    """

    def __init__(self, known: dict[str, object]) -> None:
        self._known = known

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its known names, and a function that loads the others."""
        names = vars(module)
        names.update(self._known)
        lock = _thread.RLock()
        begun = False

        def load(name: str) -> Any:
            nonlocal begun
            if name[:2] == "__" and name != "__all__":
                raise AttributeError(name)  # tools look for such names in any module
            with lock:  # a second thread waits until the first has loaded it
                if not begun:
                    begun = True
                    spec = PathFinder.find_spec(module.__name__)
                    assert spec is not None
                    assert spec.loader is not None
                    names.update(__spec__=spec, __loader__=spec.loader, __file__=spec.origin)
                    spec.loader.exec_module(module)
                    names.pop("__getattr__", None)
            if name in names:
                return names[name]
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        names["__getattr__"] = load


def _system() -> str:
    return os.uname().sysname


def _python_implementation() -> str:
    return "CPython" if sys.implementation.name == "cpython" else sys.implementation.name


LAZY: Final[dict[str, dict[str, object]]] = {
    # uuid and RestrictedPython need these; the whole module compiles regular expressions for 3 ms.
    "platform": {"system": _system, "python_implementation": _python_implementation},
    "textwrap": {},  # RestrictedPython, for one kind of class: 1 ms
}
"""Modules that are loaded late, with their known names."""


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
        if name in LAZY:
            return ModuleSpec(name, LazyLoader(LAZY[name]))  # type: ignore[arg-type]
        if name == "datetime" and sys.version_info < (3, 12):
            return ModuleSpec(name, DatetimeLoader())  # type: ignore[arg-type]
        directory = self._directories.get(name)
        if directory is None:
            return None
        if name in BARE:
            spec = ModuleSpec(name, None, is_package=True)
        elif name == "msgspec":
            spec = ModuleSpec(name, MsgspecLoader(), is_package=True)  # type: ignore[arg-type]
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
