"""`sys.modules` while adaptors run: each realm sees its own modules and the standard ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import Any, Final

from sandbox_child.linker.callers import Owner, calling_realm, is_job, is_standard

_MISSING: Final = object()
_of_step: list[Owner] = []
"""The realms that the running step has used."""


def begin_step() -> None:
    """Forget the realms that the last step has used."""
    _of_step.clear()


def use(realm: Owner) -> None:
    """Remember that the running step uses *realm*."""
    if realm not in _of_step:
        _of_step.append(realm)


class ModuleTable(dict[str, ModuleType]):
    """The object in ``sys.modules``: a realm sees its own modules and the standard ones.

    The dict's own storage stays empty.
    """

    def __init__(self, interpreter: dict[str, ModuleType]) -> None:
        super().__init__()
        self._all = interpreter
        self._hidden: dict[str, ModuleType] = {}
        """The child's own modules that the current realm hides in the interpreter's table."""
        self._current: Owner | None = None

    # --- the interpreter's own table ---

    def make_current(self, realm: Owner | None) -> None:
        """Let C code see the modules of *realm*; with None, only those of the child."""
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
        """Return the module that C code sees under a name."""
        return self._all.get(name)

    def show_again(self, name: str, module: ModuleType | None) -> None:
        """Restore the interpreter's table after an extension module has put itself into it."""
        if module is None:
            self._all.pop(name, None)
        else:
            self._all[name] = module

    # --- one world ---

    def step_realm(self, name: Any) -> Owner | None:
        """Return the realm of C code that a job calls directly, or None.

        Such code has no frame of its realm.  Only such code asks for modules that the child itself
        lacks.
        """
        if type(name) is str and _of_step and not is_standard(name):
            top = name.partition(".")[0]
            for realm in _of_step:
                if top in realm.modules and self._read_own(top) is _MISSING:
                    return realm
        return None

    def _read(self, realm: Owner | None, name: Any) -> Any:
        if realm is None:
            realm = self.step_realm(name)
            if realm is None:
                return self._read_own(name)
            self.make_current(realm)
        if name in realm.modules:
            return realm.modules[name]
        if not isinstance(name, str) or not (is_standard(name) or is_job(name)):
            return _MISSING
        return self._read_own(name)

    def _read_own(self, name: Any) -> Any:
        if name in self._hidden:
            return self._hidden[name]
        if self._current is not None and name in self._current.modules:
            return _MISSING
        return self._all.get(name, _MISSING)

    def _visible(self, realm: Owner | None) -> dict[str, ModuleType]:
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
        # importlib and standard modules store standard modules.  If an adaptor itself replaces a
        # standard module, only its own realm sees that.
        if realm is not None and (not is_standard(name) or frame.f_builtins is realm.builtins):
            realm.modules[name] = module
            if self._current is realm:
                self._publish(name, module)
        elif self._current is not None and name in self._current.modules:
            self._hidden[name] = module
        else:
            self._all[name] = module

    def _remove(self, realm: Owner | None, name: str) -> None:
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
        """Return the module under *name*; store *module* if the name is free."""
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
        """Return the modules that the caller may see."""
        return self._visible(calling_realm(sys._getframe(1))).keys()  # noqa: SLF001 - who is asking

    def values(self) -> Any:
        """Return the modules that the caller may see."""
        return self._visible(calling_realm(sys._getframe(1))).values()  # noqa: SLF001 - who is asking

    def items(self) -> Any:
        """Return the modules that the caller may see."""
        return self._visible(calling_realm(sys._getframe(1))).items()  # noqa: SLF001 - who is asking

    def copy(self) -> dict[str, ModuleType]:
        """Return the modules that the caller may see."""
        return self._visible(calling_realm(sys._getframe(1)))  # noqa: SLF001 - who is asking

    def __repr__(self) -> str:
        return "<sys.modules>"
