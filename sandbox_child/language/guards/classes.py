"""Facts about classes: which bases a job may build on, and which names a pattern may read."""

from __future__ import annotations

import sys
from typing import Any

from sandbox_child.language.guards.names import DENIED_ATTRIBUTES, DYNAMIC_ATTRIBUTES

_MISSING = object()


def clean_match_args(cls: type) -> None:
    """Cut ``__match_args__`` before the first name that no job may read of any object.

    A positional pattern reads these names without any guard.
    """
    for base in cls.__mro__:
        found = type.__dict__["__dict__"].__get__(base).get("__match_args__", _MISSING)
        if found is _MISSING:
            continue
        allowed: list[str] = []
        for name in found if type(found) is tuple else ():
            if type(name) is not str or name[:1] == "_" or name in _UNMATCHED:
                break
            allowed.append(name)
        if type(found) is not tuple or len(allowed) != len(found):
            type.__setattr__(cls, "__match_args__", tuple(allowed))
        return


def refuse_bases(bases: tuple[Any, ...]) -> None:
    """Raise TypeError if a class statement has *bases* that no job may build on.

    A class that makes classes makes them past the checks.  A future is handed the context of the task that
    waits for it, with what adaptors keep there.

    An object that is no class says by itself what it stands for.  Those of Python say the same each time, and a
    job has no other way to get hold of `type`.
    """
    future = getattr(sys.modules.get("asyncio"), "Future", _Unloaded)
    for base in bases:
        if not isinstance(base, type):
            entries = getattr(base, "__mro_entries__", None)
            stands_for = entries(bases) if entries is not None else ()
        else:
            stands_for = (base,)
        for entry in stands_for:
            if isinstance(entry, type) and issubclass(entry, type):
                raise TypeError("a job cannot define a metaclass")
            if isinstance(entry, type) and issubclass(entry, future):
                raise TypeError(f"a job cannot subclass {entry.__name__}: await it as it is")


class _Unloaded:
    """Stands for a class of a module that nobody has imported."""


def is_remade(cls: type, job_classes: set[type]) -> bool:
    """Whether a decorator built *cls* anew from a class of the job, as dataclass(slots=True)."""
    return any(
        old.__qualname__ == cls.__qualname__ and old.__bases__ == cls.__bases__
        for old in job_classes
        if old.__module__ == cls.__module__
    )


def _plain_classes() -> frozenset[type]:
    import abc
    import builtins

    classes = {value for value in vars(builtins).values() if isinstance(value, type)}
    return frozenset((classes | {abc.ABC}) - {type, super})


KNOWN_BASES = _plain_classes()
PLAIN_EXCEPTIONS = frozenset(
    cls for cls in KNOWN_BASES if issubclass(cls, BaseException) and cls is not BaseExceptionGroup
)
_UNMATCHED = DENIED_ATTRIBUTES | DYNAMIC_ATTRIBUTES
