"""Judges classes: the bases that a job may use, and the names that a pattern may read."""

from __future__ import annotations

import sys
from typing import Any

from sandbox_child.language.guards.names import DENIED_ATTRIBUTES, DYNAMIC_ATTRIBUTES

_MISSING = object()


def clean_match_args(cls: type) -> None:
    """Cut ``__match_args__`` before the first name that jobs may not read of any object.

    A positional pattern reads these names without a guard.
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
    """Raise TypeError if a class statement has *bases* that a job may not use.

    A metaclass would make classes without the checks.  A future gets the context of the task that
    waits for it, with the values that adaptors keep there.

    An object that is not a class names its bases itself.  Python's own objects give the same answer
    each time, and a job cannot get `type` in another way.
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
    """Takes the place of a class whose module was not imported."""


def is_remade(cls: type, job_classes: set[type]) -> bool:
    """Whether a decorator, as dataclass(slots=True), has made *cls* from a class of the job."""
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
