"""Connections of the relay to servers outside: the sockets that it makes."""

from __future__ import annotations

import socket

import pytest

from engine.network.relay.dialing import Dialing
from engine.network.relay.loop import Loop


def dialed(address: str) -> socket.socket:
    """Return the relay's socket of a connection to a server at this address."""
    loop, found = Loop(), []
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        Dialing(loop, [(family, address)], server.getsockname()[1], found.append, pytest.fail)
        while not found:
            loop.turn()
    return found[0]


def method(end: socket.socket) -> str:
    name = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
    return name.rstrip(b"\0").decode()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_tcp_does_not_pace_its_packets_to_a_server_of_the_machine(address):
    """Nothing is lost on the way to it."""
    with dialed(address) as end:
        assert method(end) == "reno"


def test_tcp_sends_to_other_addresses_as_the_machine_does():
    """A network outside may need it."""
    with socket.socket() as usual, dialed("127.0.0.2") as end:
        assert method(end) == method(usual)
