"""States and events as JSON text.

A state may hold more than JSON can: integers of any size, bytes, keys that are no text.  Bytes
become base64, such keys their text, and numbers that are none (NaN) null.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import msgspec


def encode_json(value: Any, *, indent: int = 0) -> bytes:
    """Return *value* as JSON, on one line unless *indent* is given.

    Raises:
        ValueError: It is nested deeper than the interpreter can follow.

    """
    try:
        try:
            encoded = msgspec.json.encode(value)
        # What only Python can write: keys that are tuples, bytes or null.
        except (TypeError, ValueError, OverflowError):
            encoded = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()
        return msgspec.json.format(encoded, indent=indent) if indent else encoded
    except RecursionError:
        raise ValueError("nested too deeply to be written as JSON") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(member) for member in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        named = {value.__struct_config__.tag_field: tag} if tag is not None else {}
        return named | {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return msgspec.to_builtins(value)  # dates


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)
