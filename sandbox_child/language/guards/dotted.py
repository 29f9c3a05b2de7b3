"""Dotted state at run time: in a chain that begins at `state`, an attribute of a dict is a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards.names import DYNAMIC_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable

_DICT_NAMES = frozenset(dir(dict))

__all__ = ["make_open_state_guards", "make_state_guards"]


def make_state_guards(
    attr: Callable[[Any, str], Any], write: Callable[[Any], Any]
) -> tuple[Callable[[Any, str], Any], Callable[[Any], Any]]:
    """Return the guards of reads and of stores; *attr* and *write* judge all but dicts."""

    def state_attr(target: Any, name: str) -> Any:
        if type(target) is dict and name not in _DICT_NAMES:  # nearly always
            try:
                return target[name]
            except KeyError:
                raise _absent_key(target, name) from None
        if isinstance(target, dict):
            # A method of dict wins over a key of that name.
            if name in target and not hasattr(dict, name):
                return target[name]
            if not hasattr(target, name):
                raise _absent_key(target, name)
        if name[0] == "_" or name in DYNAMIC_ATTRIBUTES:
            return attr(target, name)
        return getattr(target, name)

    def state_target(target: Any) -> Any:
        return _Keys(target) if isinstance(target, dict) else write(target)

    return state_attr, state_target


def make_open_state_guards() -> tuple[Callable[[Any, str], Any], Callable[[Any], Any]]:
    """Return the same two guards, for jobs without the language wall."""
    return make_state_guards(getattr, lambda target: target)


class _Keys:
    """The target of `state.a.b = 1` if `state.a` is a dict: its attributes are the dict's keys."""

    __slots__ = ("_target",)

    def __init__(self, target: dict[str, Any]) -> None:
        object.__setattr__(self, "_target", target)

    def __getattribute__(self, name: str) -> Any:
        # `state.n += 1` also reads through the target.
        target = object.__getattribute__(self, "_target")
        if name in target:
            return target[name]
        raise _absent_key(target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__getattribute__(self, "_target")[name] = value

    def __delattr__(self, name: str) -> None:
        target = object.__getattribute__(self, "_target")
        if name not in target:
            raise _absent_key(target, name)
        del target[name]


def _absent_key(target: dict[Any, Any], name: str) -> AttributeError:
    """Return the error for a missing key; hints look at its fields, not at its text."""
    keys = [repr(key) for key in list(target)[:10] if type(key) is str]
    error = AttributeError(f"no key {name!r}; the keys are {', '.join(keys) or 'none'}", name=name)
    error.__dict__["_absent_from"] = target
    return error
