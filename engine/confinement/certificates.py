"""Where a run finds the certificate authorities of this machine.

Asked of the interpreter's own OpenSSL, which has directories compiled in, and completed by the places
where other TLS libraries look.  Only public certificates: no directory with private keys.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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
"""Paths that libraries with an OpenSSL or a TLS of their own open by name."""


@functools.cache
def certificates() -> tuple[str, ...]:
    """Return the files and directories to be read; found once for a process.

    A child has a root directory in which only readable paths exist, each under the name that it is given
    here.  So a path that leads through symbolic links is named as it is spelled, and so is what a link
    inside of a directory points at.
    """
    found: list[str] = []
    for path in (*_compiled_in(), *USUAL):
        if Path(path).exists() and not _lies_below(path, found):
            found.append(path)
    for directory in tuple(filter(os.path.isdir, found)):
        for target in _link_targets(directory):
            if Path(target).is_file() and not _lies_below(target, found):
                found.append(target)
    return tuple(found)


def _compiled_in() -> Iterator[str]:
    """Yield what OpenSSL opens of itself.  Source: SSL_CTX_set_default_verify_paths(3)."""
    try:
        import _ssl  # its half in C only, and late: it loads two libraries
    except ImportError:  # a Python without TLS
        return
    _, file, _, directories = _ssl.get_default_verify_paths()
    yield file
    yield from filter(os.path.isabs, directories.split(os.pathsep))
    yield os.path.join(os.path.dirname(file), "openssl.cnf")  # noqa: PTH118, PTH120 - plain texts


def _link_targets(directory: str) -> Iterator[str]:
    """Yield where the links below *directory* lead, as a child will spell it.

    In its root the directory is not a link, whatever it is here: what is relative begins at its name.
    """
    for place, _, _ in os.walk(directory):
        for entry in os.scandir(place):
            if entry.is_symlink():
                yield os.path.normpath(os.path.join(place, os.readlink(entry.path)))  # noqa: PTH115, PTH118


def _lies_below(path: str, directories: list[str]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in directories)
