"""The lease of a worker, and its watch over the others, with a clock of the test's own."""

from __future__ import annotations

import pytest

from jobcell.worker.lease import Lease, Watch, clock_s

DEAD_S = 10.0


def test_a_lease_ends_after_seven_tenths_of_the_dead_time() -> None:
    """The children are gone before others may take the runs over."""
    lease = Lease(DEAD_S, now_s=100.0)
    assert not lease.is_over(106.9)
    assert lease.is_over(107.0)


def test_a_lease_counts_from_the_start_of_the_last_beat() -> None:
    """The others may have seen the beat before its answer arrived here."""
    lease = Lease(DEAD_S, now_s=100.0)
    lease.renew(started_s=105.0)
    assert lease.ends_s == 112.0
    lease.renew(started_s=103.0)  # an older beat, whose answer came late
    assert lease.ends_s == 112.0


def watch_every(
    watch: Watch, seconds: float, beats: dict[str, int], *, start: float, end: float
) -> dict[str, int]:
    """Observe the same beats again and again; return the dead ones of the last time."""
    dead: dict[str, int] = {}
    now = start
    while now <= end:
        dead = watch.observe(now, now + 0.01, beats)
        now += seconds
    return dead


def test_a_worker_is_dead_when_its_beats_have_not_changed_for_the_dead_time() -> None:
    """The time counts from the first look at this number, by the own clock."""
    watch = Watch(DEAD_S)
    assert watch_every(watch, 2.0, {"other": 7}, start=0, end=10) == {}
    assert watch.next_death_s == pytest.approx(10.01)
    assert watch.observe(10.02, 10.03, {"other": 7}) == {"other": 7}


def test_a_worker_that_beats_stays_alive() -> None:
    """Any change counts, whatever the number is."""
    watch = Watch(DEAD_S)
    watch_every(watch, 2.0, {"other": 7}, start=0, end=8)
    watch.observe(9.0, 9.01, {"other": 8})
    assert watch_every(watch, 2.0, {"other": 8}, start=11, end=18) == {}


def test_a_gap_in_the_own_beats_begins_all_observations_anew() -> None:
    """The store may have been away for all workers, or this machine was suspended."""
    watch = Watch(DEAD_S)
    watch_every(watch, 2.0, {"other": 7}, start=0, end=8)
    assert watch.observe(40.0, 40.01, {"other": 7}) == {}
    assert watch_every(watch, 2.0, {"other": 7}, start=42, end=50) == {}
    assert watch.observe(50.02, 50.03, {"other": 7}) == {"other": 7}


def test_a_beat_that_takes_long_is_no_gap() -> None:
    """The pause between two beats counts, from the end of the first to the start of the second."""
    watch = Watch(DEAD_S)
    watch.observe(0.0, 4.0, {"other": 7})
    watch.observe(5.0, 9.0, {"other": 7})
    watch.observe(10.0, 13.9, {"other": 7})
    assert watch.observe(14.0, 14.1, {"other": 7}) == {"other": 7}


def test_a_worker_that_has_left_is_forgotten() -> None:
    """A new worker with the same number of beats gets its own time."""
    watch = Watch(DEAD_S)
    watch_every(watch, 2.0, {"other": 7}, start=0, end=8)
    watch.observe(9.0, 9.01, {})
    assert watch.next_death_s is None
    assert watch_every(watch, 2.0, {"new": 7}, start=11, end=19) == {}


def test_the_clock_goes_on() -> None:
    """It is one that also counts while the machine sleeps."""
    assert clock_s() <= clock_s()
