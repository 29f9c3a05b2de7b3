"""A run: its listeners, its names, its connections, and the account of them."""

from __future__ import annotations

import errno
import select
import socket
from typing import Final, Protocol

from engine.network.relay.connection import Connection, reset
from engine.network.relay.dialing import words
from engine.network.relay.flow import LEAST_TURN_BYTES, TURN_BYTES, Pipes
from engine.network.relay.link import Link, LinkError
from engine.network.relay.loop import Handler, Loop
from engine.network.relay.naming import Naming
from engine.network.relay.permit import Permit, read_address
from engine.network.relay.resolver import Resolver, search_domains
from engine.network.relay.share import Share
from protocol.link import BACKLOG, NAME_PORT
from protocol.net_proxy import NetProxy
from protocol.net_rules import parse_net_rules
from protocol.relay import (
    MAX_ENDED,
    Closed,
    Ended,
    LimitReached,
    Open,
    OpenFailed,
    Progress,
)
from protocol.words import NetOutcome

PROGRESS_S: Final = 0.1
LEAVE_S: Final = 0.5
"""Most time for the last bytes of a run that has ended.  The engine waits for a second."""
_ACCEPTS: Final = 16
"""Most new connections of one listener in one turn."""
_NO_LIMIT: Final = 1 << 62
_OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Host(Protocol):
    """The relay, as a run needs it."""

    loop: Loop
    pipes: Pipes
    resolver: Resolver
    proxy: NetProxy | None

    def send(self, message: OpenFailed | Ended | Progress | LimitReached | Closed, /) -> None:
        """Send a message to the engine."""

    def forget(self, run: int, /) -> bool:
        """Forget a run that has ended; return whether it was known."""

    def drop_one(self, listener: socket.socket, /) -> None:
        """Refuse a connection, because descriptors have run out."""


