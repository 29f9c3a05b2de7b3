"""States and events as JSON text.

A state may hold more than JSON can: integers of any size, bytes, and keys other than text.  Bytes
become base64, such keys become their text, and NaN and infinities become null.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from engine.reporting import state_to_json, to_json
from protocol.report import ErrorReport

if TYPE_CHECKING:
    from protocol.events import AnyEvent, Event


MAX_DIGITS: Final = 4_000
"""A longer integer is written in the form of `engine.to_json`: few readers accept it as a
number."""

DEEPEST: Final = 400
"""Deepest nesting in the values that only Python's own encoder can write.  Python 3.11 stops a
little deeper and Python 3.12 at twice this depth; our own limit makes the text of an event the same
in each version."""

_UNSEEN: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
"""Characters that JSON need not escape, and that steer some terminals."""


def event_line(event: Event) -> bytes:
    """Return an event as a line of JSON; `engine.event_from_json` reads what JSON cannot nest."""
    try:
        return _encode(event, 0) + b"\n"
    except ValueError:
        return _escaped(to_json(cast("AnyEvent", event)).encode()) + b"\n"


def encode_json(value: Any, *, indent: int = 0, exact: bool = False) -> bytes:
    """Return *value* as JSON, on one line unless *indent* is given.

    Args:
        value: A state, an event, or a dict of such.
        indent: Spaces for each level; 0: one line.
        exact: A member that is nested too deeply becomes null, so that the call always gives an
            answer.

    Raises:
        ValueError: The value is nested deeper than the interpreter can follow, and *exact* is
            false.

    """
    try:
        return _encode(value, indent)
    except ValueError:
        if not exact:
            raise
        return _encode({key: _or_none(member) for key, member in value.items()}, indent)


def exact_json(state: Any) -> str:
    """Return a state as JSON text, in the form of `engine.to_json` where JSON lacks a value."""
    return state_to_json(state)


def _or_none(value: Any) -> Any:
    try:
        _encode(value, 0)
    except ValueError:
        if isinstance(value, ErrorReport):
            return msgspec.structs.replace(value, details=None)
        return None
    return value


def _escaped(encoded: bytes) -> bytes:
    """Return JSON with an escape for each character that a terminal may obey."""
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()).encode()


def _encode(value: Any, indent: int) -> bytes:
    try:
        try:
            encoded = msgspec.json.encode(value)
        # Only Python's own encoder can write keys that are tuples, bytes or null.
        except (TypeError, ValueError, OverflowError):
            encoded = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()
        return _escaped(msgspec.json.format(encoded, indent=indent) if indent else encoded)
    except RecursionError:
        raise ValueError("nested too deeply to be written as JSON") from None


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        return {_key(key): _plain(member, depth + 1) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(member, depth + 1) for member in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 3:
        return {"$int": hex(value)}
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        named = {value.__struct_config__.tag_field: tag} if tag is not None else {}
        members = {name: getattr(value, name) for name in value.__struct_fields__}
        return named | _plain(members, depth)
    return msgspec.to_builtins(value)  # dates


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)
