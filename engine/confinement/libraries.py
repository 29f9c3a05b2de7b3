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
        data = file.read_bytes()
        if data[:6] != b"\x7fELF\x02\x01":  # 64 bits, little endian
            return []
        return list(_needed(data))
    except (OSError, struct.error, ValueError):
        return []


def _needed(data: bytes) -> Iterator[str]:
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, headers + i * size) for i in range(count)]
    entries = [
        struct.unpack_from("<QQ", data, segment[2] + at)
        for segment in segments
        if segment[0] == _DYNAMIC
        for at in range(0, segment[5], 16)
    ]
    strings = next((value for tag, value in entries if tag == _STRING_TABLE), None)
    if strings is None:
        return
    # The table is given by its address in memory; a segment maps this to a place in the file.
    for kind, _, offset, address, _, length, _, _ in segments:
        if kind == _LOAD and address <= strings < address + length:
            table = strings - address + offset
            for tag, value in entries:
                if tag == _NEEDED:
                    start = table + value
                    yield data[start : data.index(b"\0", start)].decode("ascii")
