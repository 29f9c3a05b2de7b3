"""A child that writes much waits while other runs go on."""

from __future__ import annotations

import pytest

from engine.running import share as share_module
from engine.running.share import SHARE, Share, Turn


def test_who_uses_little_never_waits():
    """Its ten steps take a tenth of a millisecond each, one after another."""
    share = Share()
    assert [share.charge(0.000_1, 100.0 + 0.001 * n) for n in range(10)] == [0.0] * 10


def test_who_uses_much_gets_its_share_and_no_more():
    """The number of turns into which a child divides its time does not matter."""
    for slice_s in (0.000_5, 0.005):
        share, now, used = Share(), 100.0, 0.0
        while now < 110.0:
            used += slice_s
            now += slice_s
            now += share.charge(slice_s, now)
        assert used == pytest.approx(10.0 * SHARE, rel=0.02)


def test_a_pause_saves_up_little():
    """A child that was silent for long may not delay the others for long afterwards."""
    share = Share()
    share.charge(0.0, 100.0)
    assert share.charge(0.02, 1000.0) > 0


class Clocks:
    """Replaces the module `time`: processor time passes only when a test says so."""

    def __init__(self):
        self.now = 100.0
        self.used = 5.0
        self.looks = 0

    def monotonic(self):
        return self.now

    def thread_time(self):
        self.looks += 1
        return self.used


@pytest.fixture
def clocks(monkeypatch):
    made = Clocks()
    monkeypatch.setattr(share_module, "time", made)
    return made


def test_a_turn_is_over_when_its_processor_time_is_used(clocks):
    """Only time in which the thread runs counts."""
    turn = Turn(0.5)
    clocks.now += 10.0
    assert not turn.over
    clocks.now += 1.0
    clocks.used += 0.5
    assert turn.over
    assert turn.used_s == pytest.approx(0.5)


def test_a_turn_that_has_used_a_part_is_over_when_it_has_used_the_rest(clocks):
    """The clock of the thread is read again as soon as the rest may have passed."""
    turn = Turn(0.5)
    clocks.now += 0.5
    clocks.used += 0.3
    assert not turn.over
    clocks.now += 0.2
    clocks.used += 0.2
    assert turn.over


def test_the_clock_of_the_thread_is_not_read_before_the_turn_can_be_over(clocks):
    """Reading that clock is a system call, and the turn is checked after each message."""
    turn = Turn(0.5)
    before = clocks.looks
    for _ in range(100):
        clocks.now += 0.004
        assert not turn.over
    assert clocks.looks == before
