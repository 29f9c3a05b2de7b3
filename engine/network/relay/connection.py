"""A connection of a job, from its start inside to the end of its bytes."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

from engine.network.relay import permit, tunnel
from engine.network.relay.dialing import Dialing, words
from engine.network.relay.flow import Flow, Pipes
from engine.network.relay.loop import Loop
from engine.network.relay.resolver import Found, Resolver
from protocol.near_addresses import special
from protocol.net_proxy import NetProxy
from protocol.net_rules import NetRule
from protocol.words import NetOutcome

RESOLVE_S: Final = 10.0
CONNECT_S: Final = 10.0
PROXY_S: Final = 30.0
"""Most time of each part of a connection outside: the look-up, connecting, the proxy's answer."""

_BOTH: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_RESET: Final = struct.pack("ii", 1, 0)


def reset(end: socket.socket) -> None:
    """Let the other side see a reset when *end* is closed.  Source: SO_LINGER in socket(7)."""
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass  # it has failed already


class Owner(Protocol):
    """The run of a connection."""

    id: int
    loop: Loop
    pipes: Pipes
    resolver: Resolver
    proxy: NetProxy | None
    permit: permit.Permit

    def room(self) -> int:
        """Return how many bytes the run may still move."""

    def turn_bytes(self) -> int:
        """Return how many bytes a direction of a connection may move before other runs have their turn."""

    def sent_by_job(self, count: int, /) -> None:
        """Take note of bytes from the job."""

    def sent_to_job(self, count: int, /) -> None:
        """Take note of bytes to the job."""

    def limit_reached(self) -> None:
        """Stop the traffic of the run, because it has used up its bytes."""

    def connection_ended(
        self,
        connection: Connection,
        outcome: NetOutcome,
        reason: str,
        sent: int,
        received: int,
        duration_ms: float,
        /,
    ) -> None:
        """Take note of the end of a connection."""


