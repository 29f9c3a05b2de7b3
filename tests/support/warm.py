"""Programs that use the engine, without the start of an interpreter and its imports for each.

A start costs 0.2 to 0.4 s of a processor, and tests of managers need hundreds of them. A program here is a
process of its own with its own streams, environment and directory: a fork of a server that has imported the
engine and did nothing else. Tests of the start itself run ``sys.executable``.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

SERVER = Path(__file__).with_name("warm_server.py")
KINDS = ("programs", "commands")
"""A command needs many more modules than a program with an engine, and a fork pays for each of them."""

_servers: dict[str, socket.socket] = {}
"""The connections to the servers by their kind. Forks of this process share them, because each request is one message."""

_pip: list[str] = []
"""The name of the server with pip, if it was started."""


def start(kind: str, door: socket.socket | None = None) -> socket.socket:
    """Return the connection to the server of a kind, which is started by the first call."""
    connection = _servers.get(kind)
    if connection is None:
        connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fds = [theirs.fileno(), *([] if door is None else [door.fileno()])]
            # It goes into the background, and ends with the connection.
            subprocess.run(
                [sys.executable, str(SERVER), str(fds[0]), kind, *map(str, fds[1:])],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                cwd=SERVER.parents[2],
                check=True,
            )
        _servers[kind] = connection
        atexit.register(connection.close)
    return connection


def start_pip() -> str:
    """Return the name of the server for `python -m pip`, which is started by the first call: see `warm_pip`."""
    if not _pip:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            name = f"jobcell-warm-pip-{os.getpid()}"
            door.bind(f"\0{name}")
            door.listen(100)
            start("installers", door)
        _pip.append(name)
    return _pip[0]


class WarmProcess:
    """A running program. It is not a child of this process, and has the methods of `subprocess.Popen` that tests need."""

    def __init__(
        self,
        source: str | None,
        *arguments: object,
        streams: tuple[int, int, int],
        warnings: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
        cwd: Path | str | None = None,
        real_end: bool = False,
        kind: str | None = None,
        join: int | None = None,
        terminal: bool = False,
        borrows: bool = False,
        closed: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            source: The program; None is `jobcell`.
            arguments: The arguments of the program.
            streams: Descriptors for its standard input, output and error.
            warnings: As the options ``-W`` of the interpreter.
            env: Its environment, if it is not that of this process.
            cwd: Its directory, if it is not that of this process.
            real_end: Whether it ends as every interpreter does, for tests of this end, which takes 40 ms.
            kind: The server; a program that needs a store is quicker as one of the ``commands``.
            join: A process of whose network and view of the files it becomes a part, for root only.
            terminal: Whether its standard input is a terminal, in whose foreground a shell would have started it.
            borrows: Whether the children of its engines are forks, too, which are not children of its process:
                see `lent_children`. Only for ``commands`` and the kinds that are built on it.
            closed: The numbers of the streams that it does not have.

        """
        kind = kind or ("commands" if source is None else "programs")
        self.args = ["jobcell" if source is None else "-c", *map(str, arguments)]
        request = {
            "source": source,
            "argv": self.args,
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd or Path.cwd()),
            "warnings": warnings,
            "real_end": real_end,
            "join": join,
            "terminal": terminal,
            "borrows": borrows,
            "closed": closed,
        }
        self.returncode: int | None = None
        self._end, theirs = socket.socketpair()
        with theirs:
            fds = [*streams, theirs.fileno()]
            try:
                socket.send_fds(start(kind), [json.dumps(request).encode()], fds)
            except BrokenPipeError:
                self._end.close()
                raise RuntimeError("the warm server has ended; its error is above") from None
        self._said = b""
        while b" " not in self._said:
            self._hear(None)
        self.pid = int(self._said.split()[0])

    def _hear(self, timeout_s: float | None) -> bool:
        """Wait for bytes of the server; return False if there were none in time."""
        self._end.settimeout(timeout_s)
        try:
            data = self._end.recv(100)
        except (BlockingIOError, TimeoutError):
            return False
        self._said += data
        if not data:
            self._end.close()
            self.returncode = int(self._said.split()[1])
        return True

    def poll(self) -> int | None:
        """Return the exit code, or None if the program still runs."""
        while self.returncode is None and self._hear(0):
            pass
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: The program still runs.

        """
        while self.returncode is None:
            if not self._hear(timeout):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if the program still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


@contextlib.contextmanager
def heard(*arguments: object, **options: Any) -> Iterator[tuple[WarmProcess, TextIO]]:
    """Give a running `jobcell` with these arguments, and its standard error; it is killed at the end."""
    ours, theirs = os.pipe()
    with os.fdopen(ours) as errors:
        try:
            with Path(os.devnull).open("r+b") as nothing:
                streams = (nothing.fileno(), nothing.fileno(), theirs)
                process = WarmProcess(None, *arguments, streams=streams, **options)
        finally:
            os.close(theirs)
        try:
            yield process, errors
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def run_warm(
    source: str | None,
    *arguments: object,
    warnings: tuple[str, ...] = (),
    stdin: str = "",
    stdout: str = "",
    env: dict[str, str] | None = None,
    cwd: Path | str | None = None,
    timeout_s: float = 60.0,
    real_end: bool = False,
    kind: str | None = None,
    borrows: bool | None = None,
    closed: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; without a source it is `jobcell` with these arguments.

    Its standard output is kept, unless *stdout* is a file. The engine of a command borrows its children, unless
    *borrows* is False.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.

    """
    with (
        tempfile.TemporaryFile("w+") as given,
        Path(stdout).open("w") if stdout else tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        given.write(stdin)
        given.seek(0)
        process = WarmProcess(
            source,
            *arguments,
            streams=(given.fileno(), out.fileno(), err.fileno()),
            warnings=warnings,
            env=env,
            cwd=cwd,
            real_end=real_end,
            kind=kind,
            borrows=source is None if borrows is None else borrows,
            closed=closed,
        )
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise
        err.seek(0)
        if stdout:
            return subprocess.CompletedProcess(process.args, status, "", err.read())
        out.seek(0)
        return subprocess.CompletedProcess(process.args, status, out.read(), err.read())


SHIM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
    end.connect({door!r})
    request = [sys.argv[1:], os.getcwd(), dict(os.environ)]
    socket.send_fds(end, [json.dumps(request).encode()], [0, 1, 2])
    code = int(end.recv(100))
sys.exit(code)
"""


@contextlib.contextmanager
def command_file(file: Path) -> Iterator[None]:
    """Make an executable file that is `jobcell`, for a shell that starts it a dozen times."""
    door = file.with_suffix(".door")
    file.write_text(SHIM.format(python=sys.executable, door=str(door)))
    file.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(door))
        listening.listen()
        thread = threading.Thread(target=_serve_commands, args=(listening,))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve_commands(listening: socket.socket) -> None:
    """Carry out one command after the other, until the socket is shut down."""
    while True:
        try:
            end = listening.accept()[0]
        except OSError:
            return
        with end:
            data, fds, _, _ = socket.recv_fds(end, 1 << 20, 3)
            arguments, directory, environment = json.loads(data)
            try:
                streams = (fds[0], fds[1], fds[2])
                process = WarmProcess(
                    None, *arguments, streams=streams, env=environment, cwd=directory
                )
            finally:
                for fd in fds:
                    os.close(fd)
            end.send(str(process.wait()).encode())
