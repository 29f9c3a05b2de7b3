"""The plain form of an object with fields: a dataclass, an attrs class or a msgspec struct.

The result is that of `msgspec.to_builtins`, one level deep, and without running code of the class.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from protocol import static

_STRUCT_META: Final = type(msgspec.Struct)
_fields_of: Final = _STRUCT_META.__dict__["__struct_fields__"].__get__
_copy: Final = msgspec.Struct.__copy__  # type: ignore[attr-defined]  # it is made in C
_SIMPLE: Final = frozenset({type(None), bool, int, float, str, bytes})


class ComputedFieldError(Exception):
    """Only code of the class could give the value of the field ``args[0]``."""


def fields_of(value: object) -> dict[str, Any] | list[Any] | None:
    """Return the plain form of *value*; the values of its fields stay as they are.

    Returns:
        The plain form, or None if *value* is not an object with fields.

    Raises:
        ComputedFieldError: Reading a field would run code of the class.

    """
    kind = type(value)
    if issubclass(kind, msgspec.Struct):
        return _of_struct(value)
    names = _names(kind)
    if names is None:
        return None
    own = static.attributes(value)
    found: dict[str, Any] = {}
    for name in names:
        item = static.attribute(value, name, own)
        if item is static.COMPUTED:
            raise ComputedFieldError(name)
        # A default value that only the class holds is left out, as msgspec does it.
        if item is not static.MISSING and (name in own or _in_slot(kind, name)):
            found[name] = item
    return found


def _names(kind: type) -> list[str] | None:
    names: Iterable[Any]
    fields = static.class_attribute(kind, "__dataclass_fields__")
    if type(fields) is dict:
        names = [name for name, field in fields.items() if _is_field(field)]
    else:
        attrs = static.class_attribute(kind, "__attrs_attrs__")
        if not issubclass(type(attrs), tuple):
            return None
        names = [_read(item, "name") for item in tuple.__iter__(attrs)]
    return [name for name in names if type(name) is str]


def _is_field(field: object) -> bool:
    """Whether a dataclass counts this as a field, and not as a class variable or an `InitVar`."""
    return bool(_read(_read(field, "_field_type"), "name") == "_FIELD")


def _read(value: object, name: str) -> Any:
    found = static.attribute(value, name, static.attributes(value))
    return found if type(found) is str or name.startswith("_") else None


def _in_slot(kind: type, name: str) -> bool:
    return type(static.class_attribute(kind, name)) is types.MemberDescriptorType


def _of_struct(value: Any) -> dict[str, Any] | list[Any] | None:
    """Let msgspec write a copy in which a mark replaces each value that is not simple.

    So msgspec decides about names, tags and omitted fields, but never sees the values of the
    fields.
    """
    kind = type(value)
    marks: dict[str, Any] = {}
    copied = _copy(value)
    for name in _fields_of(kind):
        if not _in_slot(kind, name):
            raise ComputedFieldError(name)
        item = static.attribute(value, name, {})
        if type(item) in _SIMPLE or (type(item) in (list, dict, set) and not item):
            continue
        mark = f"\0{len(marks)}"
        marks[mark] = item
        msgspec.structs.force_setattr(copied, name, mark)
    plain = msgspec.to_builtins(copied, builtin_types=(bytes,))
    if type(plain) is list:
        return [_unmarked(item, marks) for item in plain]
    return {key: _unmarked(item, marks) for key, item in plain.items()}


def _unmarked(item: Any, marks: dict[str, Any]) -> Any:
    return marks.get(item, item) if type(item) is str else item
