"""Facades of the standard modules that a job may import.

A job never gets a real module: most of them lead to ``os``, ``sys`` or ``builtins`` without a
single underscore (``json.codecs.builtins.open``).  A facade is a module object of its own with a
chosen list of names.  Each scope makes its own facade when the job first imports the module.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sandbox_child.language.facades.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.language.guards import Guards

__all__ = ["TABLE", "Facades"]


class Facades:
    """The standard modules of a scope, which are made at their first use.

    The modules of this package (``facades.functions`` and so on) get this object.  It has the
    guards, the globals and the log of the scope.
    """

    def __init__(
        self, guards: Guards, scope_globals: dict[str, Any], log: Callable[[str, str], None]
    ) -> None:
        self.guards = guards
        self.globals = scope_globals
        self.log = log
        self._made: dict[str, ModuleType] = {}

    @staticmethod
    def names() -> list[str]:
        """Return the names of all facades, in order."""
        return sorted(TABLE)

    def get(self, name: str) -> ModuleType | None:
        """Return the facade of the standard module *name*, or None if jobs may not have it."""
        made = self._made.get(name)
        if made is None and name in TABLE:
            made = self._made[name] = self._make(name)
        return made

    def _make(self, name: str) -> ModuleType:
        entry = TABLE[name]
        # Not the real name, because `from x import y` falls back to sys.modules["x.y"].
        module = ModuleType(f"job:{name}")
        namespace = module.__dict__
        for special in ("__loader__", "__spec__", "__package__"):
            del namespace[special]
        if entry.names:
            real = importlib.import_module(name)
            for public in entry.names.split():
                # Another version of Python may lack a name that this one has.
                if hasattr(real, public):
                    namespace[public] = _frozen(getattr(real, public))
        if entry.room:
            room = importlib.import_module(f"{__name__}.{entry.room}")
            namespace.update(getattr(room, f"make_{name.strip('_').replace('.', '_')}")(self))
        namespace["__getattr__"] = self._make_fallback(name, namespace)
        return module

    def _make_fallback(self, name: str, namespace: dict[str, Any]) -> Callable[[str], Any]:
        prefix = f"{name}."
        get = self.get

        def fallback(attribute: str) -> Any:
            child = get(prefix + attribute)
            if child is None:
                offered = ", ".join(sorted(n for n in namespace if n[:1] != "_"))
                raise AttributeError(
                    f"module {name!r} has no {attribute!r} in a job; it offers: {offered or '-'}"
                )
            namespace[attribute] = child
            return child

        return fallback


def _frozen(value: Any) -> Any:
    """Return *value*, or a copy of it if it could be used to reach other steps."""
    kind = type(value)
    if kind is list:
        return tuple(value)
    if kind is set:
        return frozenset(value)
    if kind is dict:
        return dict(value)
    return value
