"""The network of a child, as the engine sees it: messages in order, and a last one in any case."""

from __future__ import annotations

from engine.network.run_network import RunNetwork
from protocol.relay import Closed, Opened, Progress, RelayLost


class Relay:
    def __init__(self):
        self.closed = []

    def close_run(self, run):
        self.closed.append(run)


def made():
    relay = Relay()
    return relay, RunNetwork(relay, 7)


def test_messages_that_came_before_somebody_listens_are_not_lost():
    """A spare waits for its run while the relay has answered already."""
    _, network = made()
    heard = []
    network.take(Opened(7))
    network.take(Progress(7, 1, 2))

    network.listen(heard.append)
    network.take(Progress(7, 3, 4))

    assert heard == [Opened(7), Progress(7, 1, 2), Progress(7, 3, 4)]


def test_a_network_is_closed_once():
    """A relay answers each request, and there is one last message."""
    relay, network = made()
    network.close()
    network.close()
    network.let_go()
    assert relay.closed == [7]


def test_a_relay_that_dies_leaves_a_last_message_with_the_bytes_it_had_reported():
    """Those after its last report cannot be known."""
    _, network = made()
    heard = []
    network.listen(heard.append)
    network.take(Progress(7, 10, 20))

    network.lost(RelayLost(7))

    assert heard[1:] == [RelayLost(7), Closed(7, 0, 10, 20)]


def test_nobody_hears_of_a_network_that_was_let_go():
    """Its run may be over."""
    relay, network = made()
    heard = []
    network.listen(heard.append)
    network.let_go()
    network.take(Progress(7, 1, 1))
    assert heard == []
    assert relay.closed == [7]
