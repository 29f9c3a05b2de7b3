"""Paths at which a run finds the certificate authorities of this machine.

The list has the directories that are compiled into the interpreter's OpenSSL, and the places where
other TLS libraries look.  It has public certificates only, and no directory with private keys.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.confinement import lies_below

USUAL: Final = (
    "/etc/ca-certificates/extracted",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/var/lib/ca-certificates",
)
"""Paths that libraries with their own OpenSSL or TLS open by name."""


@functools.cache
def certificates() -> tuple[str, ...]:
    """Return the files and directories that a run must read; they are found once for a process.

    A child has a root directory in which only readable paths exist, each under the name that it has
    here.  So a path that leads through symbolic links keeps its spelling, and the target of a link
    inside a directory is listed by the spelling in the link.
    """
    found: list[str] = []
    for path in (*_compiled_in(), *USUAL):
        if Path(path).exists() and not lies_below(path, found):
            found.append(path)
    for directory in tuple(filter(os.path.isdir, found)):
        for target in _link_targets(directory):
            if Path(target).is_file() and not lies_below(target, found):
                found.append(target)
    return tuple(found)


def _compiled_in() -> Iterator[str]:
    """Yield the paths that OpenSSL opens by itself.

    Source: SSL_CTX_set_default_verify_paths(3).
    """
    try:
        import _ssl  # only the C half of ssl, and late: it loads two libraries
    except ImportError:  # a Python without TLS
        return
    _, file, _, directories = _ssl.get_default_verify_paths()
    yield file
    yield from filter(os.path.isabs, directories.split(os.pathsep))
    yield _settings_beside(file)


@functools.cache
def settings() -> tuple[str, ...]:
    """Return the settings of OpenSSL, which has no authorities in it."""
    try:
        import _ssl
    except ImportError:
        return ()
    found = _settings_beside(_ssl.get_default_verify_paths()[1])
    return (found,) if Path(found).exists() else ()


def _settings_beside(file: str) -> str:
    return os.path.join(os.path.dirname(file), "openssl.cnf")  # noqa: PTH118, PTH120 - plain texts


def _link_targets(directory: str) -> Iterator[str]:
    """Yield the targets of the links below *directory*, as a child will spell them.

    In the root of a child the directory itself is not a link.  So relative targets begin at its
    name.
    """
    for place, _, _ in os.walk(directory):
        for entry in os.scandir(place):
            if entry.is_symlink():
                yield os.path.normpath(os.path.join(place, os.readlink(entry.path)))  # noqa: PTH115, PTH118
