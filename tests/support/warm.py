"""Programs that use the engine, without the start of an interpreter and its imports for each.

A start costs 0.2 to 0.4 s of a processor, and tests of managers need hundreds of them. A program here is a
process of its own with its own streams, environment and directory: a fork of a server that has imported the
engine and did nothing else. Tests of the start itself run ``sys.executable``.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = Path(__file__).with_name("warm_server.py")
KINDS = ("programs", "commands")
"""A command needs many more modules than a program with an engine, and a fork pays for each of them."""

_servers: dict[tuple[int, str], socket.socket] = {}
"""The connections to the servers of this process, by its process id and their kind."""


def start(kind: str) -> socket.socket:
    """Return the connection to the server of a kind, which is started by the first call."""
    connection = _servers.get((os.getpid(), kind))
    if connection is None:
        connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # It goes into the background, and ends with the connection.
            subprocess.run(
                [sys.executable, str(SERVER), str(theirs.fileno()), kind],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=SERVER.parents[2],
                check=True,
            )
        _servers[os.getpid(), kind] = connection
        atexit.register(connection.close)
    return connection


def run_warm(
    source: str | None,
    *arguments: object,
    warnings: tuple[str, ...] = (),
    stdin: str = "",
    env: dict[str, str] | None = None,
    cwd: Path | str | None = None,
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; without a source it is `jobcell` with these arguments.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.

    """
    kind = "commands" if source is None else "programs"
    argv = ["jobcell" if source is None else "-c", *map(str, arguments)]
    request = {
        "source": source,
        "argv": argv,
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
        "warnings": warnings,
    }
    with (
        tempfile.TemporaryFile("w+") as given,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(stdin)
        given.seek(0)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                fds = [file.fileno() for file in (given, out, err, theirs)]
                try:
                    socket.send_fds(start(kind), [json.dumps(request).encode()], fds)
                except BrokenPipeError:
                    raise RuntimeError("the warm server has ended; its error is above") from None
            status = _wait(ours, argv, timeout_s)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, status, out.read(), err.read())


def _wait(end: socket.socket, argv: list[str], timeout_s: float) -> int:
    said = b""
    end.settimeout(timeout_s)
    try:
        while data := end.recv(100):
            said += data
    except TimeoutError:
        os.kill(int(said.split()[0]), signal.SIGKILL)
        raise subprocess.TimeoutExpired(argv, timeout_s) from None
    return int(said.split()[1])
