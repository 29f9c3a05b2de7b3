"""Facades of modules that make or change classes: abc, collections, enum, typing.

Each refuses to change a class that the job did not define, because the next step would see the
change.
"""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards import TypeFacade
from sandbox_child.language.guards.names import is_reserved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox_child.language.facades import Facades


def require_own_class(facades: Facades, cls: Any, who: str) -> None:
    """Raise TypeError if *cls* is not a class that this scope's code has defined."""
    if cls not in facades.guards.job_classes:
        label = cls.__name__ if isinstance(cls, type) else type(cls).__name__
        raise TypeError(f"{who} takes a class that the job defined, not {label!r}")


def without_metaclass(value: Any) -> Any:
    """Return *value*, or the facade of `type` for a class that makes classes, or for `type[X]`."""
    origin = typing_origin(value)
    if isinstance(origin, type) and issubclass(origin, type):
        return TypeFacade[value.__args__]
    return TypeFacade if isinstance(value, type) and issubclass(value, type) else value


def typing_origin(value: Any) -> Any:
    """Return the part before the brackets of a type such as ``list[int]``, or None."""
    return value.__origin__ if type(value).__name__ in ("GenericAlias", "_GenericAlias") else None


def make_abc(facades: Facades) -> dict[str, Any]:
    """Return an ABC of the scope, which remembers the classes that are registered below it."""
    import abc

    def abstractmethod(funcobj: Any) -> Any:
        # Python's own leaves a mark on any object, even on a function that others use.
        is_own = facades.guards.is_own
        if (
            is_own(funcobj)
            or isinstance(funcobj, property | classmethod | staticmethod)
            or type(funcobj).__module__ == "functools"
            or is_own(getattr(funcobj, "__wrapped__", None))
        ):
            return abc.abstractmethod(funcobj)
        raise TypeError(
            f"abstractmethod takes a function of the job, not {type(funcobj).__name__!r}"
        )

    namespace = {"__slots__": (), "__module__": "abc", "__doc__": abc.ABC.__doc__}
    own = abc.ABCMeta("ABC", (), namespace)
    facades.guards.register_class(own)
    return {"ABC": own, "abstractmethod": abstractmethod}


def make_collections(facades: Facades) -> dict[str, Any]:
    """Return a namedtuple that makes classes of the job's own."""
    import collections

    facades.guards.known_bases.update(
        (collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque)
    )
    facades.guards.known_bases.update((collections.UserDict, collections.UserList))
    _know_abstract_bases(facades)

    def namedtuple(
        typename: str,
        field_names: str | Iterable[str],
        *,
        rename: bool = False,
        defaults: Iterable[Any] | None = None,
    ) -> type:
        make: Any = collections.namedtuple  # noqa: PYI024 - Any, as the names are not literal
        made: type = make(
            typename,
            field_names,
            rename=rename,
            defaults=defaults,
            module=facades.globals["__name__"],
        )
        facades.guards.register_class(made)
        return made

    return {"namedtuple": namedtuple}


def _know_abstract_bases(facades: Facades) -> None:
    import collections.abc

    abstract = (getattr(collections.abc, name) for name in collections.abc.__all__)
    facades.guards.known_bases.update(cls for cls in abstract if isinstance(cls, type))


def make_collections_abc(facades: Facades) -> dict[str, Any]:
    """Return no replacements; note that these bases have no private attributes."""
    _know_abstract_bases(facades)
    return {}


def make_enum(facades: Facades) -> dict[str, Any]:
    """Return no replacements, but keep ``Enum("Name", members)`` from adding special names.

    A subclass of Enum of our own would break ``isinstance(HTTPStatus.OK, Enum)`` and encoders that
    look at the metaclass.  So the check is put into the real class; other code does not do what it
    refuses.
    """
    import enum

    if "_create_" not in enum.Enum.__dict__:
        type.__setattr__(enum.Enum, "_create_", classmethod(_create_checked))
    # Not enum.property: an object of a job's subclass of it could read any name of any class.
    facades.guards.known_bases.update(
        (enum.Enum, enum.IntEnum, enum.StrEnum, enum.Flag, enum.IntFlag, enum.ReprEnum)
    )
    return {"property": property}


