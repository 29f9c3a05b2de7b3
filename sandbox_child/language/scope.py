"""The scope in which the code of a job runs: its globals, built-ins, context and imports.

Scopes share only classes and functions that jobs cannot change. Importing this module does not
import the modules that jobs may use, which saves time at the start.
"""

from __future__ import annotations

import builtins
import contextvars
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sandbox_child.language.callbacks import make_guards as make_callback_guards
from sandbox_child.language.facades import Facades
from sandbox_child.language.guards import Guards, make_builtins, make_open_state_guards, make_print
from sandbox_child.language.guards.names import CHAIN_GUARD, UNRUN_GUARD, VERB_GUARD
from sandbox_child.language.imports import make_importer, make_open_importer
from sandbox_child.language.unrun import make_guard as make_unrun_guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType

    from sandbox_child.language.text.missing import MissingKeys

__all__ = ["JobScope", "condition_scope", "make_ground"]


class JobScope:
    """The globals of a step, and the only way to run code in them.

    Args:
        step_id: The step, for the name of the job's module.
        language: False leaves built-ins and imports as in Python; ``print`` still writes to the
            log.
        resolve_import: Returns the view of a module of the repo, or None for other modules.
        importable: Returns the names that *resolve_import* accepts, for the message of a refused
            import.
        in_scope: Names that the job can use without an import.
        log: Takes a level (debug, info, warning, error) and a message.
        show: Returns the value that ``print`` writes in place of another, or None to leave it out.
        warn: Takes a message about an operation: it was never run, or its failure was caught. None
            drops such messages.

    """

    def __init__(
        self,
        *,
        step_id: str,
        language: bool,
        resolve_import: Callable[[str], ModuleType | None],
        importable: Callable[[], Sequence[str]],
        in_scope: Mapping[str, object],
        log: Callable[[str, str], None],
        show: Callable[[object], object] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        ground = _ready.pop() if _ready else _Ground()
        # dataclasses and typing look up classes by their module. So it must be in sys.modules,
        # under a name that an import statement cannot spell.
        self._module = ground.module
        self.globals: dict[str, Any] = ground.module.__dict__
        self.globals["__name__"] = name = f"job:{step_id}"
        self.context = contextvars.Context()
        self.printer, self._flush = make_print(log, show)
        if language:
            ground.guards.name_module(name)
            facades = Facades(ground.guards, self.globals, log)
            safe = ground.builtins
            safe["__import__"] = make_importer(resolve_import, importable, facades)
            safe["print"] = self.printer
        else:
            safe = _open_builtins(make_open_importer(resolve_import), self.printer)
        safe[UNRUN_GUARD] = make_unrun_guard(warn or _ignore)
        safe[CHAIN_GUARD], safe[VERB_GUARD] = make_callback_guards(warn or _ignore)
        # Only public names, because an adaptor could export the name of a guard.
        if in_scope:
            self.globals.update({n: v for n, v in in_scope.items() if not n.startswith("_")})
        self.globals["__builtins__"] = safe
        sys.modules[name] = self._module

    def execute(self, code: CodeType) -> None:
        """Execute *code* in the globals of this scope; errors of the job are raised."""
        try:
            self.context.run(exec, code, self.globals)
        finally:
            self._flush()

    def call(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Return ``function(*args)``, called in the context of this scope."""
        try:
            return self.context.run(function, *args)
        finally:
            self._flush()

    def close(self) -> None:
        """Write out text that ``print`` holds back, and forget the scope; functions still work."""
        self._flush()
        if sys.modules.get(self._module.__name__) is self._module:
            del sys.modules[self._module.__name__]


class _Ground:
    """The parts of a scope that do not depend on its job."""

    __slots__ = ("builtins", "guards", "module")

    def __init__(self) -> None:
        self.module = ModuleType("job:")
        names: dict[str, Any] = self.module.__dict__
        for name in ("__loader__", "__spec__", "__package__", "__doc__"):
            del names[name]
        self.guards = Guards(names)
        self.builtins = make_builtins(self.guards)


_ready: list[_Ground] = []


def make_ground() -> None:
    """Make the ground of a scope now, for the first scope in this process or in a fork.

    Making it looks at every exception class of Python, and a fork copies each object that it looks
    at.
    """
    _ready[:] = [_Ground()]


def condition_scope(language: bool, missing: MissingKeys | None = None) -> dict[str, Any]:
    """Return globals for a condition: built-ins, guards, and JSON's spelling of constants.

    Args:
        language: False leaves the built-ins as in Python.
        missing: Takes note of the missing keys that the condition meets.

    """
    if missing is None:
        from sandbox_child.language.text.missing import MissingKeys  # many runs have no condition

        missing = MissingKeys()
    scope: dict[str, Any] = {"true": True, "false": False, "null": None}
    if language:
        guards = Guards(scope)
        safe = make_builtins(guards)
        safe["__import__"], safe["print"] = _refuse_import, _refuse_print
    else:
        safe = _open_builtins(builtins.__import__, _refuse_print)
    safe.update(missing.readers(safe["_state_attr_"]))
    scope["__builtins__"] = safe
    return scope


def _open_builtins(importer: Callable[..., Any], printer: Callable[..., None]) -> dict[str, Any]:
    state_attr, state_target = make_open_state_guards()
    return {
        **vars(builtins),
        "__import__": importer,
        "print": printer,
        "_state_attr_": state_attr,
        "_state_target_": state_target,
    }


def _ignore(_message: str) -> None:
    pass


def _refuse_import(name: str, *_: Any) -> Any:
    raise ImportError(f"a condition cannot import {name!r}")


def _refuse_print(*_: Any, **__: Any) -> None:
    raise TypeError("a condition cannot print: it is an expression over state")
