"""Reads a plan from its source: data, JSON text, a file, or the source of a single job.

This module only reads; `engine.plan.validation` checks whether the plan makes sense.  Text of the
plan's author is not compiled or run here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.api import PlanError, Problem
from protocol.suggestion import shorten

if TYPE_CHECKING:
    from protocol.plan import Plan

_MAX_FILE_NAME = 4_096  # PATH_MAX

type_names: dict[type, str] = {
    bool: "true or false",
    bytes: "bytes",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
    type(None): "null",
}


def name_type(value: object) -> str:
    """Return the type of *value* in the words of JSON: ``a list``, ``text``, ``a function``."""
    known = type_names.get(type(value))
    if known is not None:
        return known
    name = "class" if isinstance(value, type) else type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def strip_blanks(text: str) -> str:
    """Return *text* without white space and byte order marks around it."""
    stripped = text.strip()
    while stripped[:1] == "\ufeff" or stripped[-1:] == "\ufeff":
        stripped = stripped.strip("\ufeff").strip()
    return stripped


def is_blank(text: str) -> bool:
    """Whether *text* is empty or only white space."""
    return not strip_blanks(text)


def read_plan(source: Plan | Mapping[str, Any] | str | bytes | os.PathLike[str]) -> Any:
    """Return the plan as unchecked data.

    Args:
        source: Data (`dict` or `Plan`), a string, bytes, or a path.  A string or bytes that begin
            with ``{`` are JSON.  Any other string is the source of a job, which becomes a plan of
            one step.  A file is read only if it is given as a path object, as in `read_file`.

    Raises:
        PlanError: *source* is of another type, a string that names a file or is blank, or text that
            begins like JSON and is not JSON; or `read_file` refuses the file.

    """
    if isinstance(source, os.PathLike):
        return read_file(Path(source))
    if isinstance(source, (bytes, bytearray)):
        return _read_bytes(bytes(source))
    if isinstance(source, str):
        return _read_text(source)
    if isinstance(source, (Mapping, msgspec.Struct)):
        return source
    message = (
        "must be an object with a workflow, JSON text, a path, or the source of one job, "
        f"not {name_type(source)}"
    )
    raise PlanError([Problem("plan", message)])


def read_file(path: Path) -> Any:
    """Return the plan in a ``.json`` file, or a plan of the job in a ``.py`` file.

    Raises:
        PlanError: The file has another suffix, is missing, unreadable or not UTF-8; the plan in it
            is not JSON, or the job in it is blank.

    """
    if path.suffix not in {".json", ".py"}:
        raise PlanError([Problem(str(path), "must be a plan (.json) or a job (.py)")])
    text = read_text_file(path)
    if path.suffix == ".json":
        return read_json(text, origin=str(path))
    return plan_of_job(text, origin=str(path))


def read_text_file(path: Path) -> str:
    """Return the text of a file.

    Raises:
        PlanError: The file is missing, a directory, unreadable, binary, or not UTF-8.

    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not text: byte {error.start + 1} is not UTF-8"
        raise PlanError([Problem(str(path), message)]) from None
    # ValueError: a NUL in the path.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PlanError([Problem(str(path), f"cannot be read: {reason}")]) from None
    return text


def read_json(text: str, *, origin: str = "plan") -> Any:
    """Return the value of a JSON text; ``NaN``, ``Infinity`` and integers beyond 64 bits included.

    Raises:
        PlanError: The text is not JSON, nests too deeply, has an integer of more digits than
            `sys.get_int_max_str_digits`, or has an object with the same key twice.  `json` would
            silently keep one of the two.

    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        reason = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        reason = "is nested too deeply"
    except _RepeatedKeyError as error:
        reason = str(error)
    except ValueError:
        reason = f"has an integer of more than {sys.get_int_max_str_digits()} digits"
    raise PlanError([Problem(origin, reason)])


def plan_of_job(source: str, *, origin: str = "plan") -> dict[str, Any]:
    """Return a plan that runs a single job.

    Raises:
        PlanError: The source is empty or only white space.

    """
    if is_blank(source):
        message = "is empty; a job has operations, or a function main"
        raise PlanError([Problem(origin, message)])
    return {"workflow": {"steps": [{"expression": source}]}}


def _read_text(text: str) -> Any:
    # A job does not begin with a brace: the dict or set that it begins would have no use.
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return read_json(text.lstrip("\ufeff"))
    if _names_file(text):
        # Many callers pass the name of a file as a string, and no job looks like such a name.
        message = "a string is the source of a job, not the name of a file; pass a pathlib.Path"
        raise PlanError([Problem("plan", message)])
    return plan_of_job(text)


def _names_file(text: str) -> bool:
    """Whether a text is the name of a file rather than the source of a job."""
    if "\n" in text or len(text) > _MAX_FILE_NAME or "\0" in text:
        return False
    if text.endswith(".json") or re.fullmatch(r"[\w./~ -]+\.py", text):
        return True
    try:
        return bool(text) and Path(text).is_file()
    except (OSError, ValueError):
        return False


def _read_bytes(body: bytes) -> Any:
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise PlanError([Problem("plan", "a job must be text, not bytes")])
    try:
        return _read_text(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"is not text: byte {error.start + 1} is not UTF-8"
        raise PlanError([Problem("plan", message)]) from None


class _RepeatedKeyError(ValueError):
    """A JSON object has the same key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the JSON object that has these members.

    Raises:
        _RepeatedKeyError: Two members have the same key.

    """
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() returns None on purpose
        raise _RepeatedKeyError(f"has the key {shorten(twice)} twice in one object")
    return members
