"""The relay of an engine: started at first need, and started again after it has died."""

from __future__ import annotations

import itertools
import os
import socket
from typing import Final

from engine.network.process import RelayProcess
from engine.network.run_network import RunNetwork
from engine.start import Watcher, lift
from protocol.confinement import ConfinementRequest
from protocol.relay import Open


class Relays:
    """Gives children private networks; see `engine.start.Networks`.  For the supervisor's thread.

    Args:
        proxy: The HTTP proxy for all connections, as `protocol.net_proxy` reads it.

    """

    def __init__(self, proxy: str | None = None) -> None:
        self._proxy: Final = proxy
        self._numbers = itertools.count(1)
        self._watcher: Watcher | None = None
        self._process: RelayProcess | None = None

    def attach(self, watcher: Watcher) -> None:
        """See `Networks.attach`."""
        self._watcher = watcher

    def open(self, request: ConfinementRequest) -> tuple[RunNetwork, int]:
        """See `Networks.open`."""
        message = Open(
            run=next(self._numbers),
            rules=request.net,
            max_connections=request.max_connections,
            net_bytes=request.net_bytes,
        )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link = theirs.detach()
        try:
            link = lift(link)
            return self._open(message, ours), link
        except OSError:
            ours.close()
            os.close(link)
            raise

    def _open(self, message: Open, link: socket.socket) -> RunNetwork:
        assert self._watcher is not None
        process = self._process
        if process is None or not process.alive:
            process = self._process = RelayProcess(self._watcher, self._proxy)
        return process.open(message, link)

    def close(self) -> None:
        """See `Networks.close`."""
        if self._process is not None:
            self._process.close()
            self._process = None
