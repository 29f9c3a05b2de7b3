"""Which parts of events, reports and states are the engine's own, and never a user's value.

Redaction changes values of users only.  A step may be called like a word of a configuration,
and a password may be ``message``: then ids, words and keys of ours stay as they are, or nobody
could tell which step an event is of, and two leaves of a result would become one.
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
"""Whether a text is the id of a step, or of an execution of one."""

_STATE_KEYS: Final = frozenset(("data", "errors", "references", "configuration", "inputs"))

_STRUCTURE_OF_EVENTS: Final = frozenset(
    ("run_id", "step_id", "step_run_id", "from_step_id", "to_step_id", "next")
) | frozenset(("versions", "confinement"))
"""Fields of events that hold ids, or facts about the engine."""

_LOADED: Final = frozenset(("state-load", "credential-load"))

REPORT_FIELDS: Final = frozenset(ErrorReport.__struct_fields__)
DETAIL_FIELDS: Final = frozenset(
    ("line", "column", "end_line", "end_column", "message", "fix", "type")
)
"""Keys of the details that the engine writes: places in a job, members of a group of errors."""

SEVERITIES: Final[frozenset[str]] = frozenset(get_args(Severity))

QUOTING_NAMES: Final = frozenset(("JobError", "RuntimeError", "AdaptorError"))
"""Errors whose message is that of the user's exception.  All other messages are the engine's, and
at the most quote a user."""


class Shape(Enum):
    """The kind of the keys of a map, or of the maps in it."""

    USER = auto()
    """All keys are the user's."""
    STATE = auto()
    """The state of one step."""
    RESULT = auto()
    """A final state: that of one leaf, or a map of several."""
    LEAVES = auto()
    """A map of executions of steps to their states."""
    ERRORS = auto()
    """A map of steps to their reports."""
    REPORT = auto()
    """A report as a map."""


def of_result(shape: Shape, keys: list[Any], is_id: IsId) -> Shape:
    """Return what a map with these keys is; only of a final state it depends on them."""
    if shape is not Shape.RESULT:
        return shape
    several = len(keys) > 1 and all(_is_id(key, is_id) for key in keys)
    return Shape.LEAVES if several else Shape.STATE


def keeps(shape: Shape, key: Any, is_id: IsId) -> bool:
    """Whether a key of such a map is the engine's."""
    if shape is Shape.STATE:
        return isinstance(key, str) and key in _STATE_KEYS
    if shape in (Shape.LEAVES, Shape.ERRORS):
        return _is_id(key, is_id)
    return False


def below(shape: Shape, key: Any, is_id: IsId) -> Shape:
    """Return what is under a key of such a map."""
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
    """Whether the value of this field of a report is a word of the engine, an id, or a name in code."""
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
    """Whether a word within a message of the engine is one that the engine may put in."""
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
    """Whether *text* is a name as it stands in code: ``get``, ``client.get``, ``<module>``.

    No value of a run can become one.
    """
    return text in _NAMELESS or all(part.isidentifier() for part in text.split("."))


_NAMELESS: Final = frozenset(
    ("<module>", "<lambda>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
)


def is_group(details: Any) -> bool:
    """Whether details list the members of a group of exceptions, as the engine does."""
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
