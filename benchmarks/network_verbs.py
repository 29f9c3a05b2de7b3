"""The adaptor of `benchmarks.bench_network`: it moves bytes, and says how long that took.

The same functions run outside of a sandbox, for a direct connection: ``network_verbs.py NAME [ARGUMENT ...]``.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

BLOCK_BYTES = 1 << 20
READ_BYTES = 1 << 18

Operation = Callable[[dict[str, Any]], dict[str, Any]]


def measured(move: Callable[[], tuple[int, int]]) -> Operation:
    def operation(_state: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        size, checksum = move()
        return {"data": [time.perf_counter() - began, size, checksum]}

    return operation


def take(host: str, port: int) -> Operation:
    """Read from a socket until its end."""

    def move() -> tuple[int, int]:
        buffer = memoryview(bytearray(READ_BYTES))
        size = checksum = 0
        with socket.create_connection((host, port), timeout=60) as end:
            end.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while count := end.recv_into(buffer):
                if not size:  # a checksum of everything would be most of the time
                    checksum = zlib.crc32(bytes(buffer[:16]))
                size += count
        return size, checksum

    return measured(move)


def give(host: str, port: int, megabytes: int) -> Operation:
    """Write to a socket, and wait for an answer."""

    def move() -> tuple[int, int]:
        block = bytes(BLOCK_BYTES)
        head = f"POST / HTTP/1.0\r\nContent-Length: {megabytes << 20}\r\n\r\n".encode()
        with socket.create_connection((host, port), timeout=60) as end:
            end.sendall(head)
            for _ in range(megabytes):
                end.sendall(block)
            return megabytes << 20, zlib.crc32(end.recv(12))

    return measured(move)


def take_by_httpx(host: str, port: int) -> Operation:
    """Read a document with httpx, in pieces."""
    import httpx

    def move() -> tuple[int, int]:
        size = 0
        with httpx.stream("GET", f"http://{host}:{port}/", timeout=60) as answer:
            for piece in answer.iter_raw():
                size += len(piece)
        return size, answer.status_code

    return measured(move)


def give_by_httpx(host: str, port: int, megabytes: int) -> Operation:
    """Send a document with httpx, in pieces."""
    import httpx

    def blocks() -> Iterator[bytes]:
        block = bytes(BLOCK_BYTES)
        for _ in range(megabytes):
            yield block

    def move() -> tuple[int, int]:
        length = {"Content-Length": str(megabytes << 20)}
        url = f"http://{host}:{port}/"
        answer = httpx.post(url, content=blocks(), headers=length, timeout=60)
        return megabytes << 20, answer.status_code

    return measured(move)


def connect(host: str, port: int, count: int) -> Operation:
    """Make connections one after another; each reads one byte."""

    def move() -> tuple[int, int]:
        for _ in range(count):
            with socket.create_connection((host, port), timeout=60) as end:
                if end.recv(1) != b"x":
                    raise EOFError("no byte came")
        return count, 0

    return measured(move)


if __name__ == "__main__":
    name, host, *numbers = sys.argv[1:]
    print(json.dumps(globals()[name](host, *map(int, numbers))({})["data"]))
