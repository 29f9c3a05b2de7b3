"""The guards of a scope for reading attributes.

They judge private names, and the public names that are a way out on some objects
(``names.DYNAMIC_ATTRIBUTES``).  `guards` knows the classes of the scope.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, NoReturn

from sandbox_child.language.guards.classes import KNOWN_BASES
from sandbox_child.language.guards.names import CONSTRUCTORS, COPIED_ATTRIBUTES, READABLE_PRIVATE
from sandbox_child.language.guards.refusals import JobSecurityError
from sandbox_child.language.guards.templates import format_method

if TYPE_CHECKING:
    from collections.abc import Callable

    IsOwn = Callable[[Any], bool]
    MayRead = Callable[[Any, str], bool]

__all__ = ["label", "make_attr", "make_is_registrable", "make_may_read", "make_own"]

_FunctionType = types.FunctionType
_MethodType = types.MethodType
_ModuleType = types.ModuleType
_FORMATTERS = frozenset({"string", "collections"})
"""Modules whose ``format``, ``get_field`` and ``vformat`` read attributes by themselves."""

_class_of_super = super.__dict__["__self_class__"].__get__
_target_of_super = super.__dict__["__self__"].__get__


def make_may_read(
    scope_globals: dict[str, Any],
    *,
    is_own: IsOwn,
    job_classes: set[type],
    open_classes: set[type],
    known_bases: set[type],
) -> MayRead:
    """Return the guard that decides whether the job may read a private name of an object.

    Args:
        scope_globals: The globals of the job, which identify its functions.
        is_own: Returns whether an object is an instance, a class or a function of the job.
        job_classes: The classes of the job.
        open_classes: Those of them without a foreign base.
        known_bases: Classes without private attributes, besides `KNOWN_BASES`.

    """
    own_names: dict[tuple[type, str], bool] = {}

    def is_private_readable(target: Any) -> bool:
        kind = type(target)
        if kind is _FunctionType:
            return target.__globals__ is scope_globals
        if kind is super:
            return _class_of_super(target) in open_classes
        return is_own(target) and (target if isinstance(target, type) else kind) in open_classes

    def is_own_name(target: Any, name: str) -> bool:
        """Whether *name* of a job's class with foreign bases belongs to the job."""
        kind = _class_of_super(target) if type(target) is super else type(target)
        cls = target if isinstance(target, type) else kind
        if not is_own(cls):
            return False
        key = (cls, name)
        if key not in own_names:
            own_names[key] = _is_defined_by(job_classes, known_bases, cls, name)
        return own_names[key]

    def may_read(target: Any, name: str) -> bool:
        return (
            type(target) in open_classes or is_private_readable(target) or is_own_name(target, name)
        )

    return may_read


