"""Describes an error of a condition: the message, the place in the text, and a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.words import CONDITION_NAMES, NAMED_CONDITIONS
from sandbox_child.language.frames import OwnFrame
from sandbox_child.language.plain_data import encodable
from sandbox_child.language.text import ErrorFacts, condition_name_fix, error_fix
from sandbox_child.language.text.condition_text import FILENAME

if TYPE_CHECKING:
    from protocol.report import Position
    from sandbox_child.language.compiler import CompiledCondition
    from sandbox_child.language.text.missing import MissingKeys

_MAX_TEXT_CHARS = 500
_KINDS = {str: "text", int: "a number", float: "a number", bool: "true or false"}


def describe(
    error: Exception, compiled: CompiledCondition, missing: MissingKeys
) -> tuple[str, Position | None, str | None]:
    """Return the message, the position and the hint for an error that a condition has raised."""
    text = _text(error)
    position = _position(error, compiled)
    return (
        f"{type(error).__name__}: {text}",
        position,
        _fix(error, ErrorFacts(text, text=compiled.text, position=position), compiled, missing),
    )


def _text(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    if type(error) is KeyError and len(error.args) == 1:
        return f"no key {text!r:.500}"
    return encodable(text[:_MAX_TEXT_CHARS]) if type(text) is str else f"{text!r:.500}"


def _position(error: Exception, compiled: CompiledCondition) -> Position | None:
    """Return the position of the condition's innermost frame."""
    found = None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILENAME:
            found = OwnFrame(traceback, None, compiled.text)
        traceback = traceback.tb_next
    return found.position() if found else None


def _fix(
    error: Exception, facts: ErrorFacts, compiled: CompiledCondition, missing: MissingKeys
) -> str | None:
    if isinstance(error, NameError):
        name = error.name
        if type(name) is not str:
            return None
        line = facts.position.source if facts.position else None
        column = facts.position.column if facts.position else None
        known = (*CONDITION_NAMES, *sorted(NAMED_CONDITIONS))
        return condition_name_fix(name, known, line=line, column=column)
    of_missing = missing.hint(compiled.text)
    if of_missing is not None:
        return of_missing
    if isinstance(error, TypeError) and "'NoneType'" in facts.message:
        return "a value is None: test it first, as in `state.x is not None and state.x > 1`"
    if isinstance(error, AttributeError):
        kind, name = type(error.obj), error.name
        if name == "length" and kind in (str, list):
            return "write len(x) instead of x.length"
        if kind in _KINDS:
            return f"this is {_KINDS[kind]}, which has no keys"
    return error_fix(error, facts)
