"""Notices that an adaptor changes what all adaptors and jobs of a process share.

A warm zygote imports the adaptors of all steps before the first step.  In a cold run, an adaptor is imported
by the first step that has it.  Its own modules are nobody else's, but a changed standard module would
be seen by earlier steps.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from types import ModuleType
from typing import Any, Final

_Seen = dict[str, Any]

_OURS: Final = {
    "sys": ("meta_path", "modules"),
    "traceback": ("walk_stack", "walk_tb"),
    "warnings": ("showwarning",),
}
"""Names that the linker replaces when the first adaptor is imported."""


def shared_state() -> _Seen:
    """Return what is shared: the public names of standard modules, and settings of the interpreter."""
    modules = {
        name: {
            key: value
            for key, value in tuple(vars(module).items())
            if key[:1] != "_" and key not in _OURS.get(name, ())
        }
        for name, module in tuple(sys.modules.items())
        if _is_standard(name) and isinstance(module, ModuleType)
    }
    return {
        "modules": modules,
        "the environment": dict(os.environ),
        "the limit of recursion": sys.getrecursionlimit(),
        "the collector of garbage": gc.isenabled(),
        "the standard streams": (sys.stdout, sys.stderr),
        "the handlers of signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "the handlers of the root logger": _handlers(),
        "the filters of warnings": _filters(),
    }


def changed(before: _Seen) -> str | None:
    """Return what has changed since, in words, or nothing."""
    if not before:
        return None
    now = shared_state()
    for name, was in before.pop("modules").items():
        for key, value in now["modules"].get(name, {}).items():
            if _is_patch(value, was.get(key, _MISSING)):
                return f"{key!r} of the standard module {name}"
    return next((what for what, was in before.items() if now[what] != was), None)


def _handlers() -> list[object]:
    logging = sys.modules.get("logging")
    if logging is None:
        return []
    handlers = logging.getLogger().handlers
    return [one for one in handlers if not type(one).__module__.startswith("sandbox_child.")]


def _filters() -> list[object]:
    """Return the filters that hold for warnings of all code.

    A library often has a filter for a class or a text of its own, which no other code is likely to warn with.
    """
    return [
        one
        for one in warnings.filters
        if one[1] is None and one[3] is None and one[2].__module__ == "builtins"
    ]


_MISSING: Final = object()


def _is_patch(value: Any, was: Any) -> bool:
    """Return whether a value was not put there by the standard library itself.

    Standard modules rebind data of their own when they are used, and some make their classes late.
    """
    if value is was or isinstance(value, ModuleType):
        return False
    if was is _MISSING:
        return not _is_standard(str(getattr(value, "__module__", "") or ""))
    return callable(value) or callable(was)


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names
