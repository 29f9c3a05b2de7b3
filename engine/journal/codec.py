"""Encodes step records as bytes, and decodes them without a loss."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.api import StepRecord
from protocol.report import ErrorReport
from protocol.state import StateNotCarriedError, decode_state, encode_state


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A record whose details and extra facts are encoded by the rules for states."""

    step_run_id: str
    step_id: str
    attempt: int
    ending: str
    state: bytes
    next: tuple[str, ...]
    error: ErrorReport | None
    details: bytes | None
    extra: bytes
    holds_secret: bool = False


_ABOUT: Final = b"\xc1"
"""The first byte of a description of the run.  MessagePack never uses it, so no record begins so."""

_decoder = msgspec.msgpack.Decoder(_Stored)


def encode(record: StepRecord) -> bytes:
    """Return a record as bytes.

    Raises:
        ValueError: A value in it cannot be kept.

    """
    error, details = record.error, None
    try:
        if error is not None and error.details is not None:
            details = encode_state(_decoded(error.details))
            error = msgspec.structs.replace(error, details=None)
        extra = encode_state(record.extra)
        stored = _Stored(
            record.step_run_id,
            record.step_id,
            record.attempt,
            record.ending,
            bytes(record.state),
            record.next,
            error,
            details,
            extra,
            record.holds_secret,
        )
        return msgspec.msgpack.encode(stored)
    except (StateNotCarriedError, TypeError) as problem:
        raise ValueError(f"the record of {record.step_run_id!r}: {problem}") from None


def decode(body: bytes) -> StepRecord:
    """Return the record that `encode` has written.

    Raises:
        ValueError: *body* is something else.

    """
    stored = _decoder.decode(body)
    error = stored.error
    if error is not None and stored.details is not None:
        error = msgspec.structs.replace(error, details=decode_state(stored.details))
    return StepRecord(
        stored.step_run_id,
        stored.step_id,
        stored.attempt,
        "fail" if stored.ending == "fail" else "success",
        stored.state,
        stored.next,
        error,
        decode_state(stored.extra),
        stored.holds_secret,
    )


def is_about(body: bytes) -> bool:
    """Whether the body is a description of the run, and not a record."""
    return body[:1] == _ABOUT


def encode_about(about: dict[str, Any]) -> bytes:
    """Return a description of the run as bytes.

    Raises:
        ValueError: A value in it cannot be kept.

    """
    try:
        return _ABOUT + encode_state(about)
    except StateNotCarriedError as problem:
        raise ValueError(f"the description of the run: {problem}") from None


def decode_about(body: bytes) -> dict[str, Any]:
    """Return the description that `encode_about` has written.

    Raises:
        ValueError: *body* is something else.

    """
    about = decode_state(body[len(_ABOUT) :])
    if not isinstance(about, dict):
        raise ValueError("it is not a dict")  # noqa: TRY004 - an error of the bytes
    return about


def _decoded(details: Any) -> Any:
    return decode_state(details) if isinstance(details, msgspec.Raw) else details
