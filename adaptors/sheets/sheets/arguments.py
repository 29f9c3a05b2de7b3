"""Resolves the arguments of verbs, and makes the states that they return."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from .errors import ArgumentError, kind

State: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[State], State]

_MOST_CALLS: Final = 100


def resolve(state: State, value: Any) -> Any:
    """Return *value* with each function in it replaced by the result of the function for *state*."""
    for _ in range(_MOST_CALLS):
        if not callable(value) or isinstance(value, type):
            break
        value = value(state)
    if isinstance(value, Mapping):
        return {key: resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(state, inner) for inner in value]
    return value


def content_of(value: Any) -> bytes:
    """Return the bytes of a file: they are given as bytes, or as text in base64.

    Raises:
        ArgumentError: *value* is neither.

    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ArgumentError(
                "the content is bytes, or text in base64; this text is not"
            ) from None
    raise ArgumentError(f"the content is bytes, or text in base64, not {kind(value)}")


def next_state(state: State, data: Any) -> State:
    """Return the state with new `data`; the old value becomes the last of `references`."""
    return {
        **state,
        "data": data,
        "references": [*(state.get("references") or ()), state.get("data")],
    }


def written(state: State, content: bytes, *, as_base64: bool) -> State:
    """Return the state with the bytes of a file."""
    return next_state(state, base64.b64encode(content).decode() if as_base64 else content)


def flag(name: str, value: Any) -> bool:
    """Return a flag.

    Raises:
        ArgumentError: It is not one.

    """
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} is True or False, not {kind(value)}")
    return value


def positive(name: str, value: Any) -> float:
    """Return a number above 0.

    Raises:
        ArgumentError: It is not one.

    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ArgumentError(f"{name} is a number above 0, not {value!r:.100}")
    return value
