"""A child that writes much waits while others run."""

from __future__ import annotations

import pytest

from engine.running.share import SHARE, Share


def test_who_uses_little_never_waits():
    """Ten steps of a tenth of a millisecond, one after another."""
    share = Share()
    assert [share.charge(0.000_1, 100.0 + 0.001 * n) for n in range(10)] == [0.0] * 10


def test_who_uses_much_gets_its_share_and_no_more():
    """However it divides its time into turns."""
    for slice_s in (0.000_5, 0.005):
        share, now, used = Share(), 100.0, 0.0
        while now < 110.0:
            used += slice_s
            now += slice_s
            now += share.charge(slice_s, now)
        assert used == pytest.approx(10.0 * SHARE, rel=0.02)


def test_a_pause_saves_up_little():
    """Who was silent for long may not hold the others for long after it."""
    share = Share()
    share.charge(0.0, 100.0)
    assert share.charge(0.02, 1000.0) > 0
