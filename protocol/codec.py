"""Bytes to messages and back; every decode error becomes one error here."""

from __future__ import annotations

import msgspec

from protocol.errors import RemoteProtocolError
from protocol.messages import FromChild, Message, ToChild
from protocol.state import restore_extension

_QUOTE_CHARACTERS = 120

encode = msgspec.msgpack.Encoder().encode
"""Encode one message."""


_decoders: dict[str, msgspec.msgpack.Decoder[Message]] = {}
"""By who speaks.  Made when first needed: one takes a millisecond, and each side needs one."""


def decode_from_child(body: bytes | bytearray) -> Message:
    """Return the message of a frame that a child sent; nothing in it is believed yet.

    Raises:
        RemoteProtocolError: The frame is no message of a child.

    """
    return _decode(FromChild, body, "child")


def decode_to_child(body: bytes | bytearray) -> Message:
    """Return the message of a frame that the engine sent.

    Raises:
        RemoteProtocolError: The frame is no message of an engine.

    """
    return _decode(ToChild, body, "engine")


def _decode(messages: object, body: bytes | bytearray, peer: str) -> Message:
    decoder = _decoders.get(peer)
    if decoder is None:
        decoder = _decoders[peer] = msgspec.msgpack.Decoder(messages, ext_hook=restore_extension)
    try:
        return decoder.decode(body)
    # Not only msgspec.DecodeError, which is a ValueError: deep nesting is a RecursionError, an
    # announced container of 2**32 items a MemoryError or an OverflowError, and a value that
    # cannot be a key a TypeError.
    except (ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        if type(error) is MemoryError and messages is ToChild:
            raise  # the engine is believed: this process has met its memory limit
        # The text quotes the peer, at any length: cut it, keep it ASCII.
        quoted = f"{str(error)[:_QUOTE_CHARACTERS]!a}"
        raise RemoteProtocolError(f"{peer} sent an undecodable frame: {quoted}") from None
