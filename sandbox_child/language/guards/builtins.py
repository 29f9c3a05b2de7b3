"""The built-in names of a job: those that it gets as they are, and replacements of others."""

from __future__ import annotations

import builtins
from _io import StringIO
from types import FunctionType, GenericAlias
from typing import TYPE_CHECKING, Any

from sandbox_child.language.guards.attributes import asked_for_no_special_name
from sandbox_child.language.guards.names import LOOKUP_GUARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.language.guards.guards import Guards

__all__ = ["PLAIN_BUILTINS", "TypeFacade", "make_builtins", "make_print"]

PLAIN_BUILTINS = (
    "Ellipsis",
    "False",
    "None",
    "NotImplemented",
    "True",
    "__build_class__",
    "abs",
    "aiter",
    "all",
    "anext",
    "any",
    "ascii",
    "bin",
    "bool",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "classmethod",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "format",
    "frozenset",
    "hash",
    "hex",
    "id",
    "int",
    "isinstance",
    "issubclass",
    "iter",
    "len",
    "list",
    "map",
    "max",
    "min",
    "next",
    "object",
    "oct",
    "ord",
    "pow",
    "property",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "staticmethod",
    "str",
    "sum",
    "super",
    "tuple",
    "zip",
)
"""Names that a job gets as they are, with every built-in exception; others are missing or
replaced."""

CHANGED_BUILTINS = {
    "__import__": "adaptors, modules of the repo, and the listed standard modules",
    "delattr": "names and objects are checked as in `del o.a`",
    "getattr": "names and objects are checked as in `o.a`",
    "hasattr": "names and objects are checked as in `o.a`",
    "print": "a log event; file= takes an io.StringIO",
    "setattr": "names and objects are checked as in `o.a = 1`",
    "type": "one argument only: it returns the class of an object, and does not make a class",
}
"""Differences from Python, for the table in the documentation."""

MAX_MESSAGE_CHARS = 4_000_000
"""Longer log messages are cut. The parent decides about shorter ones, but has to read them."""


class _TypeOfType(type):
    """Makes ``TypeFacade`` work like ``type``, but with one argument only."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) != 1 or kwargs:
            raise TypeError("type() takes 1 argument in a job: write a class statement")
        kind = type(args[0])
        if kind is FunctionType:
            return FunctionFacade
        return TypeFacade if issubclass(kind, type) else kind

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, type)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, type)

    def __getitem__(cls, item: Any) -> Any:
        return GenericAlias(cls, item)  # `type[Shape]` in an annotation

    def __repr__(cls) -> str:
        return repr(type)


class TypeFacade(metaclass=_TypeOfType):
    """Replaces ``type``: the real one makes classes without the checks on class statements."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise TypeError("a job cannot define a metaclass")


class _TypeOfFunction(type):
    """Makes ``FunctionFacade`` answer like the class of functions, but not make functions."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise TypeError("a function is made by def or lambda")

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, FunctionType)

    def __repr__(cls) -> str:
        return repr(FunctionType)


class FunctionFacade(metaclass=_TypeOfFunction):
    """Replaces the class of functions: the real one makes functions from code and globals."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise TypeError("type 'function' is not an acceptable base type")


FunctionFacade.__module__ = TypeFacade.__module__ = "builtins"
FunctionFacade.__name__ = FunctionFacade.__qualname__ = "function"
TypeFacade.__name__ = TypeFacade.__qualname__ = "type"


def make_builtins(guards: Guards) -> dict[str, Any]:
    """Return the ``__builtins__`` of a scope with its guards, but without import and print."""
    return {
        **_SHARED,
        "_attr_": guards.attr,
        "_class_": guards.register_class,
        "__build_class__": guards.build_class,
        "_classdone_": guards.class_done,
        "_keywords_": guards.keywords,
        LOOKUP_GUARD: asked_for_no_special_name,
        "_open_": guards.open_classes,
        "_own_": guards.own,
        "_state_attr_": guards.state_attr,
        "_state_target_": guards.state_target,
        "_super_": guards.super,
        "_type_": type,
        "_write_": guards.write,
        "delattr": guards.delattr,
        "getattr": guards.getattr,
        "hasattr": guards.hasattr,
        "setattr": guards.setattr,
        "type": TypeFacade,
    }


def make_print(
    log: Callable[[str, str], None],
    show: Callable[[object], object] | None = None,
) -> tuple[Callable[..., None], Callable[[], None]]:
    """Return a ``print`` that logs whole lines at level info, and a function to flush it.

    Text is held back until it ends in a line break, so that a log line is a line as on a terminal.
    *show* returns the value to print in place of another, or None to leave the value out.
    """
    pending: list[str] = []

    def flush_pending() -> None:
        if pending:
            text = "".join(pending)
            pending.clear()
            log("info", cut(text.removesuffix("\n")))

    def print(  # noqa: A001 - it is the job's print
        *values: object,
        sep: str | None = " ",
        end: str | None = "\n",
        file: Any = None,
        flush: bool = False,
    ) -> None:
        """Write *values* to the log of the run, at level info."""
        sep = _separator(sep, "sep", " ")
        end = _separator(end, "end", "\n")
        if show is not None:
            values = tuple(shown for value in values if (shown := show(value)) is not None)
        text = sep.join([str(value) for value in values]) + end
        if file is not None:
            _write_to(file, text)
            return
        pending.append(text)
        # The limit of a message also bounds the text that is held back.
        if text.endswith("\n") or flush or sum(map(len, pending)) > MAX_MESSAGE_CHARS:
            flush_pending()

    print.__qualname__ = "print"  # the name in errors
    return print, flush_pending


def cut(text: str) -> str:
    """Return *text* as exactly a ``str``, cut to the limit of a log message.

    A method of a job that should return text may return any object.
    """
    if type(text) is not str:
        text = str.__str__(text) if isinstance(text, str) else f"(a {type(text).__name__}, no text)"
    if len(text) <= MAX_MESSAGE_CHARS:
        return text
    return f"{text[:MAX_MESSAGE_CHARS]}... ({len(text)} characters, cut)"


def _separator(value: Any, name: str, default: str) -> str:
    if value is None:
        return default
    if type(value) is not str:
        raise TypeError(f"{name} must be None or a string, not {type(value).__name__}")
    return value


def _write_to(file: Any, text: str) -> None:
    kind = type(file)
    if kind is not StringIO:
        raise TypeError(
            f"print(file=...) takes an io.StringIO in a job, not {kind.__name__}; "
            "without file= it writes to the log"
        )
    file.write(text)


_SHARED: dict[str, Any] = {name: getattr(builtins, name) for name in PLAIN_BUILTINS} | {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
