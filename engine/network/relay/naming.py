"""Answers the questions of a run for names.  Each allowed name gets an address of its own.

No question leaves the machine.  The addresses only mean something inside of the run.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from engine.network.relay import names
from engine.network.relay.loop import Handler, Loop, Timer
from engine.network.relay.permit import LOCALHOST, Permit, read_address
from engine.network.relay.share import Share
from protocol.near_addresses import Address

MAX_NAMES: Final = 1_000
"""Most allowed names of a run, and most refused names that are remembered."""

FIRST_IPV4: Final = IPv4Address("198.18.0.1")
LAST_IPV4: Final = IPv4Address("198.19.255.254")
"""The block for tests of network devices: RFC 2544."""
FIRST_IPV6: Final = IPv6Address("fd6a:6f62:6365:6c6c::1")
"""A block for private use (RFC 4193)."""

_QUESTIONS: Final = 32
"""Most questions of one socket in one turn."""
_MAX_STREAMS: Final = 8
_GONE: Final = select.EPOLLHUP | select.EPOLLERR
_STREAM_S: Final = 10.0
_TOO_MANY: Final = f"the run has asked for more than {MAX_NAMES:,} names"


class Naming:
    """The names of a run."""

    def __init__(
        self,
        loop: Loop,
        permit: Permit,
        refused: Callable[[str, str], None],
        share: Share,
        search: tuple[str, ...] = (),
    ) -> None:
        self.servers: set[str] = set()
        """The addresses at which names are answered."""
        self.with_ipv6 = False
        """Whether the run has a listener for IPv6."""
        self._loop = loop
        self._permit = permit
        self._refused = refused
        self._share = share
        self._search = search
        """Domains that the C library appends to a name that it did not find."""
        self._addresses: dict[str, tuple[IPv4Address | None, IPv6Address]] = {}
        self._names: dict[Address, str] = {}
        self._next_ipv4 = int(FIRST_IPV4)
        self._asked_for_others: set[str] = set()
        self._sockets: list[socket.socket] = []
        self._streams: set[_Stream] = set()

    def name_of(self, address: Address) -> str | None:
        """Return the name for which *address* was given out."""
        return self._names.get(address)

    def serve(self, made: socket.socket) -> None:
        """Answer the questions that come over a datagram socket."""
        self._sockets.append(made)
        self.servers.add(str(read_address(made.getsockname()[0])))

        def read(events: int) -> None:  # noqa: ARG001 - the signature of a handler
            self._datagrams(made, read)

        self._loop.add(made.fileno(), select.EPOLLIN, read)

    def talk(self, end: socket.socket) -> None:
        """Answer the questions that come over a connection."""
        if len(self._streams) >= _MAX_STREAMS:
            end.close()
            return
        self._streams.add(_Stream(self._loop, end, self.answer, self._share, self._streams.discard))

    def close(self) -> None:
        """Answer no more."""
        for made in self._sockets:
            self._loop.close(made)
        self._sockets.clear()
        for stream in [*self._streams]:
            stream.close()

    def _datagrams(self, made: socket.socket, handler: Handler) -> None:
        for _ in range(_QUESTIONS):
            if not self._share.take():
                self._share.pause(made.fileno(), handler)
                return
            try:
                message, place = made.recvfrom(names.MAX_QUESTION_BYTES)
                reply = self.answer(message)
                if reply is not None:
                    made.sendto(reply, place)
            except BlockingIOError:
                return
            except OSError:
                continue  # nobody waits for the answer any more

    def answer(self, message: bytes) -> bytes | None:
        """Return the answer to a message, or None if it must not be answered."""
        question = names.read_question(message)
        if question is None:
            return None
        if isinstance(question, names.Malformed):
            return names.error(question)
        if question.name == "localhost":
            local = self._permit.reachable(LOCALHOST)
            return names.answer(question, self._of_type(question.type, local))
        if not question.legal or not self._permit.allows_name(question.name):
            self._refuse(question.name, "no rule allows the name")
            return names.answer(question, [], names.NO_NAME)
        found = self._addresses_of(question.name)
        if found is None:
            self._refuse(question.name, _TOO_MANY)
            return names.answer(question, [], names.SERVER_FAILURE)
        return names.answer(question, self._of_type(question.type, found))

    def _of_type(self, type_: int, found: tuple[Address | None, Address | None]) -> list[bytes]:
        ipv4, ipv6 = found
        if type_ == names.A and ipv4 is not None:
            return [ipv4.packed]
        if type_ == names.AAAA and ipv6 is not None and self.with_ipv6:
            return [ipv6.packed]
        return []

    def _addresses_of(self, name: str) -> tuple[IPv4Address | None, IPv6Address] | None:
        """Return the addresses of an allowed name, or None if the run has too many names."""
        found = self._addresses.get(name)
        if found is None:
            if len(self._addresses) >= MAX_NAMES:
                return None
            ipv6 = FIRST_IPV6 + len(self._addresses)
            found = self._addresses[name] = (self._free_ipv4(), ipv6)
            for address in found:
                if address is not None:
                    self._names[address] = name
        return found

    def _free_ipv4(self) -> IPv4Address | None:
        """Return an address that rules do not name; None if the rules name all."""
        while self._next_ipv4 <= int(LAST_IPV4):
            address = IPv4Address(self._next_ipv4)
            named = self._permit.last_named(address)
            self._next_ipv4 = int(named or address) + 1
            if named is None:
                return address
        return None

    def _refuse(self, name: str, reason: str) -> None:
        for domain in self._search:
            shorter = name.removesuffix(f".{domain}")
            if shorter != name and (
                shorter in self._addresses or shorter in self._asked_for_others
            ):
                return  # the job did not name it
        if name not in self._asked_for_others and len(self._asked_for_others) < MAX_NAMES:
            self._asked_for_others.add(name)
            self._refused(name, reason)


class _Stream:
    """Questions over a connection: each has its length in two bytes before it.  Source: RFC 7766."""

    def __init__(
        self,
        loop: Loop,
        end: socket.socket,
        answer: Callable[[bytes], bytes | None],
        share: Share,
        closed: Callable[[_Stream], None],
    ) -> None:
        self._loop = loop
        self._end = end
        self._answer = answer
        self._share = share
        self._closed = closed
        self._read = bytearray()
        self._timer: Timer = loop.call_in(_STREAM_S, self.close)
        self._handler: Final = self._readable  # one object: a method is another one each time
        loop.add(end.fileno(), select.EPOLLIN, self._handler)

    def close(self) -> None:
        """End the connection."""
        self._timer.cancel()
        self._loop.close(self._end)
        self._closed(self)

    def _readable(self, events: int) -> None:
        if not self._share.take():
            if events & _GONE:
                self.close()
            else:
                self._share.pause(self._end.fileno(), self._handler)
            return
        try:
            data = self._end.recv(names.MAX_QUESTION_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._read += data
        if not data or not self._answer_all():
            self.close()

    def _answer_all(self) -> bool:
        """Answer the questions that are complete; return whether the connection may go on."""
        while len(self._read) >= 2:
            length = int.from_bytes(self._read[:2], "big")
            if length > names.MAX_QUESTION_BYTES:
                return False
            if len(self._read) < 2 + length:
                return True
            self._share.take()
            reply = self._answer(bytes(self._read[2 : 2 + length]))
            del self._read[: 2 + length]
            if reply is None:
                return False
            framed = len(reply).to_bytes(2, "big") + reply
            with contextlib.suppress(OSError):
                if self._end.send(framed) == len(framed):
                    continue
            return False  # it does not read its answers
        return True
