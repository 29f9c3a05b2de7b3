"""The share of a run in the relay's time for new connections and questions."""

from __future__ import annotations

import select
import socket

from engine.network.relay.loop import Loop
from engine.network.relay.share import MOST_UNITS, UNITS_IN_A_SECOND, Share


def taken(share: Share) -> int:
    """Return how many units can be taken now."""
    count = 0
    while share.take():
        count += 1
    return count


def test_a_run_has_many_units_at_once_and_then_so_many_in_a_second():
    """Units that are not taken do not add up for ever."""
    loop = Loop()
    share = Share(loop)
    assert taken(share) == MOST_UNITS
    assert taken(share) == 0
    loop.now += 0.25
    assert taken(share) == UNITS_IN_A_SECOND // 4
    loop.now += 3_600
    assert taken(share) == MOST_UNITS


def test_the_share_of_one_run_is_not_that_of_another():
    """The other one has all of its units."""
    loop = Loop()
    one, other = Share(loop), Share(loop)
    taken(one)
    assert taken(other) == MOST_UNITS


def test_a_socket_that_pauses_is_read_later():
    """The loop does not turn for it meanwhile, and a socket that was closed is forgotten."""
    loop = Loop()
    share = Share(loop)
    seen: list[str] = []
    pairs = [socket.socketpair() for _ in range(2)]

    def read(events: int) -> None:
        seen.append("read" if seen else "paused")
        if len(seen) == 1:
            share.pause(pairs[0][0].fileno(), read)
        else:
            pairs[0][0].recv(10)

    def other(events: int) -> None:
        share.pause(pairs[1][0].fileno(), other)

    for (end, far), handler in zip(pairs, (read, other), strict=True):
        loop.add(end.fileno(), select.EPOLLIN, handler)
        far.send(b"x")
    loop.turn()
    assert seen == ["paused"]
    loop.close(pairs[1][0])
    while len(seen) < 2:
        loop.turn()
    assert seen == ["paused", "read"]
    for pair in pairs:
        for end in pair:
            end.close()
