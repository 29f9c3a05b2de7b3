"""The facade of dataclasses: it reads and copies only fields that a job may read and copy."""

from __future__ import annotations

from types import FunctionType, MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from sandbox_child.language.facades.classes import (
    check_fields,
    require_own_class,
    without_metaclass,
)
from sandbox_child.language.guards import JobSecurityError

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades

_MISSING = object()


def make_dataclasses(facades: Facades) -> dict[str, Any]:
    """Return a decorator for classes of the job, and functions with the job's rights to read."""
    import dataclasses

    def decorate(cls: Any, options: dict[str, Any]) -> Any:
        require_own_class(facades, cls, "dataclass")
        names = getattr(cls, "__annotations__", {})
        check_fields(names, "dataclass")
        _check_inherited_defaults(facades, cls, names)
        # With slots=True, hooks of the job run while the class is made anew.  At that moment, no
        # list of names may contain a private name.
        wants_match_args = options.pop("match_args", True)
        made = dataclasses.dataclass(match_args=False, **options)(cls)
        if wants_match_args and "__match_args__" not in made.__dict__:
            found = dataclasses.fields(made)
            positional = tuple(field.name for field in found if field.init and not field.kw_only)
            type.__setattr__(made, "__match_args__", positional)
        facades.guards.register_class(made)  # slots=True makes another class
        return made

    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        if cls is None:
            return lambda cls: decorate(cls, dict(options))
        return decorate(cls, options)

    def field(**options: Any) -> Any:
        made = dataclasses.field(**options)
        made.metadata = MappingProxyType(dict(made.metadata))
        return made

    def fields(class_or_instance: Any) -> tuple[Any, ...]:
        return tuple(map(_copied, dataclasses.fields(class_or_instance)))

    return {"dataclass": dataclass, "field": field, "fields": fields, **_make_converters(facades)}


def _check_inherited_defaults(facades: Facades, cls: Any, names: Any) -> None:
    """Refuse a field that would take as its default a base's attribute that jobs may not read.

    Python looks for the default of a field with ``getattr(cls, name)``.
    """
    for name in names:
        if name in cls.__dict__:
            continue
        default = getattr(cls, name, _MISSING)
        if default is not _MISSING and facades.guards.getattr(cls, name, _MISSING) is not default:
            raise JobSecurityError(
                f"the field {name} would take the attribute {name} of a base of {cls.__name__!r} "
                "as its default; give it a default of its own"
            )


def _copied(field: Any) -> Any:
    """Return a copy of *field*: Python's object and its empty `metadata` are shared."""
    import copy

    own = copy.copy(field)
    own.metadata = MappingProxyType(dict(field.metadata))
    own.type = without_metaclass(field.type)
    return own


def _make_converters(facades: Facades) -> dict[str, Any]:
    """Return asdict and astuple with the job's `getattr` and `deepcopy`.

    Python's functions read every field, even a private field of an adaptor, and copy with Python's
    `deepcopy`, which asks instances for special methods.  These are the same functions with other
    globals.
    """
    import dataclasses

    copies = facades.get("copy")
    assert copies is not None
    namespace = {
        **vars(dataclasses),
        "copy": SimpleNamespace(deepcopy=copies.deepcopy),
        "getattr": facades.guards.getattr,
    }
    for name in ("asdict", "_asdict_inner", "astuple", "_astuple_inner"):
        real = namespace[name]
        made = FunctionType(real.__code__, namespace, name, real.__defaults__, real.__closure__)
        made.__kwdefaults__ = real.__kwdefaults__
        namespace[name] = made
    return {"asdict": namespace["asdict"], "astuple": namespace["astuple"]}
