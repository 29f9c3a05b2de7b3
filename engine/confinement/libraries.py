"""Finds the shared libraries that the standard library's extension modules need.

The names are read from the files themselves (ELF, the dynamic section).  So a child gets access to
single files instead of the machine's library directories.  Source: elf(5), ld.so(8).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

WHEEL_LIBRARIES: Final = (
    "libc.so.6",
    "libcrypt.so.1",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libnsl.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
    "libz.so.1",
)
"""Libraries that a manylinux wheel may expect on the machine (PEP 600), without those for user
interfaces."""

SYSTEM_DIRECTORIES: Final = tuple(
    f"{root}/{name}"
    for root in ("", "/usr", "/usr/local")
    for name in ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64", "lib")
)

_DYNAMIC: Final = 2
_LOAD: Final = 1
_NEEDED: Final = 1
_STRING_TABLE: Final = 5
_STRING_TABLE_BYTES: Final = 10
_HEADER_BYTES: Final = 64
_MOST_BYTES: Final = 1 << 26
"""A part of a file that would be longer is a damaged one."""


def libraries(
    extensions: Iterable[Path], *, loaded: Iterable[str] = (), directories: Iterable[str] = ()
) -> list[str]:
    """Return the paths of all libraries that *extensions* need, also indirectly.

    A library that is not found is left out: an extension that needs it cannot be imported outside a
    child either.

    Args:
        extensions: Files to begin with.
        loaded: Names of libraries that the interpreter itself has loaded, so that they are not
            opened again.
        directories: Where to look before the machine's own directories.

    """
    wanted = [name for extension in extensions for name in needed(extension)]
    wanted += WHEEL_LIBRARIES
    places = [*directories, *SYSTEM_DIRECTORIES]
    cache = _linker_cache()
    known = set(loaded)
    found = []
    while wanted:
        name = wanted.pop()
        if name in known:
            continue
        known.add(name)
        paths = [path for place in places if Path(path := f"{place}/{name}").is_file()]
        # A directory often has two names (/lib, /usr/lib).  The linker uses the name in its cache.
        paths.sort(key=lambda path: os.fsencode(path) + b"\0" not in cache)
        for path in paths[:1]:
            found.append(path)
            wanted += needed(Path(path))
    return sorted(found)


def _linker_cache() -> bytes:
    try:
        return Path("/etc/ld.so.cache").read_bytes()
    except OSError:
        return b""


def needed(file: Path) -> list[str]:
    """Return the names of the libraries that an ELF file asks for; none for other files."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return list(_needed(descriptor))
    except (OSError, OverflowError, struct.error, ValueError):
        return []
    finally:
        os.close(descriptor)


def _needed(descriptor: int) -> Iterator[str]:
    """Read only the parts of the file that are used: libpython has 23 MB, which take 40 ms."""
    header = os.pread(descriptor, _HEADER_BYTES, 0)
    if header[:6] != b"\x7fELF\x02\x01":  # 64 bits, little endian
        return
    (headers,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    data = _read(descriptor, size * count, headers)
    segments = [struct.unpack_from("<IIQQQQQQ", data, i * size) for i in range(count)]
    entries = []
    for kind, _, offset, _, _, length, _, _ in segments:
        if kind == _DYNAMIC:
            data = _read(descriptor, length, offset)
            entries += [struct.unpack_from("<QQ", data, at) for at in range(0, length, 16)]
    values = dict(entries)
    if _STRING_TABLE not in values or _STRING_TABLE_BYTES not in values:
        return
    strings = values[_STRING_TABLE]
    # The table is given by its address in memory; a segment maps this to a place in the file.
    for kind, _, offset, address, _, length, _, _ in segments:
        if kind == _LOAD and address <= strings < address + length:
            place = strings - address + offset
            table = _read(descriptor, values[_STRING_TABLE_BYTES], place)
            for tag, start in entries:
                if tag == _NEEDED:
                    yield table[start : table.index(b"\0", start)].decode("ascii")


def _read(descriptor: int, length: int, place: int) -> bytes:
    if length > _MOST_BYTES:
        raise ValueError(f"{length} bytes")
    return os.pread(descriptor, length, place)
