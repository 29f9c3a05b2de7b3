"""Who is asking: which realm the running code belongs to, and what `sys.modules` is for it.

Python code asks through its ``__import__`` and through ``sys.modules``; both look for the nearest
frame that belongs to somebody, so every realm sees its own modules at any time and in any thread.

C code looks into the interpreter's own table, which no Python code can replace.  That table shows
the *world* of whoever imported last: every import first makes the world of its own realm current.
C code that imports by ``PyImport_Import`` calls the ``__import__`` of the nearest frame before it
reads the table, so it finds the right one.

Roads not taken: names with a prefix (dataclasses, typing and pickle look up ``cls.__module__``);
one swap for each call from a job into an adaptor (threads, callbacks and generators cross realms
without a call that could be wrapped); a realm per subinterpreter (objects cannot be handed over,
and most extension modules refuse).
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sandbox_child.linker.realm import Realm

_OURS: Final = "sandbox_child.linker."
_MISSING: Final = object()

_real_import = builtins.__import__
_realms: Final[dict[int, Realm]] = {}
"""Realm by the id of its builtins, which live as long as the process."""
_of_step: list[Realm] = []
"""The realms that the running step has used."""


def is_standard(name: str) -> bool:
    """Whether *name* is a module of the standard library, which all realms share."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top.startswith("_sysconfigdata_")


def _is_job(name: str) -> bool:
    """Whether *name* is that of a job's own module, which no import statement can spell."""
    return name.startswith("job:")


def calling_realm(frame: FrameType | None) -> Realm | None:
    """Return the realm on whose behalf *frame* runs; None: it is the child's own code.

    Frames of the standard library and of the linker belong to whoever called them.
    """
    while frame is not None:
        realm = _realms.get(id(frame.f_builtins))
        if realm is not None:
            return realm
        name = frame.f_globals.get("__name__")
        if (
            type(name) is str
            and not name.startswith(_OURS)
            and not is_standard(name)
            and (frame.f_builtins is builtins.__dict__ or _is_job(name))
        ):
            return None
        frame = frame.f_back
    return None


