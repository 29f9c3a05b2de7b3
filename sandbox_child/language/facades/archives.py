"""gzip and zlib on bytes, with a limit: a kilobyte can expand to a gigabyte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades

MAX_OUTPUT_BYTES = 100 * 1024 * 1024
"""Largest result of a call: a fifth of the memory that a run has by default."""


def _expand(data: Any, window: int) -> bytes:
    """Return *data* decompressed; it may consist of several gzip members.

    Raises:
        ValueError: The result would have more than MAX_OUTPUT_BYTES.
        EOFError: The data ends too early.

    """
    import zlib

    rest, parts, left = bytes(data), [], MAX_OUTPUT_BYTES
    while rest:
        stream = zlib.decompressobj(window)
        part = stream.decompress(rest, left + 1)
        if len(part) > left:
            raise ValueError(f"the data expands to more than {MAX_OUTPUT_BYTES} bytes")
        if not stream.eof:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        parts.append(part)
        left -= len(part)
        if window <= _ZLIB_WINDOW:
            break
        rest = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


_ZLIB_WINDOW = 15  # zlib.MAX_WBITS
_GZIP_WINDOW = 31  # the same, with the header of gzip


def make_zlib(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return ``decompress`` with a limit."""
    import zlib

    def decompress(data: Any, /, wbits: int = _ZLIB_WINDOW, bufsize: int = 0) -> bytes:  # noqa: ARG001 - a hint
        try:
            return _expand(data, wbits)
        except EOFError:
            message = "Error -5 while decompressing data: incomplete or truncated stream"
            raise zlib.error(message) from None

    return {"MAX_WBITS": _ZLIB_WINDOW, "decompress": decompress}


def make_gzip(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return ``compress`` and ``decompress``, but not the functions that open files."""
    import gzip
    import zlib

    def compress(data: Any, compresslevel: int = 9, *, mtime: float | None = None) -> bytes:
        return gzip.compress(data, compresslevel, mtime=mtime)

    def decompress(data: Any) -> bytes:
        if data and bytes(data[:2]) != b"\x1f\x8b":
            raise gzip.BadGzipFile(f"Not a gzipped file ({bytes(data[:2])!r})")
        try:
            return _expand(data, _GZIP_WINDOW)
        except zlib.error as error:
            raise gzip.BadGzipFile(str(error)) from None

    return {"compress": compress, "decompress": decompress}
