"""The HTTP server of `jobcell serve`: where it listens, and how it ends although clients wait for events."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from litestar import Litestar

from jobcell.server.app import end_streams

PATIENCE_S: Final = 3.0
"""Seconds that requests have to end by themselves; then their connections are cut."""

_BACKLOG: Final = 2048


class Listener(uvicorn.Server):
    """Serves an application until a signal.

    Args:
        app: The application.
        announce: Called once the handlers of signals are set.  From then on, a signal ends the server in order.

    """

    def __init__(self, app: Litestar, announce: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(PATIENCE_S),
            loop="asyncio",  # uvloop does not take the socket of a path
        )
        super().__init__(config)
        self._app = app
        self._announce = announce
        self.ended_by: int | None = None
        """The number of the signal that has ended the server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as requests to end.

        uvicorn would send them again afterwards. SIGTERM would then end the process before telemetry is passed on
        and the file of a Unix socket is removed.
        """
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            self._announce()
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of a signal; a second Ctrl-C ends at once."""
        self.ended_by = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, let other requests end, and cut the connections that are left.

        uvicorn itself would cancel the tasks, and each would print a traceback.
        """
        for server in self.servers:
            server.close()
        end_streams(self._app)
        if tasks := [*self.server_state.tasks]:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        for connection in [*self.server_state.connections]:
            transport = getattr(connection, "transport", None)
            if transport is not None and self.server_state.tasks:
                transport.abort()  # for example a client that does not read
        await super().shutdown(sockets)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of *host*; the port 0 takes a free one.

    Raises:
        OSError: None of the addresses can be listened on.

    """
    found: list[socket.socket] = []
    problem: OSError | None = None
    kinds = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, place in dict.fromkeys(kinds):
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # `localhost` may be two addresses: they share the port
            chosen = found[0].getsockname()[1] if found else port
            made.bind((place[0], chosen, *place[2:]))
            made.listen(_BACKLOG)
        except OSError as error:
            made.close()
            # A machine without IPv6 has a name for its address all the same.
            if error.errno == errno.EADDRNOTAVAIL or problem is None:
                problem = error
            if error.errno != errno.EADDRNOTAVAIL:
                break
        else:
            found.append(made)
    if problem is not None and (not found or problem.errno != errno.EADDRNOTAVAIL):
        for made in found:
            made.close()
        raise problem
    return found


def listen_unix(path: Path, mode: int) -> socket.socket:
    """Return a socket that listens at *path*, where only users with the permissions *mode* may connect.

    The socket of a server that is gone is replaced.

    Raises:
        OSError: The socket cannot be made, or another server listens there.

    """
    made = socket.socket(socket.AF_UNIX)
    try:
        if _is_stale(path):
            path.unlink()
        before = os.umask(0o777 & ~mode)  # a moment with other permissions would be enough
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _is_stale(path: Path) -> bool:
    """Return whether *path* is a socket at which nobody listens."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False
