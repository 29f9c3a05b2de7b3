"""The relay: its conversation with the engine, and the runs that it serves."""

from __future__ import annotations

import select
import socket
from collections import deque
from typing import Final

from engine.network.relay.connection import reset
from engine.network.relay.flow import Pipes
from engine.network.relay.loop import Loop
from engine.network.relay.resolver import Resolver
from engine.network.relay.run import Run
from protocol.net_proxy import NetProxy
from protocol.relay import (
    MAX_DATAGRAM_BYTES,
    Close,
    Closed,
    FromRelay,
    Open,
    Opened,
    OpenFailed,
    Progress,
    Ready,
    decode_to_relay,
    encode,
)

_IDLE_LOOKS: Final = 40
"""Number of looks for idle connections in the time after which they are closed."""
_MESSAGES: Final = 64
"""Most messages of the engine in one turn."""


class Relay:
    """Serves runs until the engine is gone."""

    def __init__(self, control: socket.socket, proxy: NetProxy | None, idle_s: float) -> None:
        self.loop = Loop()
        self.pipes = Pipes()
        self.resolver = Resolver(self.loop)
        self.proxy = proxy
        self._control = control
        self._control.setblocking(False)
        self._runs: dict[int, Run] = {}
        self._unsent: deque[bytes] = deque()
        self._reserve: socket.socket | None = control.dup()
        """Its descriptor is given up for a connection that has to be refused for lack of one."""
        self._gone = False
        self._idle_s = idle_s
        self._looking = False
        self.loop.add(control.fileno(), select.EPOLLIN, self._on_control)

    def serve(self) -> None:
        """Serve until the engine is gone."""
        while not self._gone:
            self.loop.turn()

    def send(self, message: Ready | FromRelay) -> None:
        """Send a message to the engine; it waits here while the engine does not read."""
        if self._unsent and isinstance(message, Progress):
            return  # a later one says more
        self._unsent.append(encode(message))
        if len(self._unsent) == 1:
            self._send_unsent()
            if self._unsent:
                self._watch_control(select.EPOLLIN | select.EPOLLOUT)

    def forget(self, run: int) -> bool:
        """Forget a run that has ended; return whether it was known."""
        self.resolver.forget(run)
        return self._runs.pop(run, None) is not None

    def drop_one(self, listener: socket.socket) -> None:
        """Refuse a connection, because descriptors have run out; it would be an event for ever."""
        if self._reserve is not None:
            self._reserve.close()
        try:
            inside, _ = listener.accept()
            reset(inside)
            inside.close()
        except OSError:
            pass
        try:
            self._reserve = self._control.dup()
        except OSError:
            self._reserve = None

    def _on_control(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send_unsent()
            if not self._unsent:
                self._watch_control(select.EPOLLIN)
        for _ in range(_MESSAGES):
            try:
                body, fds, _, _ = socket.recv_fds(self._control, MAX_DATAGRAM_BYTES, 4)
            except BlockingIOError:
                return
            except OSError:
                body, fds = b"", []
            if not body:
                self._gone = True
                return
            try:
                self._receive(body, fds)
            except Exception:
                self._gone = True  # the engine speaks another language
                raise

    def _receive(self, body: bytes, fds: list[int]) -> None:
        links = [socket.socket(fileno=fd) for fd in fds]
        message = decode_to_relay(body)
        if isinstance(message, Open) and len(links) == 1:
            self._open(message, links[0])
            return
        for link in links:
            link.close()
        if isinstance(message, Close):
            run = self._runs.get(message.run)
            if run is None:
                self.send(Closed(message.run))
            else:
                run.close()

    def _open(self, message: Open, link: socket.socket) -> None:
        try:
            if message.run in self._runs:
                raise ValueError(f"run {message.run} is open already")
            link.setblocking(False)
            run = Run(self, message, link)
        except (ValueError, OSError) as error:
            link.close()
            self.send(OpenFailed(message.run, str(error)))
            return
        self._runs[message.run] = run
        self.send(Opened(message.run))
        if not self._looking:
            self._looking = True
            self.loop.call_in(self._idle_s / _IDLE_LOOKS, self._end_idle)

    def _end_idle(self) -> None:
        for run in [*self._runs.values()]:
            run.end_idle(self._idle_s)
        self._looking = bool(self._runs)
        if self._looking:
            self.loop.call_in(self._idle_s / _IDLE_LOOKS, self._end_idle)

    def _watch_control(self, events: int) -> None:
        self.loop.change(self._control.fileno(), events, self._on_control)

    def _send_unsent(self) -> None:
        while self._unsent:
            try:
                self._control.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                self._gone = True
                return
            self._unsent.popleft()
