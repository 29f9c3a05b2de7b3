"""Reads classes and instances without running their code.

`getattr`, `isinstance`, `type(value).__name__` and even a look-up in an instance's `__dict__` can
run code of a class, of its metaclass, or of a key that only looks like a text.
"""

from __future__ import annotations

import types
from typing import Any, Final

MISSING: Final = object()
"""Marks an attribute that does not exist."""

COMPUTED: Final = object()
"""Marks an attribute that only code of the class could give."""

_mro_of: Final = type.__dict__["__mro__"].__get__
_members_of: Final = type.__dict__["__dict__"].__get__
_name_of: Final = type.__dict__["__name__"].__get__
_MAX_NAME: Final = 80


def class_name(kind: type) -> str:
    """Return the name of a class, cut and in ASCII."""
    return str(_name_of(kind))[:_MAX_NAME].encode("ascii", "backslashreplace").decode()


def mro(kind: type) -> tuple[type, ...]:
    """Return the classes that *kind* derives from, itself first."""
    found: tuple[type, ...] = _mro_of(kind)
    return found


def members(kind: type) -> dict[str, Any]:
    """Return the attributes that a class itself defines."""
    return _with_text_keys(_members_of(kind))


def class_attribute(kind: type, name: str) -> Any:
    """Return the attribute *name* of a class or of its nearest base, or `MISSING`."""
    for base in mro(kind):
        defined = members(base)
        if name in defined:
            return defined[name]
    return MISSING


def attributes(value: object) -> dict[str, Any]:
    """Return the attributes that an instance has in its `__dict__`."""
    for base in mro(type(value)):
        place = members(base).get("__dict__")
        if place is None:
            continue
        if type(place) is not types.GetSetDescriptorType:
            return {}  # the class computes its `__dict__`
        own = place.__get__(value)
        return _with_text_keys(own) if issubclass(type(own), dict) else {}
    return {}


def attribute(value: object, name: str, own: dict[str, Any]) -> Any:
    """Return one attribute of an instance, or `MISSING`, or `COMPUTED`.

    Args:
        value: The instance.
        name: The name of the attribute.
        own: The result of `attributes` for the instance.

    """
    if name in own:
        return own[name]
    found = class_attribute(type(value), name)
    if type(found) is types.MemberDescriptorType:
        try:
            return found.__get__(value)
        except (AttributeError, TypeError):  # it was not set; it is of another class
            return MISSING
    if found is MISSING:
        return MISSING
    if class_attribute(type(found), "__get__") is not MISSING:
        return COMPUTED
    return found


def _with_text_keys(mapping: Any) -> dict[str, Any]:
    """Return the items under text keys, so that a look-up does not compare other keys."""
    items = dict.items(mapping) if issubclass(type(mapping), dict) else mapping.items()
    return {key: value for key, value in items if type(key) is str}