class Connection:
    """A connection that is allowed: it is being made, or carries bytes."""

    def __init__(self, run: Owner, inside: socket.socket, host: str, port: int) -> None:
        self.run = run
        self.host = host
        self.port = port
        self.active_at = run.loop.now
        """The time at which something last happened."""
        self._begun_at = run.loop.now
        self._inside = inside
        self._outside: socket.socket | None = None
        self._dialing: Dialing | None = None
        self._flows: tuple[Flow, Flow] | None = None
        """From the job, and to the job."""
        self._over = False
        self._leaving = False
        self._goes_on = [False, False]
        """For each direction, whether the loop will go on with it by itself."""
        inside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        run.loop.add(inside.fileno(), 0, self._inside_failed)
        self._timer = run.loop.call_in(RESOLVE_S, lambda: self._late("the look-up of the name"))

    def begin(self) -> None:
        """Find the addresses of the host, and connect."""
        proxy = self.run.proxy
        if proxy is not None:
            self._look_up(proxy.host, self._dial_proxy)
            return
        self._look_up(self.host, self._check_localhost)

    def _look_up(self, host: str, then: Callable[[Found], None]) -> None:
        try:
            address = permit.read_address(host)
        except ValueError:
            self.run.resolver.look_up(self.run.id, host, lambda found: self._found(found, then))
            return
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._found([(family, str(address))], then)

    def _found(self, found: Found | str, then: Callable[[Found], None]) -> None:
        if self._over:
            return
        if isinstance(found, str):
            self._failed(found)
            return
        then(found)

    def _check_localhost(self, found: Found) -> None:
        """Add the other address of localhost: a server may listen on one of them only.

        The listener inside has accepted, so the job does not try its second address any more.
        """
        if len(found) == 1 and found[0][1] == self.host:
            other = self.run.permit.other_of_localhost(permit.read_address(self.host), self.port)
            if other is not None:
                family = socket.AF_INET if other.version == 4 else socket.AF_INET6
                found = [*found, (family, str(other))]
        self._check(found)

    def _check(self, found: Found) -> None:
        """Connect to those of the addresses that the run may reach."""
        good: Found = []
        wrong = ""
        for family, text in found:
            address = permit.read_address(text)
            kind = special(address)
            if kind is None or self.run.permit.names_address(address, self.port):
                good.append((family, text))
            else:
                rule = NetRule("address", str(address), ((self.port, self.port),))
                wrong = (
                    f"{self.host} is {address} outside, {kind};"
                    f" to allow that, add {str(rule)!r} to the rules"
                )
        if not good:
            self.end("refused", wrong)
            return
        self._dial(good, self.port)

    def _dial_proxy(self, found: Found) -> None:
        assert self.run.proxy is not None
        self._dial(found, self.run.proxy.port)

    def _dial(self, found: Found, port: int) -> None:
        self._wait(CONNECT_S, "the connection")
        self._dialing = Dialing(self.run.loop, found, port, self._connected, self._failed)

    def _failed(self, reason: str) -> None:
        self.end("failed", reason if self.run.proxy is None else f"proxy: {reason}")

    def _wait(self, seconds: float, what: str) -> None:
        self._timer.cancel()
        self._timer = self.run.loop.call_in(seconds, lambda: self._late(what))

    def _late(self, what: str) -> None:
        self._failed(f"{what} took too long")

    def _connected(self, outside: socket.socket) -> None:
        self._dialing = None
        self._outside = outside
        outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        outside.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self.run.proxy is None:
            self._open()
            return
        self._wait(PROXY_S, "the answer of the proxy")
        self.run.loop.change(outside.fileno(), select.EPOLLIN, self._proxy_answers)
        try:
            # A new socket has room for all of it.
            outside.sendall(tunnel.request(self.run.proxy, self.host, self.port))
        except OSError as error:
            self._failed(words(error.errno or 0))

    def _proxy_answers(self, events: int) -> None:  # noqa: ARG002 - the signature of a handler
        assert self._outside is not None
        try:
            reason = tunnel.read_head(self._outside)
        except OSError as error:
            reason = f"proxy: {words(error.errno or 0)}"
        if reason is None:
            # An incomplete answer stays in the socket: the next event is its next piece.
            self.run.loop.change(
                self._outside.fileno(), select.EPOLLIN | select.EPOLLET, self._proxy_answers
            )
        elif reason:
            self.end("failed", reason)
        else:
            self._open()

    def _open(self) -> None:
        assert self._outside is not None
        self._timer.cancel()
        inside, outside, pipes = self._inside, self._outside, self.run.pipes
        self._flows = (Flow(inside, outside, pipes), Flow(outside, inside, pipes))
        self.run.loop.change(inside.fileno(), _BOTH, lambda events: self._happened(0, events))
        self.run.loop.change(outside.fileno(), _BOTH, lambda events: self._happened(1, events))
        if self._leaving:
            self.leave()

    def _happened(self, side: int, events: int) -> None:
        """Move bytes after an event of the job's side (0) or the outside (1)."""
        self.active_at = self.run.loop.now
        if events & _READABLE:
            self._move(side)
        flow = self._flows[1 - side] if self._flows is not None else None
        if events & select.EPOLLOUT and not self._over and flow is not None and flow.held:
            self._move(1 - side)

    def _move(self, direction: int) -> None:
        assert self._flows is not None
        run, flow = self.run, self._flows[direction]
        try:
            moved = run.sent_by_job if direction == 0 else run.sent_to_job
            more = flow.step(run.room, moved, run.turn_bytes())
            if not more and not flow.over and not flow.held and not run.room():
                self._at_limit(direction)
        except OSError:
            self.abort()  # one side has failed, and the other one sees it
            return
        if self._over:
            return
        if self._flows[0].over and (self._leaving or self._flows[1].over):
            self.end("open")
        elif more and not self._goes_on[direction]:
            self._goes_on[direction] = True
            self.run.loop.soon(lambda: self._move_again(direction))

    def _move_again(self, direction: int) -> None:
        self._goes_on[direction] = False
        if not self._over:
            self.active_at = self.run.loop.now
            self._move(direction)

    def _at_limit(self, direction: int) -> None:
        """The run has used up its bytes: its end may still pass, another byte may not."""
        assert self._flows is not None
        source = (self._inside, self._outside)[direction]
        assert source is not None
        try:
            waiting = source.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        if waiting:
            self.run.limit_reached()
            return
        self._flows[direction].ended = True
        self._move(direction)

    def _inside_failed(self, events: int) -> None:  # noqa: ARG002 - the signature of a handler
        self.end("failed", "the job closed the connection before it was made")

    def idle_since(self, time_s: float) -> bool:
        """Whether nothing has happened since then, in a connection that carries bytes."""
        return self._flows is not None and self.active_at <= time_s

    def leave(self) -> None:
        """The job has ended: pass on the bytes that it has sent, and then end.

        The last bytes and the end may still be on their way between two sockets. So a silent connection waits for them,
        and the run ends it after a time.
        """
        first, self._leaving = not self._leaving, True
        if self._over:
            return
        if self._flows is not None:
            self._move(0)
        elif self._has_ended_empty():
            self.end("failed", "the run has ended")
        elif first:
            self.run.loop.change(self._inside.fileno(), _BOTH, lambda _: self.leave())

    def _has_ended_empty(self) -> bool:
        """Whether the job has closed the connection, and no byte waits here."""
        try:
            return not self._inside.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def abort(self, reason: str = "the run has ended") -> None:
        """End now; both sides see a reset."""
        if self._outside is not None:
            reset(self._outside)
        reset(self._inside)
        if self._flows is None:
            self.end("failed", reason)
        else:
            self.end("open")

    def end(self, outcome: NetOutcome, reason: str = "") -> None:
        """Close both sides, and report."""
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None
        if outcome != "open":
            reset(self._inside)
        sent = received = 0
        if self._flows is not None:
            sent, received = (flow.moved for flow in self._flows)
            for flow in self._flows:
                flow.close()
        loop = self.run.loop
        loop.close(self._inside)
        if self._outside is not None:
            loop.close(self._outside)
        duration_ms = 1e3 * (loop.now - self._begun_at)
        self.run.connection_ended(self, outcome, reason, sent, received, duration_ms)
