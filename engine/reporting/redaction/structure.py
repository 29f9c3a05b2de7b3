"""Defines the parts of events, reports and states that are the engine's own, not a user's values.

Redaction changes values of users only.  A step may have the name of a secret, and a password may be
``message``.  In such a case our ids, words and keys stay as they are.  Otherwise an event would not
show its step, and two leaves of a result would become one.
"""

from __future__ import annotations

import builtins
import signal
import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from protocol.events import Event
from protocol.report import OPTIONS, SEVERITY_BY_NAME, ErrorReport, Severity

IsId = Callable[[str], bool]
"""Returns whether a text is the id of a step, or of an execution of a step."""

_STATE_KEYS: Final = frozenset(("data", "errors", "references", "configuration", "inputs"))

_STRUCTURE_OF_EVENTS: Final = frozenset(
    ("run_id", "step_id", "step_run_id", "from_step_id", "to_step_id", "next")
) | frozenset(("versions", "confinement"))
"""Fields of events that contain ids, or facts about the engine."""

_LOADED: Final = frozenset(("state-load", "credential-load"))

REPORT_FIELDS: Final = frozenset(ErrorReport.__struct_fields__)
DETAIL_FIELDS: Final = frozenset(
    ("line", "column", "end_line", "end_column", "message", "fix", "type")
)
"""Keys of details that the engine writes: places in a job, members of a group of errors."""

SEVERITIES: Final[frozenset[str]] = frozenset(get_args(Severity))

QUOTING_NAMES: Final = frozenset(("JobError", "RuntimeError", "AdaptorError"))
"""Errors whose message comes from the user's exception.  All other messages are the engine's, and
at most quote a user."""


class Shape(Enum):
    """The kind of the keys of a map, or of the maps in it."""

    USER = auto()
    """A map with keys of the user only."""
    STATE = auto()
    """The state of a step."""
    RESULT = auto()
    """A final state: the state of one leaf, or a map of the states of several."""
    LEAVES = auto()
    """A map from executions of steps to their states."""
    ERRORS = auto()
    """A map from steps to their reports."""
    REPORT = auto()
    """A report as a map."""


def of_result(shape: Shape, keys: list[Any], is_id: IsId) -> Shape:
    """Return the shape of a map with these keys, on which only a final state depends."""
    if shape is not Shape.RESULT:
        return shape
    several = len(keys) > 1 and all(_is_id(key, is_id) for key in keys)
    return Shape.LEAVES if several else Shape.STATE


def keeps(shape: Shape, key: Any, is_id: IsId) -> bool:
    """Whether a key of a map of this shape is the engine's."""
    if shape is Shape.STATE:
        return isinstance(key, str) and key in _STATE_KEYS
    if shape in (Shape.LEAVES, Shape.ERRORS):
        return _is_id(key, is_id)
    return False


def below(shape: Shape, key: Any, is_id: IsId) -> Shape:
    """Return the shape of the value under a key of a map of this shape."""
    if shape is Shape.STATE and key == "errors":
        return Shape.ERRORS
    if shape is Shape.STATE and key == "inputs":
        return Shape.LEAVES
    if shape is Shape.LEAVES and _is_id(key, is_id):
        return Shape.STATE
    if shape is Shape.ERRORS and _is_id(key, is_id):
        return Shape.REPORT
    return Shape.USER


def is_word(name: str, value: str, is_id: IsId) -> bool:
    """Whether the value of a report's field is a word of the engine, an id, or a name in code."""
    match name:
        case "name":
            return value in SEVERITY_BY_NAME
        case "severity":
            return value in SEVERITIES
        case "step_id":
            return is_id(value)
        case "subtype":
            return _is_exception(value) or _is_signal(value)
        case "option":
            return value in OPTIONS
    return False


def is_own(hit: str, is_id: IsId) -> bool:
    """Whether the engine itself may have put the word *hit* into its message."""
    return (
        is_id(hit)
        or hit in SEVERITY_BY_NAME
        or hit in OPTIONS
        or hit in sys.stdlib_module_names
        or _is_signal(hit)
        or isinstance(getattr(builtins, hit, None), type)
        or hit == "NoneType"
    )


def is_name_in_code(text: str) -> bool:
    """Whether *text* is a name as in code: ``get``, ``client.get``, ``<module>``.

    A value of a run cannot become such a name.
    """
    return text in _NAMELESS or all(part.isidentifier() for part in text.split("."))


_NAMELESS: Final = frozenset(
    ("<module>", "<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
)


def is_group(details: Any) -> bool:
    """Whether details are the engine's list of the members of an exception group."""
    return isinstance(details, (list, tuple)) and all(
        isinstance(one, dict) and one.keys() == {"type", "message"} for one in details
    )


_fields_by_struct: dict[type[msgspec.Struct], tuple[str, ...]] = {}


def open_fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a struct that can hold text other than the engine's own."""
    names = _fields_by_struct.get(struct)
    if names is None:
        closed = (bool, int, float, type(None))
        names = tuple(
            field.name
            for field in msgspec.structs.fields(struct)
            if get_origin(field.type) is not Literal and field.type not in closed
        )
        if issubclass(struct, Event):
            loaded = struct.__struct_config__.tag in _LOADED
            own = _STRUCTURE_OF_EVENTS | ({"id"} if loaded else set())
            names = tuple(name for name in names if name not in own)
        _fields_by_struct[struct] = names
    return names


def _is_id(key: Any, is_id: IsId) -> bool:
    return isinstance(key, str) and is_id(key)


def _is_exception(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _is_signal(name: str) -> bool:
    return isinstance(getattr(signal, name, None), signal.Signals)
