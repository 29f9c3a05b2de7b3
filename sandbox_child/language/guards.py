"""The guards that compiled jobs call at run time, as closures over one scope's own classes.

Names are judged when a job is compiled; left for run time is what depends on the object: who
may be written to, whose private names may be read, and the handful of public names that are a
way out on some objects (``names.DYNAMIC_ATTRIBUTES``).

    object                              write attributes      read _private
    instance or class of the job        yes                   if all its bases are ours to know
    function of the job                 yes                   yes
    SimpleNamespace, Element, ...       yes                   no
    anything else                       no                    no
"""

from __future__ import annotations

import builtins
import sys
import types
from typing import TYPE_CHECKING, Any

from sandbox_child.language.dotted import make_state_guards
from sandbox_child.language.names import (
    DEFINABLE_DUNDERS,
    DENIED_ATTRIBUTES,
    DYNAMIC_ATTRIBUTES,
    READABLE_DUNDERS,
    is_reserved,
)
from sandbox_child.language.reading import (
    label,
    make_attr,
    make_is_registrable,
    make_may_read,
    make_own,
)
from sandbox_child.language.refusals import JobSecurityError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Guards", "asked_for_no_special_name", "check_name"]

_FunctionType = types.FunctionType

_MISSING = object()
_build_class = builtins.__build_class__


def check_name(name: object) -> str:
    """Return *name* if some object may be asked for it.

    Raises:
        TypeError: *name* is not exactly a ``str``; a subclass could change between two looks.
        JobSecurityError: the name leads into the interpreter, whatever object has it.

    """
    if type(name) is not str:
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
    if name in DENIED_ATTRIBUTES or (name and is_reserved(name) and name not in READABLE_DUNDERS):
        raise JobSecurityError(f"the attribute {name} is not accessible in a job")
    return name


class Guards:
    """The guards of one scope; every attribute is a plain function or a set they share.

    Bound methods would cost a job twice the time of a closure, and hand it their owner.
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
    """Classes that this scope's code defined."""
    open_classes: set[type]
    """Those among them that have no foreign base: their private names are the job's own."""
    known_bases: set[type]
    """Classes that keep nothing private: a class of the job on top of them stays the job's."""
    writable: set[type]
    """Types of ours whose instances take attributes; facades add theirs."""
    registries: set[Any]
    """Dispatchers made by this scope: their ``register`` changes nothing shared."""
    name_module: Callable[[str], None]
    """Says what the job's module is called, before it has a class."""
    is_own: Callable[[Any], bool]
    build_class: Callable[..., Any]
    """Makes the classes of class statements."""
    register_class: Callable[[Any], Any]
    class_done: Callable[[Any], Any]
    write: Callable[[Any], Any]
    attr: Callable[[Any, str], Any]
    own: Callable[..., Any]
    """Returns its first argument if the job may read all those private names of it."""
    keywords: Callable[[Any], Any]
    """Returns the mapping of a call's ``**``, if no key of it is a special name."""
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
        self.known_bases = set(_KNOWN_BASES)
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
                # Before the class can be registered or written to: some hooks run first.
                clean_match_args(cls)
                job_classes.add(cls)
                if all(base in open_classes or base in known for base in cls.__mro__[1:]):
                    open_classes.add(cls)
            return cls

        def class_done(cls: Any) -> Any:
            if isinstance(cls, type):
                if cls not in job_classes and _is_remade(cls, job_classes):
                    register_class(cls)
                if cls in job_classes:
                    clean_match_args(cls)
            return cls

        self.register_class = register_class
        self.class_done = class_done

    def _make_class_guards(self, scope_globals: dict[str, Any]) -> None:
        job_classes, register_class = self.job_classes, self.register_class

        # A condition has no name, and makes no classes.
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
                # A class that is being made: __init_subclass__, __set_name__ and the __init__ of
                # enum members run before its decorators.
                register_class(cls)
            return cls in job_classes

        def build_class(function: Any, name: Any, /, *bases: Any, **keywords: Any) -> Any:
            _refuse_bases(bases)
            # Counted, because a class of another maker may also bear the name of the job's module.
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
        self.keywords = _checked_keywords

    def _make_write_guards(self) -> None:
        job_classes, writable, is_own = self.job_classes, self.writable, self.is_own

        def write(target: Any) -> Any:
            # One look for the common case: this is called for every `self.x = 1`.
            return target if type(target) in job_classes else write_other(target)

        def write_other(target: Any) -> Any:
            kind = type(target)
            if kind in writable or kind in _PLAIN_EXCEPTIONS or is_own(target):
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
                return hasattr(target, name)  # "can it be iterated?" is a fair question
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

        self.getattr = _named(guarded_getattr, "getattr")
        self.hasattr = _named(guarded_hasattr, "hasattr")
        self.setattr = _named(guarded_setattr, "setattr")
        self.delattr = _named(guarded_delattr, "delattr")


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


def _refuse_bases(bases: tuple[Any, ...]) -> None:
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


def _is_remade(cls: type, job_classes: set[type]) -> bool:
    """Whether a decorator built *cls* anew from a class of the job, as dataclass(slots=True)."""
    return any(
        old.__qualname__ == cls.__qualname__ and old.__bases__ == cls.__bases__
        for old in job_classes
        if old.__module__ == cls.__module__
    )


def _checked_keywords(mapping: Any) -> dict[Any, Any]:
    """Return what a call gets by ``**``, with names that are exactly text.

    A callee may turn a name into an attribute, and Python asks some instances for special methods.

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
            return _checked_keywords({str.__str__(key): item for key, item in mapping.items()})
        if name in DENIED_ATTRIBUTES or (name[:2] == "__" and name[-2:] == "__"):
            raise JobSecurityError(f"{name} cannot be the name of an argument in a job")
    return mapping  # type: ignore[no-any-return]


def asked_for_no_special_name(function: Any) -> Any:
    """Return *function*, the ``__getattr__`` of a class of the job, as one that special names do not reach.

    Libraries ask objects for ``__dict__`` and the like, and use what comes without a check.
    """
    bind = None if type(function) is _FunctionType else getattr(type(function), "__get__", None)

    def lookup(self: Any, name: Any) -> Any:
        if type(name) is str and name[:2] == "__" and name[-2:] == "__":
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)
        if bind is not None:
            return bind(function, self, type(self))(name)
        return function(self, name)

    return _named(lookup, "__getattr__")


def _named(function: Any, name: str) -> Any:
    function.__name__ = function.__qualname__ = name
    return function


def _plain_classes() -> frozenset[type]:
    import abc
    import builtins

    classes = {value for value in vars(builtins).values() if isinstance(value, type)}
    return frozenset((classes | {abc.ABC}) - {type, super})


_KNOWN_BASES = _plain_classes()
_PLAIN_EXCEPTIONS = frozenset(
    cls for cls in _KNOWN_BASES if issubclass(cls, BaseException) and cls is not BaseExceptionGroup
)
_UNMATCHED = DENIED_ATTRIBUTES | DYNAMIC_ATTRIBUTES