class Run:
    """A run that the relay serves.

    Raises:
        ValueError: A rule is wrong.

    """

    def __init__(self, relay: Host, message: Open, link: socket.socket) -> None:
        self.id = message.run
        self.loop = relay.loop
        self.pipes = relay.pipes
        self.resolver = relay.resolver
        self.proxy = relay.proxy
        self.permit = Permit(parse_net_rules(message.rules))
        self._relay = relay
        self._most = message.max_connections
        self._net_bytes = message.net_bytes
        self._at_limit = False
        self._listeners: list[socket.socket] = []
        self._connections: set[Connection] = set()
        self._opened = self._sent = self._received = 0
        self._reported = self._dropped = 0
        self._progress_due = False
        self._leaving = False
        self._share = Share(self.loop)
        self._naming = Naming(
            self.loop, self.permit, self.name_refused, self._share, search_domains()
        )
        self._link: Link | None = Link(link)
        self.loop.add(link.fileno(), select.EPOLLIN, self._on_link)

    # The link

    def _on_link(self, events: int) -> None:  # noqa: ARG002 - the signature of a handler
        link = self._link
        assert link is not None
        try:
            for made in link.read():
                self._serve(made)
        except LinkError as error:
            self._fail(str(error))
            return
        if link.ended:
            self._close_link()

    def _close_link(self) -> None:
        if self._link is not None:
            self.loop.close(self._link.end)
            self._link = None

    def _serve(self, made: socket.socket) -> None:
        if made.type == socket.SOCK_DGRAM:
            self._naming.serve(made)
            return
        self._listeners.append(made)
        if made.family == socket.AF_INET6:
            self._naming.with_ipv6 = True

        def accept(events: int) -> None:  # noqa: ARG001 - the signature of a handler
            self._accept(made, accept)

        self.loop.add(made.fileno(), select.EPOLLIN, accept)

    def _fail(self, reason: str) -> None:
        """End the network of the run, because its child sent something that no child of ours sends."""
        self._stop()
        for connection in [*self._connections]:
            connection.abort()
        self._relay.send(OpenFailed(self.id, reason))

    # New connections

    def _accept(self, listener: socket.socket, handler: Handler) -> None:
        for _ in range(_ACCEPTS):
            if not self._share.take():
                self._share.pause(listener.fileno(), handler)
                return
            if not self._accept_one(listener):
                return

    def _accept_one(self, listener: socket.socket) -> bool:
        """Accept a connection; return whether there may be another one."""
        try:
            inside, _ = listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                self._relay.drop_one(listener)
            return False  # all were accepted, or this one was reset before
        inside.setblocking(False)
        try:
            self._begin(inside)
        except OSError:
            inside.close()  # it was reset
        return True

    def _begin(self, inside: socket.socket) -> None:
        place = inside.getsockname()
        address, port = read_address(place[0]), place[1]
        if port == NAME_PORT and str(address) in self._naming.servers:
            self._naming.talk(inside)
            return
        name = self._naming.name_of(address)
        host = name or str(address)
        if self._at_limit:
            reason = "the run has used up its bytes of network"
        elif len(self._connections) >= self._most:
            reason = f"too many connections: {self._most} are open"
        elif name is not None:
            reason = "" if self.permit.allows_name(name, port) else "no rule allows it"
        elif not self.permit.allows_address(address, port):
            reason = "no rule allows it"
        else:
            reason = ""
        if reason:
            reset(inside)
            inside.close()
            self.report(host, port, "refused", reason)
            return
        connection = Connection(self, inside, host, port)
        self._connections.add(connection)
        try:
            connection.begin()
        except OSError as error:
            connection.end("failed", words(error.errno or 0))

    # The account

    def room(self) -> int:
        """Return how many bytes the run may still move."""
        if self._net_bytes is None:
            return _NO_LIMIT
        return max(0, self._net_bytes - self._sent - self._received)

    def turn_bytes(self) -> int:
        """Return the share of each connection in the bytes of a turn."""
        return max(LEAST_TURN_BYTES, TURN_BYTES // max(1, len(self._connections)))

    def sent_by_job(self, count: int) -> None:
        """Take note of bytes from the job."""
        self._sent += count
        self._note_progress()

    def sent_to_job(self, count: int) -> None:
        """Take note of bytes to the job."""
        self._received += count
        self._note_progress()

    def _note_progress(self) -> None:
        if not self._progress_due:
            self._progress_due = True
            self.loop.call_in(PROGRESS_S, self._report_progress)

    def _report_progress(self) -> None:
        self._progress_due = False
        if not self._leaving:
            self._relay.send(Progress(self.id, self._sent, self._received))

    def limit_reached(self) -> None:
        """Stop the traffic of the run, because it has used up its bytes."""
        if not self._at_limit:
            self._at_limit = True
            self._relay.send(LimitReached(self.id, self._sent, self._received))
        for connection in [*self._connections]:
            connection.abort()

    def name_refused(self, name: str, reason: str) -> None:
        """Report a name that no rule allows."""
        self.report(name, 0, "refused", reason)

    def connection_ended(
        self,
        connection: Connection,
        outcome: NetOutcome,
        reason: str,
        sent: int,
        received: int,
        duration_ms: float,
    ) -> None:
        """Take note of the end of a connection, and report it."""
        self._connections.discard(connection)
        self._opened += outcome == "open"
        self.report(
            connection.host, connection.port, outcome, reason, (sent, received), duration_ms
        )
        if self._leaving and not self._connections:
            self.loop.soon(self._close)

    def report(
        self,
        host: str,
        port: int,
        outcome: NetOutcome,
        reason: str = "",
        moved: tuple[int, int] = (0, 0),
        duration_ms: float = 0.0,
    ) -> None:
        """Send a message about a connection or a name, unless there were too many."""
        if self._reported >= MAX_ENDED:
            self._dropped += 1
            return
        self._reported += 1
        self._relay.send(Ended(self.id, host, port, outcome, reason, *moved, duration_ms))

    def end_idle(self, idle_s: float) -> None:
        """End the connections in which nothing has happened for this time."""
        for connection in [*self._connections]:
            if connection.idle_since(self.loop.now - idle_s):
                connection.abort()

    # The end

    def close(self) -> None:
        """End everything; the last bytes of the job get a moment to leave."""
        if self._leaving:
            return
        self._leaving = True
        # A job may send, close and end before its connection was accepted.
        left = BACKLOG
        for listener in self._listeners:
            while left and self._accept_one(listener):
                left -= 1
        self._stop()
        for connection in [*self._connections]:
            connection.leave()
        if self._connections:
            self.loop.call_in(LEAVE_S, self._abort_all)
        else:
            self.loop.soon(self._close)

    def _stop(self) -> None:
        self._close_link()
        self._naming.close()
        for listener in self._listeners:
            self.loop.close(listener)
        self._listeners.clear()

    def _abort_all(self) -> None:
        for connection in [*self._connections]:
            connection.abort()

    def _close(self) -> None:
        """Send the last message.  This is in a later turn: the loop closes sockets at the end of a turn."""
        if self._relay.forget(self.id):
            closed = Closed(self.id, self._opened, self._sent, self._received, self._dropped)
            self._relay.send(closed)
