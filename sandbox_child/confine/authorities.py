"""Tells libraries in a child where the certificate authorities of the run are.

This is not a wall.  Each library reads a variable of its own, some of them only in C, and `os.environ` sets
both.  The variables are set when the child is confined, because the environment of its start is that of
every child.
"""

from __future__ import annotations

import os

FILES = (
    "SSL_CERT_FILE",  # OpenSSL, so also ssl, urllib, asyncio, aiohttp; httpx reads it itself
    "REQUESTS_CA_BUNDLE",  # requests
    "CURL_CA_BUNDLE",  # requests, without the one above
    "PGSSLROOTCERT",  # libpq, so psycopg; asyncpg reads it itself
)
"""Variables with the path of the file."""

MODES = {"PGSSLMODE": "verify-full"}
"""libpq encrypts by default if the server likes to, and goes on in plain text if the certificate is wrong."""


def announce(path: str) -> None:
    """Let libraries trust the authorities in a file, and no others.

    With an empty path they look where they always do.
    """
    if path:
        os.environ.update(dict.fromkeys(FILES, path) | MODES)
