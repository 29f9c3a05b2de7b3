"""Facades of modules that copy objects or make them from names: copy and types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards import check_name

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_copy(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return a deepcopy that attributes of an instance cannot mislead.

    Python's own asks the object itself for ``__deepcopy__`` and ``__reduce_ex__``.  A function that
    a job has put there could write to any object.  This is a second copy of the module, whose
    `getattr` asks the class, as Python does for all other special methods.
    """
    import importlib.util

    spec = importlib.util.find_spec("copy")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["getattr"] = _ask_class

    def deepcopy(x: Any, memo: Any = None) -> Any:
        if memo is not None:
            # It would collect all parts of a foreign object, including private parts.
            raise TypeError("deepcopy() takes no memo in a job: write copy.deepcopy(x)")
        return module.deepcopy(x)

    return {"deepcopy": deepcopy, "Error": module.Error}


def _ask_class(target: Any, name: str, default: Any = None) -> Any:
    kind = type(target)
    for base in kind.__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            bind = getattr(type(found), "__get__", None)
            return found if bind is None else bind(found, target, kind)
    return default


class SimpleNamespace:
    """`types.SimpleNamespace`, limited to names of attributes that a job may set."""

    def __init__(self, mapping_or_iterable: Any = (), /, **names: Any) -> None:
        given = dict(mapping_or_iterable)
        given.update(names)
        for name in given:
            check_name(name)
        self.__dict__.update(given)

    def __repr__(self) -> str:
        names = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{'namespace' if type(self) is SimpleNamespace else type(self).__name__}({names})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SimpleNamespace):
            return NotImplemented
        return self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # as Python's


SimpleNamespace.__module__ = "types"


def make_types(facades: Facades) -> dict[str, Any]:
    """Return a SimpleNamespace whose attributes have public names."""
    facades.guards.writable.add(SimpleNamespace)
    facades.guards.known_bases.add(SimpleNamespace)
    return {"SimpleNamespace": SimpleNamespace}