class ModuleTable(dict[str, ModuleType]):
    """What ``sys.modules`` is: for a realm its own modules and the standard ones.

    The dict's own storage stays empty.
    """

    def __init__(self, interpreter: dict[str, ModuleType]) -> None:
        super().__init__()
        self._all = interpreter
        self._hidden: dict[str, ModuleType] = {}
        """Modules of the child's own that the current realm hides in the interpreter's table."""
        self._current: Realm | None = None

    # --- the interpreter's own table ---

    def make_current(self, realm: Realm | None) -> None:
        """Let C code see the modules of *realm*; of None: those of the child only."""
        if realm is self._current:
            return
        if self._current is not None:
            for name in self._current.modules:
                self._all.pop(name, None)
            self._all.update(self._hidden)
            self._hidden.clear()
        self._current = realm
        if realm is not None:
            for name, module in tuple(realm.modules.items()):
                self._publish(name, module)

    def _publish(self, name: str, module: ModuleType) -> None:
        assert self._current is not None
        own = self._all.get(name)
        if own is not None and name not in self._hidden and own is not module:
            self._hidden[name] = own
        self._all[name] = module

    def shown(self, name: str) -> ModuleType | None:
        """Return what C code sees under a name."""
        return self._all.get(name)

    def show_again(self, name: str, module: ModuleType | None) -> None:
        """Undo that an extension module has put itself into the interpreter's table."""
        if module is None:
            self._all.pop(name, None)
        else:
            self._all[name] = module

    # --- one world ---

    def step_realm(self, name: Any) -> Realm | None:
        """Return the realm that C code means which a job calls directly, or None.

        Such code has no frame of its realm.  It is the only one to ask for what the child's own
        code does not have.
        """
        if type(name) is str and _of_step and not is_standard(name):
            top = name.partition(".")[0]
            for realm in _of_step:
                if top in realm.modules and self._read_own(top) is _MISSING:
                    return realm
        return None

    def _read(self, realm: Realm | None, name: Any) -> Any:
        if realm is None:
            realm = self.step_realm(name)
            if realm is None:
                return self._read_own(name)
            self.make_current(realm)
        if name in realm.modules:
            return realm.modules[name]
        if not isinstance(name, str) or not (is_standard(name) or _is_job(name)):
            return _MISSING
        return self._read_own(name)

    def _read_own(self, name: Any) -> Any:
        if name in self._hidden:
            return self._hidden[name]
        if self._current is not None and name in self._current.modules:
            return _MISSING
        return self._all.get(name, _MISSING)

    def _visible(self, realm: Realm | None) -> dict[str, ModuleType]:
        own = {
            name: module
            for name, module in tuple(self._all.items())
            if self._current is None or name not in self._current.modules
        }
        own.update(self._hidden)
        if realm is None:
            return own
        shared = {name: module for name, module in own.items() if is_standard(name)}
        return {**shared, **realm.modules}

    def _store(self, frame: FrameType, name: str, module: ModuleType) -> None:
        realm = calling_realm(frame) or self.step_realm(name)
        # Standard modules are stored by importlib and by each other.  One that an adaptor itself
        # puts in place of another is for its own realm only.
        if realm is not None and (not is_standard(name) or frame.f_builtins is realm.builtins):
            realm.modules[name] = module
            if self._current is realm:
                self._publish(name, module)
        elif self._current is not None and name in self._current.modules:
            self._hidden[name] = module
        else:
            self._all[name] = module

    def _remove(self, realm: Realm | None, name: str) -> None:
        realm = realm or self.step_realm(name)
        if realm is not None and name in realm.modules:
            if self._current is realm:
                self._all.pop(name, None)
                if name in self._hidden:
                    self._all[name] = self._hidden.pop(name)
            del realm.modules[name]
        elif name in self._hidden:
            del self._hidden[name]
        else:
            self._all.pop(name, None)

    # --- what a dict can do ---

    def __getitem__(self, name: str) -> ModuleType:
        found = self._read(calling_realm(sys._getframe(1)), name)  # noqa: SLF001 - who is asking
        if found is _MISSING:
            raise KeyError(name)
        return found  # type: ignore[no-any-return]  # not _MISSING: a module

    def get(self, name: str, default: Any = None) -> Any:
        """Return a module that the caller may see."""
        found = self._read(calling_realm(sys._getframe(1)), name)  # noqa: SLF001 - who is asking
        return default if found is _MISSING else found

    def __contains__(self, name: object) -> bool:
        return self._read(calling_realm(sys._getframe(1)), name) is not _MISSING  # noqa: SLF001 - who is asking

    def __setitem__(self, name: str, module: ModuleType) -> None:
        self._store(sys._getframe(1), name, module)  # noqa: SLF001 - who is asking

    def __delitem__(self, name: str) -> None:
        realm = calling_realm(sys._getframe(1))  # noqa: SLF001 - who is asking
        if self._read(realm, name) is _MISSING:
            raise KeyError(name)
        self._remove(realm, name)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove and return a module."""
        realm = calling_realm(sys._getframe(1))  # noqa: SLF001 - who is asking
        found = self._read(realm, name)
        if found is _MISSING:
            if default:
                return default[0]
            raise KeyError(name)
        self._remove(realm, name)
        return found

    def setdefault(self, name: str, module: Any = None) -> Any:
        """Return a module, and store it if there is none."""
        realm = calling_realm(sys._getframe(1))  # noqa: SLF001 - who is asking
        found = self._read(realm, name)
        if found is _MISSING:
            self._store(sys._getframe(1), name, module)  # noqa: SLF001 - who is asking
            return module
        return found

    def update(self, *others: Any, **more: Any) -> None:
        """Store several modules."""
        for name, module in dict(*others, **more).items():
            self._store(sys._getframe(1), name, module)  # noqa: SLF001 - who is asking

    def __iter__(self) -> Iterator[str]:
        return iter(self._visible(calling_realm(sys._getframe(1))))  # noqa: SLF001 - who is asking

    def __len__(self) -> int:
        return len(self._visible(calling_realm(sys._getframe(1))))  # noqa: SLF001 - who is asking

    def keys(self) -> Any:
        """Return what the caller may see."""
        return self._visible(calling_realm(sys._getframe(1))).keys()  # noqa: SLF001 - who is asking

    def values(self) -> Any:
        """Return what the caller may see."""
        return self._visible(calling_realm(sys._getframe(1))).values()  # noqa: SLF001 - who is asking

    def items(self) -> Any:
        """Return what the caller may see."""
        return self._visible(calling_realm(sys._getframe(1))).items()  # noqa: SLF001 - who is asking

    def copy(self) -> dict[str, ModuleType]:
        """Return what the caller may see."""
        return self._visible(calling_realm(sys._getframe(1)))  # noqa: SLF001 - who is asking

    def __repr__(self) -> str:
        return "<sys.modules>"


class MetaPath(list[Any]):
    """What ``sys.meta_path`` is: each realm has its own finders.

    `importlib.metadata` asks them, too, and libraries add theirs (``six.moves``).
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
    """Stand in for the built-in ``__import__`` of the child and of the standard library."""
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
    """Finds what C code of the step's realms imports when a job calls it directly."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return what the realm's own finders find."""
        table = sys.modules
        realm = table.step_realm(name) if isinstance(table, ModuleTable) else None
        if realm is None:
            return None
        specs = (finder.find_spec(name, path, target) for finder in realm.meta_path)
        return next((spec for spec in specs if spec is not None), None)


def real_import() -> Callable[..., Any]:
    """Return Python's own ``__import__``."""
    return _real_import


def install(realm: Realm) -> ModuleTable:
    """Make *realm* known, and on the first one take over ``sys.modules`` and ``__import__``."""
    table = sys.modules
    if not isinstance(table, ModuleTable):
        table = ModuleTable(table)
        sys.modules = table
        sys.meta_path = MetaPath([StepFinder(), *sys.meta_path])
        builtins.__import__ = _import
    _realms[id(realm.builtins)] = realm
    return table


def begin_step() -> None:
    """Forget which realms the last step has used."""
    _of_step.clear()


def use(realm: Realm) -> None:
    """Remember that the running step uses *realm*."""
    if realm not in _of_step:
        _of_step.append(realm)


def leave() -> None:
    """Let C code see the child's own modules again."""
    table = sys.modules
    if isinstance(table, ModuleTable):
        table.make_current(None)
