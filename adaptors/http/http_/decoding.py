"""Decompresses the body of a response piece by piece, so that a small body cannot fill the memory.

httpx decompresses each piece that arrives as a whole: 64 kB of brotli can become gigabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

PIECE_BYTES = 65_536
"""Most bytes that a decoder makes at once."""

MOST_CODINGS = 3
"""Most codings of one body; a real server uses one."""


class UndecodableError(Exception):
    """A body is not in the coding that its header names."""


def _find_brotli() -> Any:
    """Return the package brotli; None if it is missing, or cannot bound what it makes."""
    try:
        import brotli
    except ImportError:
        return None
    return brotli if hasattr(brotli.Decompressor, "can_accept_more_data") else None


BROTLI: Any = _find_brotli()
"""Loaded with this module, so that a warm run has it."""

ACCEPTED = "gzip, deflate" + (", br" if BROTLI is not None else "")
"""The value of `Accept-Encoding`."""


def decoded(chunks: Iterable[bytes], codings: str, limit_bytes: int) -> Iterator[bytes]:
    """Return the pieces of a body without its codings.

    Args:
        chunks: The body as it was sent.
        codings: The header `Content-Encoding`.
        limit_bytes: Most bytes after each coding but the last, whose bytes the caller counts.

    Raises:
        UndecodableError: A coding is unknown, there are too many, or the body is broken or cut off.

    """
    names = [name for name in (part.strip().lower() for part in codings.split(",")) if name]
    names = [name for name in names if name != "identity"]
    if len(names) > MOST_CODINGS:
        raise UndecodableError(f"it has {len(names)} codings; {MOST_CODINGS} are the most")
    made: Iterator[bytes] = iter(chunks)
    for number, name in enumerate(reversed(names)):
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise UndecodableError(f"its coding {name!r:.50} is not one of {', '.join(_DECODERS)}")
        if number:
            made = _bounded(made, limit_bytes)
        made = decoder(made)
    return made


def _bounded(pieces: Iterator[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Pass on pieces.  Ten gigabytes between two codings may end as an empty body."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit_bytes:
            raise UndecodableError("it is larger than the limit between two codings")
        yield piece


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip, which may have several members one after another (RFC 1952)."""
    return _inflate(chunks, lambda _: zlib.decompressobj(16 + zlib.MAX_WBITS), members=True)


def _undeflate(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress deflate, which many servers send without the header of zlib."""

    def make(first: bytes) -> zlib._Decompress:
        has_header = len(first) < 2 or (
            first[0] & 0x0F == 8 and (first[0] << 8 | first[1]) % 31 == 0
        )
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)

    return _inflate(chunks, make, members=False)


def _inflate(
    chunks: Iterator[bytes], make: Callable[[bytes], zlib._Decompress], *, members: bool
) -> Iterator[bytes]:
    decoder: zlib._Decompress | None = None
    for chunk in chunks:
        data = chunk
        while data:
            if decoder is None or (decoder.eof and members):
                decoder = make(data)
            elif decoder.eof:
                break  # what follows the end belongs to nobody, as in browsers
            try:
                piece = decoder.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise UndecodableError(f"it is not what its coding says ({error})") from None
            yield piece
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if decoder.eof and members and not data.strip(b"\0"):
                data = b""  # padding with zeros, which RFC 1952 allows
    while decoder is not None and not decoder.eof:
        piece = decoder.decompress(b"", PIECE_BYTES)
        if not piece and not decoder.eof:
            raise UndecodableError("it was cut off")
        yield piece


def _unbrotli(chunks: Iterator[bytes]) -> Iterator[bytes]:
    brotli = BROTLI
    if brotli is None:
        raise UndecodableError("its coding is 'br', which needs the package brotli 1.2 or newer")
    decoder = brotli.Decompressor()

    def made(data: bytes) -> bytes:
        try:
            piece: bytes = decoder.process(data, output_buffer_limit=PIECE_BYTES)
        except brotli.error as error:
            raise UndecodableError(f"it is not what its coding says ({error})") from None
        return piece

    fed = False
    for chunk in chunks:
        data, fed = chunk, True
        while not decoder.is_finished():
            yield made(data)
            data = b""
            if decoder.can_accept_more_data():
                break
    while fed and not decoder.is_finished():
        piece = made(b"")
        if not piece and not decoder.is_finished():
            raise UndecodableError("it was cut off")
        yield piece


_DECODERS: dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _undeflate,
    "br": _unbrotli,
}
