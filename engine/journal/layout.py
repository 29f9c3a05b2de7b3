"""The bytes of a journal file.

A file is a header and a row of records.  Each record is::

    marker (4 bytes) | length of the body (u32) | CRC-32 of both | digest (16 bytes) | body

The body of the first record may be a description of the run in place of a record of a step.

The digest covers the body and the digest of the record before, so a changed, removed or moved
record is noticed.  The length has a checksum of its own.  A changed length is therefore not
mistaken for an incomplete record.  Numbers are little endian.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

MAGIC: Final = b"jobcell journal\n"
VERSION: Final = 1
HEADER: Final = struct.Struct("<16sBB14x")
"""The magic bytes, the version, whether the bodies are encrypted, and zeros."""

MARKER: Final = b"\x1eREC"
_LENGTH: Final = struct.Struct("<4sI")
_HEAD: Final = struct.Struct("<4sII16s")
HEAD_BYTES: Final = _HEAD.size
DIGEST_BYTES: Final = 16

MAX_BODY_BYTES: Final = 1 << 30
"""All states are smaller, so a longer body means damage."""


class DamagedError(Exception):
    """The bytes were not written by this module; the text says what is wrong with them."""


class Head(NamedTuple):
    """The facts about a record that are written before its body."""

    body_bytes: int
    digest: bytes


def digest_of(before: bytes, body: bytes) -> bytes:
    """Return the digest of a record whose body comes after the record with the digest *before*."""
    import hashlib  # it loads OpenSSL, and many engines have no journal

    return hashlib.blake2b(before + body, digest_size=DIGEST_BYTES).digest()


def encode_record(before: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of a record, and its digest."""
    digest = digest_of(before, body)
    check = zlib.crc32(_LENGTH.pack(MARKER, len(body)))
    return _HEAD.pack(MARKER, len(body), check, digest) + body, digest


def decode_head(data: bytes) -> Head | None:
    """Return the head of a record; None if *data* ends within the head.

    Raises:
        DamagedError: *data* does not begin as a record does.

    """
    if data[: len(MARKER)] != MARKER[: len(data)]:
        raise DamagedError("the marker of a record is missing")
    if len(data) < HEAD_BYTES:
        return None
    marker, body_bytes, check, digest = _HEAD.unpack_from(data)
    if check != zlib.crc32(_LENGTH.pack(marker, body_bytes)) or body_bytes > MAX_BODY_BYTES:
        raise DamagedError("the length of a record was changed")
    return Head(body_bytes, digest)
