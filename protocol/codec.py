"""Bytes to messages and back; every decode error becomes one error here."""

from __future__ import annotations

import functools

import msgspec

from protocol.errors import RemoteProtocolError
from protocol.messages import FromChild, Message, ToChild
from protocol.state import restore_extension

_QUOTE_CHARACTERS = 120

encode = msgspec.msgpack.Encoder().encode
"""Encode one message."""


@functools.cache
def _decoder(messages: object) -> msgspec.msgpack.Decoder[Message]:
    """Make a decoder when it is first needed: it takes a millisecond, and each side needs one."""
    return msgspec.msgpack.Decoder(messages, ext_hook=restore_extension)


def decode_from_child(body: bytes | bytearray) -> Message:
    """Return the message of a frame that a child sent; nothing in it is believed yet.

    Raises:
        RemoteProtocolError: The frame is no message of a child.

    """
    return _decode(_decoder(FromChild), body, "child")


def decode_to_child(body: bytes | bytearray) -> Message:
    """Return the message of a frame that the engine sent.

    Raises:
        RemoteProtocolError: The frame is no message of an engine.

    """
    return _decode(_decoder(ToChild), body, "engine")


def _decode(
    decoder: msgspec.msgpack.Decoder[Message], body: bytes | bytearray, peer: str
) -> Message:
    try:
        return decoder.decode(body)
    # Not only msgspec.DecodeError, which is a ValueError: deep nesting is a RecursionError, an
    # announced container of 2**32 items a MemoryError or an OverflowError, and a value that
    # cannot be a key a TypeError.
    except (ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        # The text quotes the peer, at any length: cut it, keep it ASCII.
        quoted = f"{str(error)[:_QUOTE_CHARACTERS]!a}"
        raise RemoteProtocolError(f"{peer} sent an undecodable frame: {quoted}") from None
