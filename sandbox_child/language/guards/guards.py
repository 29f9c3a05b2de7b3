"""The guards that compiled jobs call at run time, as closures over the classes of a scope.

Names are judged when a job is compiled. At run time the guards judge objects: whether a job may
write to them or read their private names. A few public names are a way out on some objects
(``names.DYNAMIC_ATTRIBUTES``).

    object                              write attributes      read _private
    instance or class of the job        yes                   if all its bases are ours to know
    function of the job                 yes                   yes
    SimpleNamespace, Element, ...       yes                   no
    anything else                       no                    no
"""

from __future__ import annotations

import builtins
import types
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards.attributes import check_name, checked_keywords, named
from sandbox_child.language.guards.classes import (
    KNOWN_BASES,
    PLAIN_EXCEPTIONS,
    clean_match_args,
    is_remade,
    refuse_bases,
)
from sandbox_child.language.guards.dotted import make_state_guards
from sandbox_child.language.guards.names import (
    DEFINABLE_DUNDERS,
    DYNAMIC_ATTRIBUTES,
    READABLE_DUNDERS,
)
from sandbox_child.language.guards.reading import (
    label,
    make_attr,
    make_is_registrable,
    make_may_read,
    make_own,
)
from sandbox_child.language.guards.refusals import JobSecurityError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Guards"]

_FunctionType = types.FunctionType

_MISSING = object()
_build_class = builtins.__build_class__


