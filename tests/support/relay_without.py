"""A relay without one of its limits, for the twins of attacks: ``python -I -S relay_without.py LIMIT name=directory``.

The walls are on: only the limit is off.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from typing import Any


def wait_for_the_reader() -> None:
    """Read all that comes, and keep it until the other side takes it."""
    from engine.network.relay import connection, flow

    class Greedy(flow.Flow):
        kept: bytearray

        def step(self, room: Any, moved: Any, turn_bytes: int = 0) -> bool:
            if not self.moved:
                self.kept = bytearray()
            try:
                while not self.ended:
                    data = self._source.recv(1 << 18)
                    self.ended = not data
                    self.kept += data
                    self.moved += len(data)
                    moved(len(data))
            except BlockingIOError:
                pass
            try:
                while self.kept:
                    del self.kept[: self._target.send(self.kept)]
            except BlockingIOError:
                pass
            self.held = len(self.kept)
            return False

        def close(self) -> None:
            pass

    connection.Flow = Greedy


def go_on_with_others() -> None:
    """Wait for a reader as long as it takes, and serve nobody else."""
    from engine.network.relay import connection, flow

    class Blocking(flow.Flow):
        def step(self, room: Any, moved: Any, turn_bytes: int = 0) -> bool:
            try:
                data = self._source.recv(1 << 18)
            except BlockingIOError:
                return False
            self._target.setblocking(True)
            self._target.sendall(data)
            self._target.setblocking(False)
            self.ended = self.over = not data
            self.moved += len(data)
            moved(len(data))
            return bool(data)

    connection.Flow = Blocking


def look_at_few_addresses() -> None:
    """Try every address of a name."""
    from engine.network.relay import resolver

    resolver.MAX_ADDRESSES = 1_000_000


def look_up_few_names() -> None:
    """Give a run as many threads as it wants."""
    from engine.network.relay import resolver

    resolver.MAX_FOR_RUN = 1_000_000


def follow_few_names() -> None:
    """Follow each CNAME of a name server, and so never come to an end in a loop."""
    from engine.network.relay import resolver

    def follow(name: str) -> Any:
        while True:
            labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.connect(("127.0.0.53", 53))
                end.send(b"\0\7\1\0\0\1" + bytes(6) + labels + b"\0\0\1\0\1")
                answer = end.recv(4096)
            if answer[-2:] != b"\xc0\x0c":  # a CNAME for the name of the question itself
                return [(socket.AF_INET, socket.inet_ntoa(answer[-4:]))]

    resolver.resolve = follow


def leave_soon() -> None:
    """Give the last bytes of a run as long as they take."""
    from engine.network.relay import run

    run.LEAVE_S = 1_000.0


LIMITS = {
    limit.__name__: limit
    for limit in (
        *(wait_for_the_reader, go_on_with_others),
        *(look_at_few_addresses, look_up_few_names, follow_few_names),
        leave_soon,
    )
}


def main(limit: str, arguments: list[str]) -> None:
    directories = dict(pair.split("=", 1) for pair in arguments)
    place = f"{directories['engine']}/network/relay/__main__.py"
    spec = importlib.util.spec_from_file_location("relay_main", place)
    assert spec is not None
    assert spec.loader is not None
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    start.prepare(arguments)
    LIMITS[limit]()
    from engine.network.relay.serving import serve

    os._exit(serve())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
