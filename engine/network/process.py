"""The process of a relay, and the conversation with it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import time
from collections import deque
from functools import partial
from typing import Final

from engine.confinement import relay_command
from engine.network.run_network import RunNetwork
from engine.start import Watcher, spawn_server
from protocol.relay import (
    CONTROL_FD,
    MAX_DATAGRAM_BYTES,
    Close,
    Closed,
    Configure,
    Open,
    Ready,
    RelayLost,
    decode_from_relay,
    encode,
)

_log = logging.getLogger("jobcell")

CLOSED_AFTER_S: Final = 2.0
"""Longest time for the end of a network.  A relay gives the last bytes half a second."""

HANGS_AFTER_S: Final = 10.0
"""A relay that does not answer for this time is ended, because its runs could not connect."""

TRY_AGAIN_S: Final = 0.02
_TRY_AGAIN: Final = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
"""Errors of a kernel without room for a datagram, or for descriptors on their way: unix(7)."""

_MESSAGES: Final = 64
"""Most messages of the relay in one turn: other runs must be heard as well."""


class RelayProcess:
    """A relay, and the networks that it serves.  For the supervisor's thread; no method waits for it.

    Args:
        watcher: The supervisor.
        proxy: The HTTP proxy for all connections.

    Raises:
        OSError: The process could not be started.

    """

    def __init__(self, watcher: Watcher, proxy: str | None) -> None:
        self._watcher = watcher
        self._networks: dict[int, RunNetwork] = {}
        self._closing: set[int] = set()
        self._heard = time.monotonic()
        """When it has sent a message, on the monotonic clock."""
        self._outgoing: deque[tuple[bytes, socket.socket | None]] = deque()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        try:
            self._pid = spawn_server(relay_command(), CONTROL_FD, theirs)
        except OSError:
            self._control.close()
            raise
        self.alive = True
        watcher.watch(self._control.fileno(), select.EPOLLIN, self._on_control)
        self._send(encode(Configure(pid=os.getpid(), proxy=proxy)))

    def open(self, message: Open, link: socket.socket) -> RunNetwork:
        """Have a run served, with the relay's end of its link."""
        network = self._networks[message.run] = RunNetwork(self, message.run)
        self._send(encode(message), link)
        return network

    def close_run(self, run: int) -> None:
        """Ask for the end of a network; within a time its last message comes."""
        if run not in self._networks:
            return
        self._closing.add(run)
        self._watcher.call_at(time.monotonic() + CLOSED_AFTER_S, partial(self._is_late, run))
        self._send(encode(Close(run)))

    def _is_late(self, run: int) -> None:
        """End a network whose relay has not answered, and the relay if it seems to hang."""
        if run not in self._closing:
            return
        self._closing.discard(run)
        asked = time.monotonic() - CLOSED_AFTER_S
        self._networks.pop(run).lost()
        if self.alive and self._heard < asked:
            self._watcher.call_at(asked + HANGS_AFTER_S, partial(self._end_if_silent_since, asked))

    def _end_if_silent_since(self, asked: float) -> None:
        if self.alive and self._heard < asked:
            _log.error(
                "the relay of the network did not answer for %g s; it is ended", HANGS_AFTER_S
            )
            self.close()

    def close(self) -> None:
        """End the process; each of its networks gets its last message."""
        if self.alive:
            self.alive = False
            self._watcher.unwatch(self._control.fileno())
            self._control.close()
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                # Other code in this process may have waited for it.
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        for _, link in self._outgoing:
            if link is not None:
                link.close()
        self._outgoing.clear()
        self._closing.clear()
        networks, self._networks = self._networks, {}
        for run, network in networks.items():
            network.lost(RelayLost(run))

    # --- the socket ---

    def _send(self, datagram: bytes, link: socket.socket | None = None) -> None:
        if not self.alive:
            if link is not None:
                link.close()
            return
        self._outgoing.append((datagram, link))
        self._flush()

    def _flush(self) -> None:
        while self.alive and self._outgoing:
            datagram, link = self._outgoing[0]
            try:
                socket.send_fds(self._control, [datagram], [] if link is None else [link.fileno()])
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _TRY_AGAIN:
                    self._watcher.call_at(time.monotonic() + TRY_AGAIN_S, self._flush)
                    return
                self._died()
                return
            self._outgoing.popleft()
            if link is not None:
                link.close()
        if self.alive:
            mask = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
            self._watcher.watch(self._control.fileno(), mask, self._on_control)

    def _on_control(self, _events: int) -> None:
        for _ in range(_MESSAGES):
            try:
                datagram = self._control.recv(MAX_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                datagram = b""
            if not datagram:
                self._died()
                return
            self._take(datagram)
        if self._outgoing:
            self._flush()

    def _died(self) -> None:
        _log.error("the relay of the network has died; connections of its runs have ended")
        self.close()

    def _take(self, datagram: bytes) -> None:
        message = decode_from_relay(datagram)
        self._heard = time.monotonic()
        if isinstance(message, Ready):
            return
        if isinstance(message, Closed):
            self._closing.discard(message.run)
            network = self._networks.pop(message.run, None)
        else:
            network = self._networks.get(message.run)
        if network is not None:
            network.take(message)
