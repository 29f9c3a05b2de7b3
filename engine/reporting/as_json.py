"""Events and results as strict JSON, and back without a loss.

Most of them are JSON as they are.  A value that JSON lacks is written as an object with one key
that begins with ``$``:

====================================  =========================================
``{"$float": "nan"}``                 a float that is not finite (``inf``, ``-inf``)
``{"$int": "-0x1f..."}``              an integer that does not fit into 64 bits
``{"$bytes": "aGk="}``                bytes, in base64
``{"$tuple": [...]}``                 a tuple
``{"$map": [[key, value], ...]}``     a map with a key that is not text, or one that looks like these
``{"$packed": "gqFh..."}``            msgpack in base64, where that lies deeper than `MAX_DEPTH`
====================================  =========================================
"""

from __future__ import annotations

import base64
import math
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from engine.reporting.result import RunResult
from protocol.events import AnyEvent, Event
from protocol.state import StateNotCarriedError, decode_state, encode_state

MAX_DEPTH: Final = 100
"""Deepest nesting of a value that needs such an object: the walk over it uses the caller's
stack."""

_64_BITS: Final = range(-(2**63), 2**64)
_LONG_NUMBER: Final = re.compile(r"\d{20}")
"""The form of an integer beyond 64 bits, which another program may not read as an integer."""

_SIGNS_OF_ESCAPES: Final = ('"$', "\\u0024")

_T = TypeVar("_T")


def to_json(value: AnyEvent | RunResult) -> str:
    """Return an event or a result as strict JSON on one line.

    `event_from_json` and `result_from_json` return an equal value for it.

    Raises:
        TypeError: *value* is of another type, or contains a value that a state cannot hold.

    """
    if not isinstance(value, Event | RunResult):
        raise TypeError(f"to_json takes an event or a RunResult, not {type(value).__name__}")
    kind = AnyEvent if isinstance(value, Event) else RunResult
    try:
        text = msgspec.json.encode(value).decode()
        # Nearly always that is all.  A value that would not come back equal needs an escape.
        plain = not (_may_hold_escapes(text) or _LONG_NUMBER.search(text))
        if plain and msgspec.json.decode(text, type=kind) == value:
            return text
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # the walk below finds a form for the value, or says what is wrong with it
    return msgspec.json.encode(_struct(value)).decode()


def state_to_json(state: Any) -> str:
    """Return a state as strict JSON, with the forms that `to_json` has for values that JSON lacks.

    Raises:
        TypeError: *state* contains a value that a state cannot hold.

    """
    try:
        text = msgspec.json.encode(state).decode()
        plain = not (_may_hold_escapes(text) or _LONG_NUMBER.search(text))
        if plain and msgspec.json.decode(text) == state:
            return text
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass  # as in `to_json`
    return msgspec.json.encode(_exact(state, 0)).decode()


def event_from_json(text: str | bytes) -> AnyEvent:
    """Return the event in a text of `to_json`.

    Raises:
        ValueError: The text is not JSON, or does not describe an event.

    """
    event: AnyEvent = _read(text, AnyEvent, "an event")
    return event


def result_from_json(text: str | bytes) -> RunResult:
    """Return the result in a text of `to_json`.

    Raises:
        ValueError: The text is not JSON, or does not describe a result.

    """
    result: RunResult = _read(text, RunResult, "a result")
    return result


# --- to JSON ---


def _struct(value: msgspec.Struct) -> dict[str, Any]:
    config = value.__struct_config__
    members: dict[str, Any] = {}
    if config.tag is not None:
        members[str(config.tag_field)] = config.tag
    for field in msgspec.structs.fields(value):
        member = getattr(value, field.name)
        members[field.encode_name] = _exact(member, 0) if field.type is Any else _typed(member)
    return members


def _typed(value: Any) -> Any:
    """Return the value of a field whose type says how to read it back."""
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, tuple | list):
        return [_typed(item) for item in value]
    return _exact(value, 0)


