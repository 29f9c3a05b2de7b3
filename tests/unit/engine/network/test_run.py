"""A run in the relay: what has happened by the time that a message leaves."""

from __future__ import annotations

import select
import socket

from engine.network.relay.flow import Pipes
from engine.network.relay.loop import Loop
from engine.network.relay.resolver import Resolver
from engine.network.relay.run import Run
from protocol.link import LINK_END
from protocol.relay import Closed, Open


class Relay:
    """The relay of a run.  It tries to connect to *place* before the last message leaves."""

    proxy = None

    def __init__(self, place: tuple[str, int]) -> None:
        self.loop = Loop()
        self.pipes = Pipes()
        self.resolver = Resolver(self.loop)
        self.place = place
        self.connects_at_the_end: bool | None = None

    def send(self, message: object) -> None:
        if isinstance(message, Closed):
            self.connects_at_the_end = connects(self.place)

    def forget(self, run: int) -> bool:
        return run == 1

    def drop_one(self, listener: socket.socket) -> None:
        raise AssertionError("descriptors have run out")


def connects(place: tuple[str, int]) -> bool:
    with socket.socket() as end:
        return end.connect_ex(place) == 0


def test_the_last_message_about_a_run_comes_after_its_listeners_are_closed():
    """The engine may believe it: nobody can connect in the run any more."""
    child, link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.setblocking(False)
    with child, socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(listener.getsockname())
        run = Run(relay, Open(1, ("127.0.0.1:443",)), link)
        socket.send_fds(child, [LINK_END], [listener.fileno()])
        while not select.select([child], [], [], 0)[0]:  # until the run has closed its end
            relay.loop.turn()
    assert connects(relay.place)
    relay.loop.soon(run.close)
    while relay.connects_at_the_end is None:
        relay.loop.turn()
    assert relay.connects_at_the_end is False
