"""Judges names of attributes that a job may use with any object."""

from __future__ import annotations

import types
from typing import Any

from sandbox_child.language.guards.names import (
    DENIED_ATTRIBUTES,
    READABLE_DUNDERS,
    is_reserved,
)
from sandbox_child.language.guards.refusals import JobSecurityError

_FunctionType = types.FunctionType


def check_name(name: object) -> str:
    """Return *name* if a job may ask some object for it.

    Raises:
        TypeError: *name* is not exactly a ``str``; a subclass could change between two looks.
        JobSecurityError: The name leads into the interpreter for every object.

    """
    if type(name) is not str:
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
    if name in DENIED_ATTRIBUTES or (name and is_reserved(name) and name not in READABLE_DUNDERS):
        raise JobSecurityError(f"the attribute {name} is not accessible in a job")
    return name


def checked_keywords(mapping: Any) -> dict[Any, Any]:
    """Return the mapping for ``**`` in a call, with keys that are exactly ``str``.

    A called function may turn a name into an attribute, and Python asks some instances for special
    methods.

    Raises:
        JobSecurityError: A name is special, or leads into the interpreter.
        TypeError: *mapping* is not a mapping.

    """
    if type(mapping) is not dict:
        if not hasattr(type(mapping), "keys"):
            kind = type(mapping).__name__
            raise TypeError(f"argument after ** must be a mapping, not {kind}")
        mapping = dict(mapping)
    for name in mapping:
        if type(name) is not str:
            if not isinstance(name, str):
                raise TypeError("keywords must be strings")
            return checked_keywords({str.__str__(key): item for key, item in mapping.items()})
        if name in DENIED_ATTRIBUTES or (name[:2] == "__" and name[-2:] == "__"):
            raise JobSecurityError(f"{name} cannot be the name of an argument in a job")
    return mapping  # type: ignore[no-any-return]


def asked_for_no_special_name(function: Any) -> Any:
    """Return *function*, the ``__getattr__`` of a job's class, so that it never gets special names.

    Libraries ask objects for ``__dict__`` and similar names, and use the answer without a check.
    """
    bind = None if type(function) is _FunctionType else getattr(type(function), "__get__", None)

    def lookup(self: Any, name: Any) -> Any:
        if type(name) is str and name[:2] == "__" and name[-2:] == "__":
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)
        if bind is not None:
            return bind(function, self, type(self))(name)
        return function(self, name)

    return named(lookup, "__getattr__")


def named(function: Any, name: str) -> Any:
    """Return *function* with the name *name*."""
    function.__name__ = function.__qualname__ = name
    return function
