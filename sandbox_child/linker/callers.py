"""Finds the realm for which the running code runs."""

from __future__ import annotations

import builtins
import sys
from types import FrameType, ModuleType
from typing import Any, Final, Protocol


class Owner(Protocol):
    """The part of a realm that decides which modules its code sees."""

    modules: dict[str, ModuleType]
    """Its own modules by name; standard ones are not among them."""
    builtins: dict[str, Any]
    meta_path: list[Any]
    """Its finders."""

    def import_module(self, name: str, scope: Any, names: Any, fromlist: Any, level: int, /) -> Any:
        """Import a module like the built-in ``__import__``, but for this realm."""


_OURS: Final = "sandbox_child.linker."
_realms: Final[dict[int, Owner]] = {}
"""Realms by the id of their builtins, which live as long as the process."""


def register(realm: Owner) -> None:
    """Register *realm*: code with its builtins belongs to it."""
    _realms[id(realm.builtins)] = realm


def is_standard(name: str) -> bool:
    """Whether *name* is a module of the standard library, which all realms share."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top.startswith("_sysconfigdata_")


def is_job(name: str) -> bool:
    """Whether *name* is the name of a job's own module, which an import statement cannot spell."""
    return name.startswith("job:")


def calling_realm(frame: FrameType | None) -> Owner | None:
    """Return the realm for which *frame* runs; None for the child's own code.

    Frames of the standard library and of the linker belong to the realm that called them.
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
            and (frame.f_builtins is builtins.__dict__ or is_job(name))
        ):
            return None
        frame = frame.f_back
    return None
