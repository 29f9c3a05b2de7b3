"""Bytes to messages and back; every decode error becomes one error here."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from protocol.errors import RemoteProtocolError
from protocol.limits import MAX_COLLECTION_BYTES, MAX_MESSAGE_BYTES
from protocol.message import Message
from protocol.messages import FromChild, ToChild
from protocol.state import restore_extension

_QUOTE_CHARACTERS = 120

# Compiled at their first use, because only the engine reads large messages of a child.
_BEGINNING: Final = (
    rb"(?:[\x80-\x8f]|\xde..|\xdf....)(?:\xa4|\xd9\x04|\xda..|\xdb....)type"
    rb"(?:[\xa0-\xbf]|\xd9.|\xda..|\xdb....)([a-z-]{1,32})"
)
"""A map, the key ``type``, and its value."""

_STATE_KEY: Final = rb"(?:\xa5|\xd9\x05|\xda..|\xdb....)state."
_WITH_STATE: Final = frozenset({b"job-complete", b"job-error", b"workflow-complete"})

encode = msgspec.msgpack.Encoder().encode
"""Encode one message."""


_UNDECODABLE: Final = (ValueError, TypeError, RecursionError, MemoryError, OverflowError)
"""The errors of a decoder.  msgspec.DecodeError is a ValueError.  Deep nesting is a RecursionError, and
a key of a wrong type is a TypeError.  An announced container of 2**32 items is a MemoryError or an
OverflowError."""

_decoders: dict[str, msgspec.msgpack.Decoder[Message]] = {}
"""Decoders by the sender of the messages.  Making a decoder takes a millisecond, and each side
needs only one of them, so it is made at its first use."""


def decode_from_child(body: bytes | bytearray, *, log_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    """Return the message of a frame from a child; the caller must not trust its content.

    The cost of decoding is bounded first, by the type of the message.

    Args:
        body: The frame.
        log_bytes: The most bytes that a batch of log lines may have.

    Raises:
        RemoteProtocolError: The frame is not a message of a child, or is larger than its type
            allows.

    """
    if len(body) > MAX_MESSAGE_BYTES:
        _check_size(body, log_bytes)
    decoder = _decoders.get("child") or _make_decoder("child", FromChild)
    try:
        return decoder.decode(body)
    except _UNDECODABLE as error:
        raise _undecodable("child", error) from None


def _check_size(body: bytes | bytearray, log_bytes: int) -> None:
    """Check the size of a large frame, after reading only its type and the length of its state.

    An honest encoder writes the type first and the state second.  In another order a state counts
    like everything else.
    """
    begun = re.match(_BEGINNING, body, re.DOTALL)
    name = begun[1].decode("ascii", "replace") if begun else "?"
    size, allowed = len(body), MAX_MESSAGE_BYTES
    if begun and begun[1] in _WITH_STATE:
        size -= _length_of_state(body, begun.end())
    elif name == "log-batch":
        allowed = log_bytes
    elif name == "collection-set":
        allowed = MAX_COLLECTION_BYTES
    if size > allowed:
        what = f"{name[:_QUOTE_CHARACTERS]!a}"
        raise RemoteProtocolError(
            f"child sent {size} bytes in one message of the type {what}; allowed: {allowed}"
        )


def _length_of_state(body: bytes | bytearray, place: int) -> int:
    """Return the length of the byte string under the key ``state`` at *place*, or 0."""
    key = re.compile(_STATE_KEY, re.DOTALL).match(body, place)
    if key is None:
        return 0
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4}.get(body[key.end() - 1])
    if width is None:
        return 0
    length = int.from_bytes(body[key.end() : key.end() + width], "big")
    return min(length, len(body) - key.end())


def decode_to_child(body: bytes | bytearray) -> Message:
    """Return the message of a frame that the engine sent.

    Raises:
        RemoteProtocolError: The frame is not a message of an engine.

    """
    decoder = _decoders.get("engine") or _make_decoder("engine", ToChild)
    try:
        return decoder.decode(body)
    except MemoryError:
        raise  # the engine is trusted, so this process has met its memory limit
    except _UNDECODABLE as error:
        raise _undecodable("engine", error) from None


def _make_decoder(peer: str, messages: object) -> msgspec.msgpack.Decoder[Message]:
    decoder = _decoders[peer] = msgspec.msgpack.Decoder(messages, ext_hook=restore_extension)
    return decoder


def _undecodable(peer: str, error: Exception) -> RemoteProtocolError:
    # The text quotes the peer and may have any length: cut it, and keep it ASCII.
    quoted = f"{str(error)[:_QUOTE_CHARACTERS]!a}"
    return RemoteProtocolError(f"{peer} sent an undecodable frame: {quoted}")