def _exact(value: Any, depth: int) -> Any:
    """Return the value in a form that says what it was."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if value in _64_BITS else {"$int": hex(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if depth >= MAX_DEPTH:
        return {"$packed": _pack(value)}
    if isinstance(value, list):
        return [_exact(item, depth + 1) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [_exact(item, depth + 1) for item in value]}
    if isinstance(value, dict):
        return _map(value, depth)
    raise TypeError(f"to_json cannot carry a value of the type {type(value).__name__}")


def _map(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    members = {key: _exact(item, depth + 1) for key, item in value.items()}
    if all(isinstance(key, str) for key in members) and not _is_escape(members):
        return members
    return {"$map": [[_exact(key, depth + 1), item] for key, item in members.items()]}


def _pack(value: Any) -> str:
    def pack() -> str:
        try:
            return base64.b64encode(encode_state(value)).decode()
        except StateNotCarriedError as error:
            failed.append(str(error))
            raise RecursionError from None  # perhaps: another try on an empty stack decides it

    failed: list[str] = []
    try:
        return _with_room(pack)
    except ValueError:
        raise TypeError(f"to_json: {failed[-1]}") from None


# --- from JSON ---


def _read(text: str | bytes, kind: Any, what: str) -> Any:
    if isinstance(text, bytes | bytearray | memoryview):
        try:
            text = bytes(text).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"this is not {what} in JSON: it is not UTF-8: {error}") from None
    elif not isinstance(text, str):
        raise TypeError(f"{what} in JSON must be a str, not {type(text).__name__}")
    text = text.removeprefix("\ufeff")
    try:
        if not _may_hold_escapes(text):
            return _with_room(lambda: msgspec.json.decode(text, type=kind))
        return _with_room(lambda: msgspec.convert(_restore(msgspec.json.decode(text)), kind))
    # Besides msgspec's own errors: a lone surrogate, a number beyond all limits, deep nesting.
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"this is not {what} in JSON: {error}") from None


def _with_room(read: Callable[[], _T]) -> _T:
    """Read in this thread or, if the caller has left too little stack, in a fresh thread."""
    try:
        return read()
    except RecursionError:
        done: list[_T] = []
        failed: list[str] = []

        def again() -> None:
            try:
                done.append(read())
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                failed.append(str(error))  # only the text: an error would keep this frame alive

        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
        if failed:
            raise ValueError(failed[0]) from None
        return done[0]


def _may_hold_escapes(text: str) -> bool:
    return any(sign in text for sign in _SIGNS_OF_ESCAPES)


def _is_escape(members: Mapping[Any, Any]) -> bool:
    return len(members) == 1 and next(iter(members)) in _RESTORE


def _restore(value: Any) -> Any:
    if type(value) is list:
        return [_restore(item) for item in value]
    if type(value) is not dict:
        return value
    if not _is_escape(value):
        return {key: _restore(item) for key, item in value.items()}
    [(name, written)] = value.items()
    try:
        return _RESTORE[name](written)
    except (ValueError, TypeError, LookupError):
        raise ValueError(f"{name!r} cannot be {_shown(written)}") from None


def _shown(value: Any) -> str:
    text = f"{value!r:.61}"
    return f"{text[:60]}..." if len(text) > 60 else text


def _restore_float(written: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[written]


def _restore_bytes(written: Any) -> bytes:
    return base64.b64decode(written, validate=True)


def _restore_map(written: Any) -> dict[Any, Any]:
    pairs = [(key, item) for key, item in written]
    return {_restore(key): _restore(item) for key, item in pairs}


_RESTORE: Final[dict[str, Callable[[Any], Any]]] = {
    "$float": _restore_float,
    "$int": lambda written: int(written, 16),
    "$bytes": _restore_bytes,
    "$tuple": lambda written: tuple(map(_restore, _list(written))),
    "$map": _restore_map,
    "$packed": lambda written: decode_state(_restore_bytes(written)),
}


def _list(written: Any) -> list[Any]:
    if type(written) is not list:
        raise TypeError
    return written
