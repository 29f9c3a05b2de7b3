"""A job's view of a module: its public names, to be read and called but not changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_MISSING: Final = object()
_MEMO: Final = type(functools.cache(lambda: None))


def public_names(module: ModuleType) -> list[str]:
    """Return the names that *module* offers: ``__all__``, or all names without an underscore.

    Other modules are left out, and so are names that begin with an underscore, like the language
    wall's own hooks.
    """
    explicit = module.__dict__.get("__all__")
    if isinstance(explicit, (list, tuple, set, frozenset)):
        names = [name for name in explicit if type(name) is str]
    else:
        names = [name for name, value in module.__dict__.items() if _is_export(value)]
    return [name for name in dict.fromkeys(names) if name.isidentifier() and name[0] != "_"]


def is_public(module: ModuleType, name: str) -> bool:
    """Return whether *name* is one of `public_names`, without a look at all the others."""
    if name.startswith("_") or not name.isidentifier():
        return False
    explicit = module.__dict__.get("__all__")
    if isinstance(explicit, (list, tuple, set, frozenset)):
        return name in explicit
    return name in module.__dict__ and _is_export(module.__dict__[name])


def make_view(
    title: str, module: ModuleType | None, submodule: Callable[[str], ModuleType | None]
) -> ModuleType:
    """Return a read-only module with the public names of *module*.

    Args:
        title: The name of the view. It must not be in ``sys.modules``, where ``from x import y``
            looks for the real module if the view refuses ``y``.
        module: The real module, which is read for each name. None if the view has only submodules.
        submodule: Returns the view of a submodule by its last name, or None.

    """
    copies: dict[str, Any] = {}

    def names() -> list[str]:
        return [] if module is None else public_names(module)

    # A function in a closure, so that a job cannot reach the real module from the view.
    def read(name: str) -> Any:
        if name in copies:
            return copies[name]
        value = _MISSING
        if module is not None and is_public(module, name):
            value = getattr(module, name, _MISSING)
        if value is _MISSING or isinstance(value, ModuleType):
            value = None if name.startswith("_") else submodule(name)
            if value is None:
                raise AttributeError(_absent(title, name, names()))
        own = _memoised(value) if type(value) is _MEMO else copy_containers(value)
        if own is not value or isinstance(value, ModuleType):
            copies[name] = own
        return own

    class View(ModuleType):
        """The module for a job."""

        def __getattr__(self, name: str) -> Any:
            return [*names()] if name == "__all__" else read(name)

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"module {title} cannot be changed: {name!r}")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"module {title} cannot be changed: {name!r}")

        def __dir__(self) -> list[str]:
            return sorted(names())

        def __repr__(self) -> str:
            return f"<module {title}>"

    return View(title, None if module is None else module.__doc__)


def copy_containers(value: Any) -> Any:
    """Return *value* with its mutable containers copied, at any depth; other parts stay."""
    return _copy(value, {})


def _memoised(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a memoised function that gives each caller a copy of the remembered result."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return copy_containers(function(*args, **kwargs))

    call.__name__ = call.__qualname__ = getattr(function, "__name__", "call")
    call.__doc__ = function.__doc__
    return call


def _copy(value: Any, done: dict[int, Any]) -> Any:
    kind = type(value)
    if kind not in (dict, list, set, bytearray, tuple):
        return value
    if id(value) in done:
        return done[id(value)]
    made: Any
    if kind is dict:
        made = done[id(value)] = {}
        for key, item in value.items():
            made[key] = _copy(item, done)
    elif kind is list:
        made = done[id(value)] = []
        made.extend(_copy(item, done) for item in value)
    elif kind is tuple:
        items = [_copy(item, done) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        made = done[id(value)] = value if same else tuple(items)
    else:
        made = done[id(value)] = kind(value)
    return made


def _is_export(value: object) -> bool:
    # `from __future__ import annotations` leaves a name behind.
    return not isinstance(value, ModuleType) and type(value).__module__ != "__future__"


def _absent(title: str, name: str, known: list[str]) -> str:
    from protocol.suggestion import NEAR_AMONG_FEW, nearest  # only for a message

    near = nearest(name, known, NEAR_AMONG_FEW)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"module {title} has no public name {name!r}{hint}"
