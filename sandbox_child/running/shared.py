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
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_Seen = dict[str, Any]

_OURS: Final = {
    "sys": ("meta_path", "modules"),
    "traceback": ("walk_stack", "walk_tb"),
    "warnings": ("showwarning",),
}
"""Names that the linker replaces when the first adaptor is imported."""

_SETTINGS: Final[dict[str, Callable[[Any], object]]] = {
    "socket": lambda module: module.getdefaulttimeout(),
    "ssl": lambda module: _foreign(module._create_default_https_context),  # noqa: SLF001 - many replace it
    "_locale": lambda module: module.setlocale(module.LC_ALL, None),
}
"""For a module: how to read its setting, which is None, or the module is always loaded."""


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
        "the level of the root logger": _level(),
        "the display of warnings": _foreign(warnings.showwarning),
        "the functions for traces and profiles": (sys.gettrace(), sys.getprofile()),
        "the path of modules": tuple(sys.path),
        "a limit of the interpreter": (sys.getswitchinterval(), sys.get_int_max_str_digits()),
        "a setting of a standard module": _settings(),
        "a class of a standard module": {
            (name, key): _methods(value)
            for name, names in modules.items()
            for key, value in names.items()
            if isinstance(value, type) and value.__module__ == name
        },
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
    classes = now.pop("a class of a standard module")
    for (name, key), was in before.pop("a class of a standard module").items():
        for method, value in classes.get((name, key), {}).items():
            if _is_patch(value, was.get(method, _MISSING)):
                return f"{method!r} of {key} in the standard module {name}"
    return next((what for what, was in before.items() if now[what] != was), None)


def _level() -> tuple[int, int] | None:
    """Return the level of the root logger and the one that is disabled; None if they are Python's or ours."""
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    level, disabled = logging.root.level, logging.root.manager.disable
    ours = len(_handlers()) != len(logging.root.handlers)
    usual = level - 1 if ours else logging.NOTSET  # see sandbox_child.linker.records
    return None if disabled == usual and (ours or level == logging.WARNING) else (level, disabled)


def _settings() -> list[object]:
    """Return settings that standard modules keep in names of their own, or in C."""
    found: list[object] = []
    for name, read in _SETTINGS.items():
        module = sys.modules.get(name)
        found.append(None if module is None else read(module))
    return found


def _foreign(function: object) -> object:
    """Return a function, or None if it is one of Python or ours."""
    name = str(getattr(function, "__module__", "") or "")
    return None if _is_standard(name) or _is_ours(function) else function


def _is_ours(function: object) -> bool:
    """Return whether the linker has put a function there, when the first adaptor was imported."""
    return str(getattr(function, "__module__", "") or "").startswith("sandbox_child.")


def _methods(cls: type) -> dict[str, Any]:
    return {
        name: value for name, value in vars(cls).items() if callable(value) and name != "__class__"
    }


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
    if value is was or isinstance(value, ModuleType) or _is_ours(value):
        return False
    if was is _MISSING:
        return not _is_standard(str(getattr(value, "__module__", "") or ""))
    return callable(value) or callable(was)


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names
