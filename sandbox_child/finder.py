"""Finds the few packages of the child, and nothing that happens to lie beside them.

Those packages usually live in a site-packages directory with everything the manager has installed.
Putting that directory on ``sys.path`` would let adaptors import all of it.

Some modules that every child needs, or that those need, load more than they use.  They are loaded
here with less, and late.
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
"""Packages whose ``__init__`` is left out: the child wants two modules of theirs, and importing the
others takes 4 ms."""


class _Loader:
    """What the import system asks of one; `importlib.abc`, where it is told, would have to be imported."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:  # noqa: ARG002 - the protocol
        """Leave the making of the module to the import system."""
        return None


class MsgspecLoader(_Loader):
    """Gives msgspec the names of its C half, and those of its modules that the child uses.

    Its ``__init__`` would import those for JSON, TOML, YAML and inspection, too: 3 ms.
    """

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what is public in its C half."""
        from msgspec import _core

        names = {name: value for name, value in vars(_core).items() if name[0] != "_"}
        vars(module).update(names)
        vars(module)["field"] = _core.Field
        __import__("msgspec.msgpack")
        __import__("msgspec.structs")


class DatetimeLoader(_Loader):
    """Gives `datetime` the names of its C half.

    That is all that is left when Python 3.11 has made the same classes in Python before it: 1 ms.
    """

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what is public in its C half."""
        import _datetime  # type: ignore[import-not-found]  # the stubs know only the whole

        names = {name: value for name, value in vars(_datetime).items() if name[0] != "_"}
        public = tuple(name for name in names if name != "datetime_CAPI")
        vars(module).update(names, __all__=public)


class LazyLoader(_Loader):
    """Loads the module when a name of it is asked for that is not in *known*.

    For modules that others import at the top, and hardly ever use.
    """

    def __init__(self, known: dict[str, object]) -> None:
        self._known = known

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what is known of it, and what loads the rest."""
        names = vars(module)
        names.update(self._known)
        lock = _thread.RLock()
        begun = False

        def load(name: str) -> Any:
            nonlocal begun
            if name[:2] == "__" and name != "__all__":
                raise AttributeError(name)  # what tools look for in any module is no use of it
            with lock:  # a thread that asks while another one loads waits for it
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
    # uuid and RestrictedPython ask that much; the whole module compiles 3 ms of regular expressions.
    "platform": {"system": _system, "python_implementation": _python_implementation},
    "textwrap": {},  # RestrictedPython, for one kind of class: 1 ms
}
"""What is loaded late, and what is known of it."""


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