def _create_checked(cls: type[Any], /, class_name: Any, names: Any, **options: Any) -> Any:
    import enum

    return enum.EnumType._create_(  # type: ignore[attr-defined]  # what Enum(...) calls
        cls, class_name, _checked_members(names), **options
    )


def _checked_members(names: Any) -> list[Any]:
    if isinstance(names, str):
        names = str.__str__(names).replace(",", " ").split()
    elif hasattr(names, "items"):
        names = names.items()
    members = [member if isinstance(member, str) else tuple(member) for member in names]
    for member in members:
        name = member if isinstance(member, str) else member[0]
        if type(name) is not str:
            raise TypeError("the name of an enum member must be a string")
        if name.startswith("_"):
            raise ValueError(f"the name of an enum member cannot begin with an underscore: {name}")
    return members


class _Factory:
    """A function that can also be the base in a class statement."""

    _real: Any
    """The object of Python with this name, which a job must not get."""

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        real = type(self)._real  # noqa: SLF001 - of a subclass of this one
        entries: tuple[type, ...] = real.__mro_entries__(
            tuple(real if base is self else base for base in bases)
        )
        return entries


def check_fields(names: Iterable[Any], who: str) -> None:
    """Raise ValueError if a name is not a public identifier: Python builds code from names."""
    for name in names:
        if type(name) is not str or not name.isidentifier() or iskeyword(name) or is_reserved(name):
            shown = f"{name!r:.60}" if type(name) is str else f"a {type(name).__name__}"
            raise ValueError(f"a field of {who} is named by an identifier, not {shown}")


def make_typing(facades: Facades) -> dict[str, Any]:
    """Return the decorators of typing, for classes and functions of the job."""
    import typing

    facades.guards.known_bases.update((typing.Generic, typing.Protocol))
    _know_abstract_bases(facades)

    def runtime_checkable(cls: Any) -> Any:
        require_own_class(facades, cls, "runtime_checkable")
        return typing.runtime_checkable(cls)

    def unchanged(target: Any, /) -> Any:
        return target

    def get_origin(annotation: Any) -> Any:
        return without_metaclass(typing.get_origin(annotation))

    def get_args(annotation: Any) -> tuple[Any, ...]:
        return tuple(map(without_metaclass, typing.get_args(annotation)))

    class NamedTuple(_Factory):
        """Replaces `typing.NamedTuple`, as a base and as a function."""

        _real = typing.NamedTuple

        def __call__(self, typename: str, fields: Any = (), /) -> type:
            pairs = [(name, kind) for name, kind in fields]
            check_fields((name for name, _ in pairs), "NamedTuple")
            made: type = typing.NamedTuple(typename, pairs)  # type: ignore[misc]  # not literal
            type.__setattr__(made, "__module__", facades.globals["__name__"])
            facades.guards.register_class(made)
            return made

    class TypedDict(_Factory):
        """Replaces `typing.TypedDict`, as a base and as a function."""

        _real = typing.TypedDict

        def __call__(self, typename: str, fields: Any = (), /, *, total: bool = True) -> Any:
            kinds = dict(fields)
            check_fields(kinds, "TypedDict")
            made: Any = typing.TypedDict(typename, kinds, total=total)  # type: ignore[misc]  # not literal
            type.__setattr__(made, "__module__", facades.globals["__name__"])
            return made

    # Python's overload remembers every function in a table of the process. final and override leave
    # a mark that only a type checker reads.
    return {
        "NamedTuple": NamedTuple(),
        "TypedDict": TypedDict(),
        "Type": TypeFacade,
        "final": unchanged,
        "get_args": get_args,
        "get_origin": get_origin,
        "no_type_check": unchanged,
        "overload": unchanged,
        "override": unchanged,
        "runtime_checkable": runtime_checkable,
    }
