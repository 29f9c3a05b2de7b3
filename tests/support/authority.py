"""Certificates for the TLS servers of tests, made by the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of a test."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", self._key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={name}"),
            # Python 3.13 verifies strictly, as RFC 5280 requires.
            *("-addext", "keyUsage=critical,keyCertSign"),
        )

    def issue(self, name: str, *hosts: str) -> Path:
        """Return a file with a key and a certificate for 127.0.0.1, and for the names of hosts."""
        key, made, both = (self.directory / f"{name}.{end}" for end in ("key", "crt", "both"))
        extensions = self.directory / f"{name}.ext"
        names = ",".join(["IP:127.0.0.1", *(f"DNS:{host}" for host in hosts)])
        extensions.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", key, "-out", f"{made}.csr", "-subj", f"/CN={name}"),
        )
        self._openssl(
            *("x509", "-req", "-in", f"{made}.csr", "-CA", self.certificate, "-CAkey", self._key),
            *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", made),
        )
        both.write_text(key.read_text() + made.read_text())
        return both

    @property
    def hash(self) -> str:
        """Return the name, without its number, under which OpenSSL looks for the certificate."""
        return self._openssl("x509", "-hash", "-noout", "-in", self.certificate).strip()

    def _openssl(self, *arguments: object) -> str:
        done = subprocess.run(
            ["openssl", *map(str, arguments)], capture_output=True, text=True, check=True
        )
        return done.stdout
