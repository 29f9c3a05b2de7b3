"""Connects to the first address of a list that answers ("happy eyeballs", RFC 8305)."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from engine.network.relay.loop import Loop, Timer
from engine.network.relay.resolver import Found

LOOPBACK: Final = ("127.0.0.1", "::1")
UNPACED: Final = b"reno"
"""A method for congestion that does not wait between packets (ADR 0121); every kernel has it."""
NEXT_AFTER_S: Final = 0.25
"""Time after which the next address is tried beside those that have not answered."""

Connected = Callable[[socket.socket], None]
Failed = Callable[[str], None]

_WORDS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ETIMEDOUT: "no answer",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.EADDRNOTAVAIL: "no route to the host",
    errno.ECONNRESET: "connection reset",
    errno.EMFILE: "the relay has no descriptor left",
    errno.ENFILE: "the machine has no descriptor left",
}


def words(number: int) -> str:
    """Return an error of a socket in words."""
    return _WORDS.get(number) or os.strerror(number).lower()


def interleaved(found: Found) -> Found:
    """Return the addresses with alternating families, beginning with the family of the first."""
    if not found:
        return []
    first = found[0][0]
    same = deque(one for one in found if one[0] == first)
    other = deque(one for one in found if one[0] != first)
    mixed = []
    while same or other:
        mixed += [queue.popleft() for queue in (same, other) if queue]
    return mixed


class Dialing:
    """Attempts to connect to a port of the addresses of a host.

    The sockets are connected to exactly these addresses: nothing is looked up again.
    """

    def __init__(
        self, loop: Loop, found: Found, port: int, connected: Connected, failed: Failed
    ) -> None:
        self._loop = loop
        self._left = deque(interleaved(found))
        self._port = port
        self._connected = connected
        self._failed = failed
        self._attempts: dict[int, socket.socket] = {}
        self._reason = "the host has no address"
        self._timer: Timer | None = None
        self._next()

    def cancel(self) -> None:
        """Close the sockets of all attempts."""
        self._abandon(self._attempts.values())
        self._attempts.clear()
        self._left.clear()

    def _next(self) -> None:
        """Try the next address, and those after it that fail at once."""
        if self._timer is not None:
            self._timer.cancel()
        while self._left:
            family, address = self._left.popleft()
            if self._try(family, address):
                break
        if self._left:
            self._timer = self._loop.call_in(NEXT_AFTER_S, self._next)
        elif not self._attempts:
            # Not from within the call that began this: its caller does not know this object yet.
            self._loop.soon(self._give_up)

    def _give_up(self) -> None:
        self._failed(self._reason)

    def _try(self, family: int, address: str) -> bool:
        try:
            attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._reason = words(error.errno or 0)
            return False
        if address in LOOPBACK:
            with contextlib.suppress(OSError):  # the machine's own method works as well
                attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, UNPACED)
        number = attempt.connect_ex((address, self._port))
        if number not in (0, errno.EINPROGRESS):
            self._reason = words(number)
            attempt.close()
            return False
        self._attempts[attempt.fileno()] = attempt
        self._loop.add(
            attempt.fileno(),
            select.EPOLLOUT,
            lambda _, attempt=attempt: self._answered(attempt),  # type: ignore[misc]
        )
        return True

    def _answered(self, attempt: socket.socket) -> None:
        del self._attempts[attempt.fileno()]
        number = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._reason = words(number)
            self._loop.close(attempt)
            self._next()
            return
        self.cancel()
        self._connected(attempt)

    def _abandon(self, attempts: Iterable[socket.socket]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for attempt in attempts:
            self._loop.close(attempt)
