"""The bytes of a journal file.

A file is a header and a row of records.  Each record is::

    marker (4 bytes) | length of the body (u32) | CRC-32 of both | digest (16 bytes) | body

The digest covers the digest before it and the body, so a record that was changed, removed or moved
is found.  The length has a checksum of its own, so a changed length is not taken for a record whose
end is missing.  Numbers are little endian.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Final, NamedTuple

MAGIC: Final = b"jobcell journal\n"
VERSION: Final = 1
HEADER: Final = struct.Struct("<16sBB14x")
"""Magic, version, whether the bodies are encrypted; the rest is zero."""

MARKER: Final = b"\x1eREC"
_LENGTH: Final = struct.Struct("<4sI")
_HEAD: Final = struct.Struct("<4sII16s")
HEAD_BYTES: Final = _HEAD.size
DIGEST_BYTES: Final = 16

MAX_BODY_BYTES: Final = 1 << 30
"""No state is as large: a longer body means damage."""


class DamagedError(Exception):
    """The bytes are not what this module writes; the text says what is wrong with them."""


class Head(NamedTuple):
    """What stands before the body of a record."""

    body_bytes: int
    digest: bytes


def digest_of(before: bytes, body: bytes) -> bytes:
    """Return the digest of a record whose body comes after the record with the digest *before*."""
    return hashlib.blake2b(before + body, digest_size=DIGEST_BYTES).digest()


def encode_record(before: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of a record, and its digest."""
    digest = digest_of(before, body)
    check = zlib.crc32(_LENGTH.pack(MARKER, len(body)))
    return _HEAD.pack(MARKER, len(body), check, digest) + body, digest


def decode_head(data: bytes) -> Head | None:
    """Return the head of a record; None if *data* is a beginning of one.

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
