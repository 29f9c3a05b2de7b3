"""Questions and answers of the domain name system, as bytes.  It knows no sockets.

Source: RFC 1035, 4.1; RFC 3596 for AAAA; RFC 6891 for EDNS, which an answer may ignore.
"""

from __future__ import annotations

from typing import Final

import msgspec

HEADER_BYTES: Final = 12
MAX_QUESTION_BYTES: Final = 4_096
"""Longest datagram that is looked at."""
TTL_S: Final = 60

A: Final = 1
AAAA: Final = 28
INTERNET: Final = 1
_MAX_NAME_BYTES: Final = 255
_MAX_LABEL: Final = 63

NO_ERROR: Final = 0
FORMAT_ERROR: Final = 1
SERVER_FAILURE: Final = 2
NO_NAME: Final = 3
NOT_IMPLEMENTED: Final = 4
REFUSED: Final = 5

_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_POINTER_TO_QUESTION: Final = b"\xc0\x0c"
_NAME_BYTES: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class Question(msgspec.Struct, frozen=True):
    """A question, in a message that is well formed."""

    id: bytes
    flags: int
    name: str
    """In lower case, without a dot at its end; bytes that a name may not have are escaped."""
    legal: bool
    """Whether the name has only letters, digits, ``-`` and ``_``, and is not empty."""
    type: int
    raw: bytes
    """The question as it was asked, with its case, for the answer."""


class Malformed(msgspec.Struct, frozen=True):
    """A message that gets an error in place of an answer."""

    id: bytes
    flags: int
    code: int


def read_question(message: bytes) -> Question | Malformed | None:
    """Return the question of *message*; None if it must not be answered at all."""
    if len(message) < HEADER_BYTES:
        return None
    id_, flags = message[:2], int.from_bytes(message[2:4], "big")
    if flags & _RESPONSE:
        return None  # two servers could answer each other for ever
    if flags & _OPCODE:
        return Malformed(id_, flags, NOT_IMPLEMENTED)
    malformed = Malformed(id_, flags, FORMAT_ERROR)
    counts = [int.from_bytes(message[at : at + 2], "big") for at in range(4, 12, 2)]
    if counts[:3] != [1, 0, 0]:
        return malformed
    read = _read_name(message)
    if read is None:
        return malformed
    labels, at = read
    raw = message[HEADER_BYTES : at + 4]
    if len(message) < at + 4 or (len(message) > at + 4 and not counts[3]):
        return malformed
    type_ = int.from_bytes(message[at : at + 2], "big")
    if int.from_bytes(message[at + 2 : at + 4], "big") != INTERNET:
        return Malformed(id_, flags, REFUSED)
    lowered = [label.lower() for label in labels]
    legal = bool(labels) and all(map(_NAME_BYTES.issuperset, lowered))
    name = ".".join(map(_shown, lowered))[:_MAX_NAME_BYTES] or "."
    return Question(id_, flags, name, legal, type_, raw)


def _read_name(message: bytes) -> tuple[list[bytes], int] | None:
    """Return the labels of the name behind the header, and the place behind it."""
    labels: list[bytes] = []
    at = HEADER_BYTES
    while at < len(message):
        length = message[at]
        at += 1
        if length == 0:
            return labels, at
        # A question is the first thing in a message, so a pointer could only point at itself.
        if length > _MAX_LABEL or at + length > len(message):
            return None
        labels.append(message[at : at + length])
        at += length
        if at - HEADER_BYTES >= _MAX_NAME_BYTES:
            return None
    return None


def _shown(label: bytes) -> str:
    return "".join(chr(byte) if byte in _NAME_BYTES else f"\\x{byte:02x}" for byte in label)


def answer(question: Question, addresses: list[bytes], code: int = NO_ERROR) -> bytes:
    """Return the answer to *question*: addresses of 4 or 16 bytes, or an error."""
    records = b"".join(
        _POINTER_TO_QUESTION
        + (A if len(address) == 4 else AAAA).to_bytes(2, "big")
        + INTERNET.to_bytes(2, "big")
        + TTL_S.to_bytes(4, "big")
        + len(address).to_bytes(2, "big")
        + address
        for address in addresses
    )
    return _header(question, code, 1, len(addresses)) + question.raw + records


def error(message: Malformed) -> bytes:
    """Return the answer to a message without a usable question."""
    return _header(message, message.code, 0, 0)


def _header(message: Question | Malformed, code: int, questions: int, answers: int) -> bytes:
    asked = message.flags & (_OPCODE | _RECURSION_DESIRED)
    flags = _RESPONSE | asked | _RECURSION_AVAILABLE | code
    counts = (flags, questions, answers, 0, 0)
    return message.id + b"".join(number.to_bytes(2, "big") for number in counts)
