"""Checks that every class of this process existed before the job, or belongs to a module.

The check takes a third of a millisecond, so it pays only before a larger piece of work.
"""

from __future__ import annotations

import sys
import types
from typing import Final

from protocol import static

_subclasses: Final = type.__dict__["__subclasses__"]

_known: dict[int, type] = {}
"""Classes by id, because a metaclass could have a hash of its own."""
_noted: bool = False


def know_all() -> None:
    """Take note of all classes that exist: from now on, a new class may belong to a job."""
    global _noted  # noqa: PLW0603 - one process runs one job at a time
    _noted = True
    _known.clear()
    _known.update(_all_classes())


def all_are_known() -> bool:
    """Whether it is certain that no class belongs to a job.

    It is, in a process that does not run jobs.
    """
    if not _noted:
        return True
    for number, kind in _all_classes().items():
        if number not in _known:
            if not _is_of_a_module(kind):
                return False
            _known[number] = kind
    return True


def _all_classes() -> dict[int, type]:
    """Return all classes by id."""
    found: dict[int, type] = {id(object): object}
    level: list[type] = [object]
    while level:
        below = {id(kind): kind for parent in level for kind in _subclasses(parent)}
        level = [kind for number, kind in below.items() if number not in found]
        found.update(below)
    return found


def _is_of_a_module(kind: type) -> bool:
    name = static.members(kind).get("__module__")
    module = sys.modules.get(name) if type(name) is str else None
    if type(module) is not types.ModuleType:
        return False
    return any(item is kind for item in vars(module).values())
