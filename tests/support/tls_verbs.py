"""Verbs of an adaptor that speak TLS with well-known libraries, for a test's repo: `install` copies it."""

from __future__ import annotations

import compileall
import importlib.util
import shutil
from pathlib import Path

VERBS = '''
import asyncio, os, ssl, urllib.request


def by_urllib(url):
    return lambda state: {"data": urllib.request.urlopen(url, timeout=20).read().decode()}


def by_asyncio(host, port):
    async def call(state):
        reader, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
        writer.write(f"GET / HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        answer = await reader.read()
        writer.close()
        return {"data": answer.partition(b"\\r\\n\\r\\n")[2].decode()}
    return call


def by_requests(url):
    def call(state):
        import requests
        return {"data": requests.get(url, timeout=20).text}
    return call


def by_httpx(url):
    def call(state):
        import httpx
        return {"data": httpx.get(url, timeout=20).text}
    return call


def by_httpx_async(url):
    async def call(state):
        import httpx
        async with httpx.AsyncClient(timeout=20) as client:
            return {"data": (await client.get(url)).text}
    return call


def by_psycopg(conninfo):
    """Return whether the connection is encrypted, as the server sees it."""
    def call(state):
        import psycopg
        with psycopg.connect(conninfo, connect_timeout=20) as connection:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return {"data": connection.execute(query).fetchone()[0]}
    return call


def download(url):
    """Return the size and the checksum of a document."""
    def call(state):
        import zlib
        size = total = 0
        with urllib.request.urlopen(url, timeout=60) as answer:
            while block := answer.read(1 << 18):
                size, total = size + len(block), zlib.crc32(block, total)
        return {"data": [size, total]}
    return call


def upload(url, megabytes):
    """Send a document, and return its checksum and that of the server."""
    def call(state):
        import random, zlib
        block = random.Random(megabytes).randbytes(1 << 20)
        total = 0
        for _ in range(megabytes):
            total = zlib.crc32(block, total)
        request = urllib.request.Request(url, (block for _ in range(megabytes)), method="POST")
        request.add_header("Content-Length", str(megabytes << 20))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return {"data": [total, int(answer.read())]}
    return call


def authorities():
    def operation(state):
        return {"data": len(ssl.create_default_context().get_ca_certs())}
    return operation


def environment():
    return lambda state: {"data": dict(os.environ)}


def look(path):
    def operation(state):
        with open(path, "rb") as file:
            size = len(file.read())
        try:
            with open(path, "ab"):
                return {"data": "writable"}
        except OSError:
            return {"data": size}
    return operation
'''

PACKAGES = (
    *("requests", "urllib3", "charset_normalizer", "certifi", "idna"),
    *("httpx", "httpcore", "h11", "anyio", "sniffio", "typing_extensions"),
    *("psycopg", "psycopg_binary", "psycopg_binary.libs"),
)
"""An adaptor sees the packages in its own directory only."""


def install(directory: Path) -> Path:
    """Write the adaptor ``tls``, and return its directory."""
    (directory / "tls").mkdir(parents=True)
    (directory / "tls/__init__.py").write_text(VERBS)
    site = Path(importlib.util.find_spec("certifi").origin).parents[1]  # type: ignore[union-attr,arg-type]
    for name in PACKAGES:
        place = site / name
        if place.is_dir():
            shutil.copytree(place, directory / name)
        elif place.with_suffix(".py").exists():
            shutil.copy2(place.with_suffix(".py"), directory)
    # Each child would compile each module again, because it cannot write bytecode.
    compileall.compile_dir(directory, quiet=1)
    return directory