class Guards:
    """The guards of a scope; every attribute is a plain function, or a set that they share.

    Bound methods would take twice the time of a closure, and would give a job access to their
    owner.
    """

    __slots__ = (
        "attr",
        "build_class",
        "class_done",
        "delattr",
        "getattr",
        "hasattr",
        "is_own",
        "job_classes",
        "keywords",
        "known_bases",
        "name_module",
        "open_classes",
        "own",
        "register_class",
        "registries",
        "setattr",
        "state_attr",
        "state_target",
        "super",
        "writable",
        "write",
    )

    job_classes: set[type]
    """Classes that this scope's code has defined."""
    open_classes: set[type]
    """Those of them without a foreign base, whose private names are the job's own."""
    known_bases: set[type]
    """Classes without private attributes, besides `KNOWN_BASES`; a job's subclass of any of them is still
    the job's own."""
    writable: set[type]
    """Types of ours whose attributes a job may set; facades add their own."""
    registries: set[Any]
    """Dispatchers that this scope has made; their ``register`` does not change shared objects."""
    name_module: Callable[[str], None]
    """Sets the name of the job's module, before the job has a class."""
    is_own: Callable[[Any], bool]
    build_class: Callable[..., Any]
    """Makes the classes of class statements."""
    register_class: Callable[[Any], Any]
    class_done: Callable[[Any], Any]
    write: Callable[[Any], Any]
    attr: Callable[[Any, str], Any]
    own: Callable[..., Any]
    """Returns its first argument if the job may read the given private names of it."""
    keywords: Callable[[Any], Any]
    """Returns the mapping of a call's ``**``, if its keys are not special names."""
    super: Callable[[Any, Any], Any]
    """Returns ``super(cls, target)`` for a class of the job."""
    state_attr: Callable[[Any, str], Any]
    state_target: Callable[[Any], Any]
    getattr: Callable[..., Any]
    hasattr: Callable[[Any, Any], bool]
    setattr: Callable[[Any, Any, Any], None]
    delattr: Callable[[Any, Any], None]

    def __init__(self, scope_globals: dict[str, Any]) -> None:
        self.job_classes = set()
        self.open_classes = set()
        self.known_bases = set()
        self.writable = {types.SimpleNamespace}
        self.registries = set()
        self._make_registration()
        self._make_class_guards(scope_globals)
        self._make_write_guards()
        may_read = make_may_read(
            scope_globals,
            is_own=self.is_own,
            job_classes=self.job_classes,
            open_classes=self.open_classes,
            known_bases=self.known_bases,
        )
        self.own = make_own(may_read, self.write)
        registrable = make_is_registrable(self.job_classes, self.registries)
        self.attr = make_attr(may_read, self.is_own, registrable)
        self.state_attr, self.state_target = make_state_guards(self.attr, self.write)
        self._make_builtins()

    def _make_registration(self) -> None:
        job_classes, open_classes, known = self.job_classes, self.open_classes, self.known_bases

        def register_class(cls: Any) -> Any:
            if isinstance(cls, type):
                if issubclass(cls, BaseExceptionGroup):
                    # except* on a subclass with its own split() crashes CPython.
                    raise TypeError("a job cannot subclass ExceptionGroup; raise one as it is")
                # Now, before the class can be registered or written to, because some hooks run
                # first.
                clean_match_args(cls)
                job_classes.add(cls)
                if all(
                    base in open_classes or base in known or base in KNOWN_BASES
                    for base in cls.__mro__[1:]
                ):
                    open_classes.add(cls)
            return cls

        def class_done(cls: Any) -> Any:
            if isinstance(cls, type):
                if cls not in job_classes and is_remade(cls, job_classes):
                    register_class(cls)
                if cls in job_classes:
                    clean_match_args(cls)
            return cls

        self.register_class = register_class
        self.class_done = class_done

    def _make_class_guards(self, scope_globals: dict[str, Any]) -> None:
        job_classes, register_class = self.job_classes, self.register_class

        # A condition does not have a module name, and does not make classes.
        module_name = scope_globals.get("__name__", _MISSING)
        being_made = 0

        def name_module(name: str) -> None:
            nonlocal module_name
            module_name = name

        def is_own(target: Any) -> bool:
            if type(target) is _FunctionType:
                return target.__globals__ is scope_globals
            cls = target if isinstance(target, type) else type(target)
            if (
                being_made
                and cls not in job_classes
                and cls.__dict__.get("__module__") == module_name
            ):
                # The class is still being made: __init_subclass__, __set_name__ and the __init__ of
                # enum members run before its decorators.
                register_class(cls)
            return cls in job_classes

        def build_class(function: Any, name: Any, /, *bases: Any, **keywords: Any) -> Any:
            refuse_bases(bases)
            # Counted, because a class from elsewhere may also have the name of the job's module.
            nonlocal being_made
            being_made += 1
            try:
                return _build_class(function, name, *bases, **keywords)
            finally:
                being_made -= 1

        def guarded_super(cls: Any, target: Any) -> Any:
            if not (isinstance(cls, type) and is_own(cls)):
                raise JobSecurityError(
                    f"super() of {label(cls)} leads below a class that this job did not define"
                )
            return super(cls, target)

        self.name_module = name_module
        self.is_own = is_own
        self.build_class = build_class
        self.super = guarded_super
        self.keywords = checked_keywords

    def _make_write_guards(self) -> None:
        job_classes, writable, is_own = self.job_classes, self.writable, self.is_own

        def write(target: Any) -> Any:
            # A single look-up for the common case: this is called for every `self.x = 1`.
            return target if type(target) in job_classes else write_other(target)

        def write_other(target: Any) -> Any:
            kind = type(target)
            if kind in writable or kind in PLAIN_EXCEPTIONS or is_own(target):
                return target
            name = kind.__name__
            if kind is dict:
                raise AttributeError('a dict has no attributes to set: write d["key"] = value')
            if isinstance(target, type):
                raise TypeError(
                    f"cannot change {target.__name__!r}: "
                    "a job can only set attributes of what it defined itself"
                )
            raise TypeError(
                f"cannot set attributes of {name!r} objects: "
                "a job can only set attributes of what it defined itself"
            )

        self.write = write

    def _make_builtins(self) -> None:
        attr, write = self.attr, self.write

        def guarded_getattr(target: Any, name: Any, default: Any = _MISSING, /) -> Any:
            try:
                check_name(name)
                if (name[:1] == "_" and name not in READABLE_DUNDERS) or name in DYNAMIC_ATTRIBUTES:
                    return attr(target, name)
                return getattr(target, name)
            except AttributeError:
                if default is _MISSING:
                    raise
                return default

        def guarded_hasattr(target: Any, name: Any, /) -> bool:
            if type(name) is str and name in DEFINABLE_DUNDERS:
                return hasattr(target, name)  # a job may ask whether an object can be iterated
            try:
                guarded_getattr(target, name)
            except AttributeError:
                return False
            return True

        def guarded_setattr(target: Any, name: Any, value: Any, /) -> None:
            if check_name(name) in READABLE_DUNDERS:
                raise JobSecurityError(f"the attribute {name} cannot be changed")
            setattr(write(target), name, value)

        def guarded_delattr(target: Any, name: Any, /) -> None:
            if check_name(name) in READABLE_DUNDERS:
                raise JobSecurityError(f"the attribute {name} cannot be deleted")
            delattr(write(target), name)

        self.getattr = named(guarded_getattr, "getattr")
        self.hasattr = named(guarded_hasattr, "hasattr")
        self.setattr = named(guarded_setattr, "setattr")
        self.delattr = named(guarded_delattr, "delattr")
