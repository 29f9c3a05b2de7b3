"""Run by `benchmarks.bench_relay` as a script: one end of connections, in a process of its own.

``relay_process.py send|receive DESCRIPTOR MEGABYTES`` waits for a line of input, moves the bytes, and prints JSON.
``relay_process.py serve DESCRIPTOR`` answers each connection of a listener with a byte, and closes it.
``relay_process.py documents DESCRIPTOR MEGABYTES`` answers HTTP on each connection of a listener.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import zlib
from typing import Final

BLOCK_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 18


def send(end: socket.socket, megabytes: int) -> int:
    """Send random bytes, and return their checksum when the other side has all of them."""
    block = memoryview(os.urandom(BLOCK_BYTES + megabytes))
    total = 0
    for number in range(megabytes):
        part = block[number : number + BLOCK_BYTES]
        end.sendall(part)
        if number % 16 == 0:  # a checksum of everything would be most of the time
            total = zlib.crc32(part, total)
    end.shutdown(socket.SHUT_WR)
    end.recv(1)
    return total


def receive(end: socket.socket, megabytes: int) -> int:
    """Receive bytes until the other side has ended, and return the same checksum."""
    buffer = memoryview(bytearray(BLOCK_BYTES))
    total = 0
    for number in range(megabytes):
        filled = 0
        while filled < BLOCK_BYTES:
            count = end.recv_into(buffer[filled : filled + READ_BYTES])
            if not count:
                raise EOFError(f"only {number} MB and {filled} bytes came")
            filled += count
        if number % 16 == 0:
            total = zlib.crc32(buffer, total)
    if end.recv(1):
        raise ValueError("more bytes came than were sent")
    end.send(b"x")
    return total


def serve(listener: socket.socket) -> None:
    """Answer connections, until the listener is shut down."""
    with contextlib.suppress(OSError):
        while True:
            end, _ = listener.accept()
            with end, contextlib.suppress(OSError):
                end.send(b"x")


def documents(listener: socket.socket, megabytes: int) -> None:
    """Answer a GET with a document of zeros, and read the document of a POST."""
    block = memoryview(bytes(BLOCK_BYTES))
    while True:
        end, _ = listener.accept()
        with end, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += end.recv(READ_BYTES)
            if head.startswith(b"POST"):
                head, _, body = head.partition(b"\r\n\r\n")
                left = int(head.lower().partition(b"content-length:")[2].split()[0]) - len(body)
                buffer = bytearray(READ_BYTES)
                while left:
                    left -= end.recv_into(buffer)
                end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                continue
            length = megabytes * BLOCK_BYTES
            end.sendall(
                f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode()
            )
            for _ in range(megabytes):
                end.sendall(block)


def main(what: str, fd: int, megabytes: int = 0) -> None:
    """Do what the arguments say."""
    end = socket.socket(fileno=fd)
    end.setblocking(True)
    if what == "serve":
        serve(end)
        return
    if what == "documents":
        documents(end, megabytes)
        return
    sys.stdin.readline()
    began, used = time.perf_counter(), time.process_time()
    checksum = (send if what == "send" else receive)(end, megabytes)
    seconds = time.perf_counter() - began
    print(json.dumps([seconds, time.process_time() - used, checksum]))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
