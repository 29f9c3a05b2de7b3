"""Facades of modules that make or look up functions: functools and operator."""

from __future__ import annotations

from types import FunctionType, UnionType
from typing import TYPE_CHECKING, Any

from sandbox_child.language.facades.classes import require_own_class
from sandbox_child.language.guards import check_name
from sandbox_child.language.guards.names import is_reserved

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.language.facades import Facades

_COPIED = ("__name__", "__qualname__", "__doc__")


def make_functools(facades: Facades) -> dict[str, Any]:
    """Return wraps, update_wrapper, singledispatch(method) and total_ordering."""
    import functools

    guards = facades.guards

    def update_wrapper(wrapper: Any, wrapped: Any) -> Any:
        # Python would also copy attributes that the caller lists, even `__globals__`.
        if not guards.is_own(wrapper):
            return wrapper
        for name in _COPIED:
            if hasattr(wrapped, name):
                setattr(wrapper, name, getattr(wrapped, name))
        if type(wrapped) is FunctionType:
            own = guards.is_own(wrapped)
            for name, value in wrapped.__dict__.items():
                if own or name[:1] != "_":
                    setattr(wrapper, name, value)
        wrapper.__wrapped__ = wrapped
        return wrapper

    def wraps(wrapped: Any) -> Callable[[Any], Any]:
        return lambda wrapper: update_wrapper(wrapper, wrapped)

    def total_ordering(cls: Any) -> Any:
        require_own_class(facades, cls, "total_ordering")
        return functools.total_ordering(cls)

    def singledispatch(function: Callable[..., Any]) -> Any:
        dispatcher = functools.singledispatch(function)
        dispatcher.register = _make_register(  # type: ignore[method-assign]  # refuses more
            facades, dispatcher.register
        )
        guards.registries.add(dispatcher)
        return dispatcher

    class singledispatchmethod(functools.singledispatchmethod):  # type: ignore[type-arg]  # not generic at run time  # noqa: N801 - Python's name
        def register(self, cls: Any, method: Any = None) -> Any:
            return _make_register(facades, super().register)(cls, method)

    guards.registries.add(singledispatchmethod)
    guards.known_bases.add(cached_property)
    return {
        "WRAPPER_ASSIGNMENTS": _COPIED,
        "cached_property": cached_property,
        "singledispatch": singledispatch,
        "singledispatchmethod": singledispatchmethod,
        "total_ordering": total_ordering,
        "update_wrapper": update_wrapper,
        "wraps": wraps,
    }


class cached_property:  # noqa: N801 - Python's name
    """`functools.cached_property`, which keeps a value only under its own name in its own class.

    Python's own writes under any name to any object that its ``__get__`` is called with.
    """

    def __init__(self, func: Callable[[Any], Any]) -> None:
        self.func = func
        self.attrname: str | None = None
        self.__doc__ = func.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        if self.attrname is None:
            self.attrname = name
        elif name != self.attrname:
            raise TypeError(
                "Cannot assign the same cached_property to two different names "
                f"({self.attrname!r} and {name!r})."
            )

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        name = self.attrname
        if name is None:
            raise TypeError(
                "Cannot use cached_property instance without calling __set_name__ on it."
            )
        check_name(name)
        kinds = type(instance).__mro__
        if next((kind.__dict__[name] for kind in kinds if name in kind.__dict__), None) is not self:
            raise TypeError(f"this cached_property is not the attribute {name!r} of the object")
        try:
            cache = object.__getattribute__(instance, "__dict__")
        except AttributeError:
            kind = type(instance).__name__
            raise TypeError(f"a {kind!r} object has no place to keep {name!r}") from None
        if name not in cache:
            cache[name] = self.func(instance)
        return cache[name]


cached_property.__module__ = "functools"


def _make_register(facades: Facades, real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``register`` for classes and annotated functions that does not evaluate text."""

    def register(cls: Any, function: Any = None) -> Any:
        if isinstance(cls, type | UnionType):
            if function is None:
                return lambda function: real(cls, function)
            return real(cls, function)
        if function is not None or not hasattr(cls, "__annotations__"):
            raise TypeError(f"register() takes a class, or a function with an annotation: {cls!r}")
        return real(_annotated_class(facades, cls), cls)

    return register


def _annotated_class(facades: Facades, function: Any) -> type:
    for name, annotation in function.__annotations__.items():
        if name == "return":
            continue
        if type(annotation) is str and not is_reserved(annotation):  # no guard bears such a name
            known = facades.globals["__builtins__"] | facades.globals
            annotation = known.get(annotation)  # noqa: PLW2901 - the type that the text names
        if isinstance(annotation, type | UnionType):
            return annotation  # type: ignore[return-value]  # register takes both
        raise TypeError(
            f"the annotation of {name!r} must be a class: "
            f"write @{function.__name__}.register(TheClass) instead"
        )
    raise TypeError("register() needs an annotation on the first parameter, or a class")


def make_operator(facades: Facades) -> dict[str, Any]:
    """Return an attrgetter and a methodcaller that read only attributes that a job may read."""
    lookup = facades.guards.getattr

    def walk(target: Any, path: tuple[str, ...]) -> Any:
        for name in path:
            target = lookup(target, name)
        return target

    def attrgetter(first: str, /, *more: str) -> Callable[[Any], Any]:
        paths = [_path(text) for text in (first, *more)]
        if more:
            return lambda target, /: tuple(walk(target, path) for path in paths)
        return lambda target, /: walk(target, paths[0])

    def methodcaller(name: str, /, *args: Any, **options: Any) -> Callable[[Any], Any]:
        check_name(name)
        return lambda target, /: lookup(target, name)(*args, **options)

    return {"attrgetter": attrgetter, "methodcaller": methodcaller}


def _path(text: object) -> tuple[str, ...]:
    if type(text) is not str:
        raise TypeError("attribute name must be a string")
    return tuple(check_name(name) for name in text.split("."))
