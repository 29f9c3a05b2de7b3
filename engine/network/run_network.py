"""The private network of one child, as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from protocol.relay import Closed, FromRelay, Progress


class Relay(Protocol):
    """The relay that serves the network."""

    def close_run(self, run: int) -> None:
        """Ask for the end of a network."""


class RunNetwork:
    """See `engine.start.Network`.

    Args:
        relay: The relay that serves it.
        run: Its number.

    """

    def __init__(self, relay: Relay, run: int) -> None:
        self._relay = relay
        self._run = run
        self._closing = False
        self._listener: Callable[[FromRelay], None] | None = None
        self._early: list[FromRelay] = []
        """Messages that came before somebody listened."""
        self._moved = (0, 0)
        """Bytes in both directions by the last report."""

    def listen(self, listener: Callable[[FromRelay], None]) -> None:
        """See `Network.listen`."""
        self._listener = listener
        early, self._early = self._early, []
        for message in early:
            listener(message)

    def close(self) -> None:
        """See `Network.close`."""
        if not self._closing:
            self._closing = True
            self._relay.close_run(self._run)

    def let_go(self) -> None:
        """See `Network.let_go`."""
        self._listener = _ignore
        self._early.clear()
        self.close()

    def take(self, message: FromRelay) -> None:
        """Take a message of the relay."""
        if isinstance(message, Progress):
            self._moved = (message.sent, message.received)
        if self._listener is None:
            self._early.append(message)
        else:
            self._listener(message)

    def lost(self, how: FromRelay | None = None) -> None:
        """Take note that the relay will not send the last message, and give the listener another.

        Args:
            how: A message that comes before it.

        """
        self._closing = True
        if how is not None:
            self.take(how)
        self.take(Closed(self._run, 0, *self._moved))


def _ignore(_message: FromRelay) -> None:
    """Take a message about a network that nobody uses."""
