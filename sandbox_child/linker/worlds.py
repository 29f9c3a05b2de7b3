"""Makes the interpreter serve several realms: its imports, its finders and its modules.

Python code uses its ``__import__`` and ``sys.modules``.  Both look for the nearest frame that
belongs to a realm, so every realm sees its own modules at any time and in any thread.

C code looks into the interpreter's own table, which Python code cannot replace.  This table shows
the *world* of the realm that imported last: every import first makes the world of its own realm
current.  C code that imports with ``PyImport_Import`` calls the ``__import__`` of the nearest frame
before it reads the table, so it finds the right modules.

Other ways were rejected.  Names with a prefix fail because dataclasses, typing and pickle look up
``cls.__module__``.  A swap at each call from a job into an adaptor misses threads, callbacks and
generators, which cross realms without a call.  A subinterpreter for each realm cannot pass objects,
and most extension modules refuse it.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from sandbox_child.linker.callers import Owner, calling_realm, register
from sandbox_child.linker.table import ModuleTable

_real_import: Final = builtins.__import__


class MetaPath(list[Any]):
    """The object in ``sys.meta_path``, which gives each realm its own finders.

    `importlib.metadata` uses them, too, and libraries add their own (``six.moves``).
    """

    def _own(self, frame: FrameType) -> list[Any] | None:
        realm = calling_realm(frame)
        return None if realm is None else realm.meta_path

    def __iter__(self) -> Iterator[Any]:
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        return super().__iter__() if own is None else iter(own)

    def __len__(self) -> int:
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        return super().__len__() if own is None else len(own)

    def __getitem__(self, index: Any) -> Any:
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        return super().__getitem__(index) if own is None else own[index]

    def __delitem__(self, index: Any) -> None:
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        if own is None:
            super().__delitem__(index)
        else:
            del own[index]

    def append(self, finder: Any) -> None:
        """Add a finder."""
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        super().append(finder) if own is None else own.append(finder)

    def insert(self, index: Any, finder: Any) -> None:
        """Add a finder."""
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        super().insert(index, finder) if own is None else own.insert(index, finder)

    def remove(self, finder: Any) -> None:
        """Remove a finder."""
        own = self._own(sys._getframe(1))  # noqa: SLF001 - who is asking
        super().remove(finder) if own is None else own.remove(finder)


def _import(
    name: str,
    globals: Any = None,  # noqa: A002 - the names of the built-in function
    locals: Any = None,  # noqa: A002 - the names of the built-in function
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    """Replace the built-in ``__import__`` of the child and of the standard library."""
    realm = calling_realm(sys._getframe(1))  # noqa: SLF001 - who is asking
    if realm is not None:
        return realm.import_module(name, globals, locals, fromlist, level)
    table = sys.modules
    if isinstance(table, ModuleTable):
        realm = None if level else table.step_realm(name)
        if realm is not None:
            return realm.import_module(name, globals, locals, fromlist, level)
        table.make_current(None)
    return _real_import(name, globals, locals, fromlist, level)


class StepFinder:
    """Finds modules that C code of the step's realms imports when a job calls it directly."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec that the realm's own finders find."""
        table = sys.modules
        realm = table.step_realm(name) if isinstance(table, ModuleTable) else None
        if realm is None:
            return None
        specs = (finder.find_spec(name, path, target) for finder in realm.meta_path)
        return next((spec for spec in specs if spec is not None), None)


def real_import() -> Callable[..., Any]:
    """Return Python's own ``__import__``."""
    return _real_import


def install(realm: Owner) -> ModuleTable:
    """Register *realm*; with the first realm, replace ``sys.modules`` and ``__import__``."""
    table = sys.modules
    if not isinstance(table, ModuleTable):
        table = ModuleTable(table)
        sys.modules = table
        sys.meta_path = MetaPath([StepFinder(), *sys.meta_path])
        builtins.__import__ = _import
    register(realm)
    return table


def leave() -> None:
    """Let C code see the child's own modules again."""
    table = sys.modules
    if isinstance(table, ModuleTable):
        table.make_current(None)