def make_own(may_read: MayRead, write: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return the guard for reading private names of an object, or writing its attributes."""

    def own(target: Any, *names: str) -> Any:
        for name in names:
            if not may_read(target, name):
                _refuse(target, name)
        return target if names else write(target)

    return own


def make_is_registrable(job_classes: set[type], registries: set[Any]) -> Callable[[Any], bool]:
    """Return a function that decides whether ``register`` changes only the job's own objects."""

    def is_registrable(target: Any) -> bool:
        if isinstance(target, type):
            # A shared abstract base remembers the classes that were registered with its subclasses.
            return target in job_classes and all(
                base in job_classes or type(base) is type for base in target.__mro__
            )
        kind = type(target)
        if kind in job_classes or kind in registries:
            return True
        return kind is _FunctionType and target in registries

    return is_registrable


def make_attr(
    may_read: MayRead, is_own: IsOwn, is_registrable: Callable[[Any], bool]
) -> Callable[[Any, str], Any]:
    """Return the guard that reads an attribute whose name alone does not decide about it.

    Args:
        may_read: See `make_may_read`.
        is_own: Returns whether an object is the job's.
        is_registrable: See `make_is_registrable`.

    """

    def read_register(target: Any) -> Any:
        value = target.register
        if is_registrable(target) or not _is_registry(target, value):
            return value
        raise JobSecurityError(
            f"register of {label(target)} would change it for other steps as well"
        )

    special = {
        "register": read_register,
        "obj": _read_obj,
        "evaluate": _read_evaluate,
        "parser": _read_parser,
    }

    def attr(target: Any, name: str) -> Any:
        if name[0] == "_":
            if may_read(target, name) or _is_harmless(target, name):
                return getattr(target, name)
            _refuse(target, name)
        read = special.get(name)
        if read is not None:
            return read(target)
        value = getattr(target, name)
        if name in COPIED_ATTRIBUTES:
            return _own_copy(is_own, target, value)
        return _without_lookups(is_own, target, name, value)

    return attr


def _refuse(target: Any, name: str) -> NoReturn:
    raise JobSecurityError(f"{name} is private to {label(target)}, which this job did not define")


def _is_harmless(target: Any, name: str) -> bool:
    """Whether every job may read this private name of such an object."""
    if name in READABLE_PRIVATE and _is_named_tuple(target):
        return True
    return (
        name in CONSTRUCTORS
        and type(target) is super
        # `super()` of a class gives the function itself, which accepts any object.
        and not isinstance(_target_of_super(target), type)
    )


def _read_obj(target: Any) -> Any:
    if isinstance(_owner(target), AttributeError):
        raise JobSecurityError("the object behind an AttributeError is private")
    return target.obj


def _read_evaluate(target: Any) -> Any:
    value = target.evaluate
    if type(getattr(value, "__self__", None)).__name__ == "ForwardRef":
        raise JobSecurityError("evaluate of an annotation would run its text")
    return value


def _read_parser(target: Any) -> Any:
    value = target.parser
    # A module that a job reads from a module belongs to a facade.
    if isinstance(value, _ModuleType) and not isinstance(target, _ModuleType):
        raise JobSecurityError(f"parser of {label(target)} is a module of Python")
    return value


def _without_lookups(is_own: IsOwn, target: Any, name: str, value: Any) -> Any:
    """Return *value*, or a safe form of it if the method formats text.

    Raises:
        JobSecurityError: The method reads attributes that a text names, and has no safe form.

    """
    safe = format_method(value)
    if safe is not None:
        return safe
    function = value.__func__ if type(value) is _MethodType else value
    if (
        type(function) is _FunctionType
        and function.__globals__.get("__name__") in _FORMATTERS
        and not is_own(function)
    ):
        raise JobSecurityError(
            f"{name} of {label(target)} reads attributes that a string names; "
            "use str.format or an f-string"
        )
    return value


def _is_defined_by(job_classes: set[type], known_bases: set[type], cls: type, name: str) -> bool:
    """Whether only the job uses the private *name* in *cls* and its bases.

    Python does not record which class has made an attribute of an instance.  But a class that keeps
    a value under a name uses that name in its methods.  A name that a foreign base uses stays
    foreign even if the job defines it too, because `super()` still finds the base's value.
    """
    return not any(
        name in base.__dict__ or any(map(_says(name), base.__dict__.values()))
        for base in cls.__mro__
        if base not in job_classes and base not in known_bases and base not in KNOWN_BASES
    )


def _says(name: str) -> Callable[[Any], bool]:
    def said_by_code(code: types.CodeType) -> bool:
        return name in code.co_names or any(
            constant == name if type(constant) is str else said_by_code(constant)
            for constant in code.co_consts
            if type(constant) in (str, types.CodeType)
        )

    def said_by(member: Any) -> bool:
        if isinstance(member, property):
            return any(map(said_by, (member.fget, member.fset, member.fdel)))
        while hasattr(member, "__wrapped__") or isinstance(member, classmethod | staticmethod):
            member = getattr(member, "__wrapped__", None) or member.__func__
        return type(member) is _FunctionType and said_by_code(member.__code__)

    return said_by


def _owner(target: Any) -> Any:
    """Return the object that has the attributes of *target*; ``list[int]`` asks another one."""
    if type(target) is super:
        return _target_of_super(target)
    while _FORWARDING & {(base.__module__, base.__name__) for base in type(target).__mro__}:
        target = target.__origin__
    return target


_FORWARDING = {("types", "GenericAlias"), ("typing", "_BaseGenericAlias")}


def _own_copy(is_own: IsOwn, target: Any, value: Any) -> Any:
    """Return a copy of *value* if it is, or shows, a dict that the maker of *target* still uses.

    An operator of a job's object gets the dict behind a mapping proxy (``proxy | o``).  Names of
    arguments are checked before a partial function keeps them.
    """
    if type(value) is types.MappingProxyType:
        return types.MappingProxyType(dict(value))
    owner = _owner(target)
    bases = (owner if isinstance(owner, type) else type(owner)).__mro__
    if type(value) is dict and (
        not is_own(owner) or any(base.__module__ in ("contextlib", "functools") for base in bases)
    ):
        return dict(value)
    return value


def _is_named_tuple(target: Any) -> bool:
    return issubclass(target if isinstance(target, type) else type(target), tuple)


def _is_registry(target: Any, value: Any) -> bool:
    """Whether *value* is the ``register`` of an abstract class or of a dispatching function."""
    if isinstance(target, type) or type(target) is _FunctionType:
        return True
    module = getattr(getattr(value, "__func__", value), "__module__", None)
    return module in ("abc", "_abc", "_py_abc", "functools", "typing", "types", "atexit")


def label(target: Any) -> str:
    """Return the name of *target* for an error."""
    if isinstance(target, type):
        return f"the class {target.__name__!r}"
    if isinstance(target, types.ModuleType):
        return "its module"
    return f"{type(target).__name__!r}"
