"""A version of an adaptor with all modules that it imports."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from sandbox_child.facts import FACTS, make_facts_module
from sandbox_child.facts.collections import COLLECTIONS, make_collections_module
from sandbox_child.linker import records, worlds
from sandbox_child.linker.callers import is_standard
from sandbox_child.linker.output import Printer
from sandbox_child.linker.search import RealmFinder, standard_beside

if TYPE_CHECKING:
    from protocol.adaptor import AdaptorLink
    from protocol.words import LogLevel

_ENTER: Final[CodeType] = compile(
    "def enter(function, /, *args): return function(*args)", "<realm>", "exec"
)


class Realm:
    """The modules of an adaptor version.

    Attributes:
        label: ``name@version``.
        path: The directory of all its modules.
        module: The import name of the adaptor itself.
        log: Takes the log lines of the realm.
        lowest: The least important level of the lines that `logging` and `warnings` give to *log*.
        printer: Makes log lines of what the realm prints.
        builtins: The names of the built-in module that code of the realm sees.
        modules: The modules of the realm by name, without standard modules.
        table: The `sys.modules` of the interpreter, which shows one realm at a time.
        meta_path: The finders of the realm.
        enter: Calls a function as code of this realm.

    """

    def __init__(self, link: AdaptorLink, log: records.Log, lowest: LogLevel) -> None:
        self.label = f"{link.name}@{link.version}"
        self.path = link.path
        self.module = link.module
        self.log = log
        self.lowest = lowest
        self.printer = Printer(log)
        # A module of its own, so that names that an adaptor adds to builtins stay in its realm.
        own = ModuleType("builtins", builtins.__doc__)
        own.__dict__.update(builtins.__dict__)
        self.builtins = own.__dict__
        self.builtins["__import__"] = self.import_module
        self.builtins["print"] = self.printer.print
        self.modules: dict[str, ModuleType] = {
            "builtins": own,
            # Libraries look for a script in this module, and the real one belongs to the child.
            "__main__": ModuleType("__main__"),
            FACTS: make_facts_module(),
            COLLECTIONS: make_collections_module(),
        }
        self.table = worlds.install(self)
        self.meta_path: list[Any] = [RealmFinder(self, sys.meta_path)]
        self._beside = set(standard_beside(link.path))
        room: dict[str, Any] = {"__builtins__": self.builtins, "__name__": "realm"}
        # The text is our own; it makes a function whose frames have the builtins of this realm.
        exec(_ENTER, room)  # noqa: S102
        self.enter: Callable[..., Any] = room["enter"]

    def load(self, name: str) -> ModuleType:
        """Import *name* in this realm and return exactly that module.

        Raises:
            BaseException: Any error that the module raises while it is imported.

        """
        module = self.enter(importlib.import_module, name)
        assert isinstance(module, ModuleType)
        return module

    def show(self) -> None:
        """Put the modules of this realm into the interpreter's own table, which C code reads."""
        self.table.make_current(self)

    def import_module(
        self,
        name: str,
        globals: Any = None,  # noqa: A002 - the names of the built-in function
        locals: Any = None,  # noqa: A002 - the names of the built-in function
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        """Do what the built-in ``__import__`` does, for this realm."""
        full = name
        if level and type(globals) is dict and type(globals.get("__package__")) is str:
            base = globals["__package__"].rsplit(".", level - 1)[0]
            full = f"{base}.{name}" if name else base
        module = self.modules.get(full)
        if module is not None and (fromlist or not level) and _has_all(module, fromlist):
            self.show()
            return module if fromlist else self.modules.get(full.partition(".")[0], module)
        if module is None and not level and is_standard(name):
            return self._import_standard(name, globals, locals, fromlist)
        self.show()
        try:
            return self.enter(importlib.__import__, name, globals, locals, fromlist, level)
        finally:
            # The import may have run imports of another realm, and the caller may be C code, which
            # reads the table next.
            self.show()

    def _import_standard(self, name: str, *rest: Any) -> Any:
        top = name.partition(".")[0]
        if top in self._beside:
            self._beside.discard(top)
            self.log(
                "warning",
                "adaptor",
                f"{self.label}: {top!r} lies in its directory but is a standard module;"
                " the standard one is used",
            )
        self.show()
        result = self.enter(worlds.real_import(), name, *rest, 0)
        records.capture(top, self.log, self.lowest)
        self.show()
        return result


def _has_all(module: ModuleType, fromlist: Any) -> bool:
    """Whether *module* is complete, and has the wanted names without another import."""
    spec = module.__dict__.get("__spec__")
    if getattr(spec, "_initializing", False):
        return False
    if not fromlist or "__path__" not in module.__dict__:
        return True
    return all(name in module.__dict__ for name in fromlist)
