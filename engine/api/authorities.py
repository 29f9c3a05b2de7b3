"""Reads a file of certificate authorities (PEM), and refuses any other file."""

from __future__ import annotations

import binascii
import os
import re
import stat
from typing import Final, NoReturn

MAX_BYTES: Final = 16 * 1024 * 1024
"""Size of the largest file.  All public authorities together take less than 1 MB."""

_BEGIN: Final = re.compile(rb"^-----BEGIN ([^\r\n]{1,100}?)-----[ \t]*\r?$", re.MULTILINE)
_END: Final = re.compile(rb"^-----END CERTIFICATE-----", re.MULTILINE)
_WANTED: Final = "name a file with certificates in PEM form"
_DER: Final = b"\x30\x82"
"""The first bytes of a certificate in DER form: a sequence of more than 255 bytes."""
_KEPT: Final = 16

_known: dict[str, tuple[tuple[int, ...], frozenset[bytes]]] = {}
"""For each path the file that was read last, and its certificates."""


def read_authorities(path: str) -> frozenset[bytes]:
    """Return the certificates in a file, in DER form.  A file that has not changed is read once.

    Raises:
        ValueError: The path or the file is not right.  The error quotes the path, and says what would be
            right.

    """
    if "\0" in path:
        _refuse(path, f"has a NUL in it; {_WANTED}")
    if not path.startswith("/"):
        right = "/etc/company/ca.pem" if not path or path[0] == "~" else os.path.realpath(path)
        _refuse(path, f"is not an absolute path; write {right!r}")
    try:
        # With O_NONBLOCK a pipe that nobody writes to does not hold up the engine.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        _refuse(path, f"does not exist; {_WANTED}")
    except OSError as error:
        _refuse(path, f"cannot be read: {error.strerror}")
    try:
        return _read(path, fd)
    finally:
        os.close(fd)


def _read(path: str, fd: int) -> frozenset[bytes]:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        _refuse(path, f"is not a regular file; {_WANTED}")
    if os.geteuid() == 0 and not status.st_mode & stat.S_IROTH:
        # Each run of root has a user id of its own.
        _refuse(path, "a run cannot read as its own user; write chmod a+r for it")
    if status.st_size > MAX_BYTES:
        _refuse(path, f"has {status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    before, found = _known.get(path, ((), frozenset()))
    if before != version:
        with open(fd, "rb", closefd=False) as file:
            found = _parse(path, file.read(MAX_BYTES))
        if len(_known) >= _KEPT:
            _known.clear()
        _known[path] = version, found
    return found


def _parse(path: str, content: bytes) -> frozenset[bytes]:
    import ssl  # only for runs with authorities of their own: it loads two libraries

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found: set[bytes] = set()
    for number, begin in enumerate(_BEGIN.finditer(content), 1):
        label = begin[1].decode("ascii", "replace")
        if label != "CERTIFICATE":
            _refuse(path, f"has {label!r} in it; {_WANTED} only")
        end = _END.search(content, begin.end())
        try:
            certificate = binascii.a2b_base64(content[begin.end() : end.start() if end else None])
            context.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError):
            _refuse(path, f"is damaged: OpenSSL cannot read certificate {number}; {_WANTED}")
        found.add(certificate)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        pass  # OpenSSL wants at least one certificate
    if len(found) != context.cert_store_stats()["x509"]:
        _refuse(path, f"OpenSSL reads in another way; {_WANTED} only")
    if not found:
        form = "is in DER form" if content.startswith(_DER) else "has no certificate in PEM form"
        right = "openssl x509 -inform der -in FILE -out FILE.pem converts it"
        _refuse(path, f"{form}; {right if content.startswith(_DER) else _WANTED}")
    return frozenset(found)


def _refuse(path: str, reason: str) -> NoReturn:
    raise ValueError(f"Permissions.ca_file has {path!r}, which {reason}")
