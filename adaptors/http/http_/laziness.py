"""Lazy arguments: functions of state in place of values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from .errors import RequestError

State: TypeAlias = dict[str, Any]

MAX_FUNCTIONS = 100
"""Most functions that return functions; more are taken for an endless chain."""


@dataclass(frozen=True)
class FilePart:
    """A file in a multipart body.  `file_part` makes it."""

    content: Any
    filename: Any
    content_type: Any


def resolve(state: State, value: Any) -> Any:
    """Return *value* with each function in it replaced by the result of the function for *state*.

    Raises:
        RequestError: Functions return functions without end.

    """
    for _ in range(MAX_FUNCTIONS):
        if not callable(value) or isinstance(value, type):
            break
        value = value(state)
    else:
        raise RequestError("an argument is a function that returns functions without end")
    if isinstance(value, dict):
        return {key: resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(state, inner) for inner in value]
    if isinstance(value, FilePart):
        names = ("content", "filename", "content_type")
        return replace(value, **{name: resolve(state, getattr(value, name)) for name in names})
    return value
