"""Jobs that connect, and servers for them on this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from runs import make_engine

from engine import Engine, NetConnect, Permissions, Policy, Run, RunOptions

CONNECT = """
import socket

def attempt(host, port):
    try:
        with socket.create_connection((host, port), timeout=20) as end:
            end.sendall(b"ping")
            return end.recv(4).decode() or "ended"
    except OSError as error:
        return type(error).__name__

def main(state):
    return {"data": [attempt(*place) for place in state["data"]]}
"""
"""A job that connects to each place in its data, and returns what came of it.  It has no language wall."""


CONNECTOR = CONNECT.replace(
    """def main(state):
    return {"data": [attempt(*place) for place in state["data"]]}
""",
    """def reach(*places):
    return lambda state: {"data": [attempt(*place) for place in places]}
""",
)


def install_connector(directory: Path) -> Path:
    """Write a repo with the adaptor ``net``, whose verb ``reach`` connects to places; return the repo."""
    package = directory / "repo/net_1/net"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CONNECTOR)
    entry = {"name": "net", "version": "1", "path": "net_1", "module": "net"}
    (directory / "repo/repo.json").write_text(json.dumps({"adaptors": [entry]}))
    return directory / "repo"


class Echo:
    """A server on this machine that sends back what it gets."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(end,), daemon=True).start()

    def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while data := end.recv(1 << 16):
                end.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextlib.contextmanager
def echo(address: str = "127.0.0.1", port: int = 0) -> Iterator[Echo]:
    """Serve an echo."""
    server = Echo(address, port)
    try:
        yield server
    finally:
        server.close()


def options(*rules: str, **changes: object) -> RunOptions:
    """Return options of a run with network rules."""
    return RunOptions(timeout_s=60.0, permissions=Permissions(net=rules), **changes)  # type: ignore[arg-type]


def engine_with(mode: str, made: RunOptions, **policy: object) -> Engine:
    """Return an engine without the language wall whose children are ready for these options."""
    walls = Policy(**{"language": False, **policy})  # type: ignore[arg-type]
    return make_engine(mode, policy=walls, options=made, max_runs=4)


def connections(run: Run) -> list[tuple[str, int, str]]:
    """Return host, port and outcome of each reported connection."""
    events = run.poll(after=0)
    return [(e.host, e.port, e.outcome) for e in events if isinstance(e, NetConnect)]
