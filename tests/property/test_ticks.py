"""The ticks of a timetable are those that a slow and simple search finds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jobcell.store.ticks import Timetable

MINUTE = timedelta(minutes=1)
CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 7, 1, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),  # half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/St_Johns", datetime(2006, 10, 29, 2, 31, tzinfo=UTC)),  # at 00:01
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # a whole day
    ("Asia/Kathmandu", datetime(1985, 12, 31, 18, 30, tzinfo=UTC)),  # a quarter of an hour
    ("UTC", datetime(2026, 2, 28, 23, tzinfo=UTC)),
]
"""Zones, and the moments of a change of their clocks, or an ordinary moment."""


def numbers(low: int, high: int) -> st.SearchStrategy[tuple[str, set[int]]]:
    """Make a field: its text, and the numbers that it stands for."""
    every = st.just(("*", set(range(low, high + 1))))
    step = st.integers(1, high).map(lambda n: (f"*/{n}", set(range(low, high + 1, n))))
    some = st.sets(st.integers(low, high), min_size=1, max_size=3).map(
        lambda found: (",".join(map(str, sorted(found))), found)
    )
    return st.one_of(every, step, some)


def slow_search(
    fields: list[tuple[str, set[int]]], tz: str, begin: datetime, end: datetime
) -> list[datetime]:
    """Look at each minute of the wall clock, those that it leaves out included, and return the ticks after *begin*."""
    zone = ZoneInfo(tz)
    (minute, minutes), (hour, hours), (_, days) = fields

    found = set()
    wall = begin.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    last = end.astimezone(zone).replace(tzinfo=None) + timedelta(days=1)
    while wall < last:
        if wall.hour not in hours or wall.day not in days:
            wall = wall.replace(minute=0) + timedelta(hours=1)
            continue
        if wall.minute in minutes:
            early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            found.add(early)
            if late > early and "*" in {minute[0], hour[0]}:  # the wall clock shows it twice
                found.add(late)
        wall += MINUTE
    return sorted(tick for tick in found if begin < tick <= end)


@pytest.mark.slow
@given(
    where=st.sampled_from(CHANGES),
    fields=st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 31)),
    shift=st.integers(-600, 600),
)
@examples(60)
def test_both_directions_agree_with_a_slow_search_near_a_change_of_the_clocks(
    where: tuple[str, datetime], fields: list[tuple[str, set[int]]], shift: int
) -> None:
    """No tick is lost, doubled or invented, and none comes out of order."""
    tz, change = where
    begin = change + shift * MINUTE
    end = begin + timedelta(hours=20)
    minute, hour, day = (text for text, _ in fields)
    timetable = Timetable(f"{minute} {hour} {day} *  *", tz)
    expected = slow_search(fields, tz, begin, end)

    forward, at = [], begin
    while len(forward) < 30 and (at := timetable.next_after(at)) is not None and at <= end:
        forward.append(at)
    backward, at = [], end
    while len(backward) < 30 and (at := timetable.last_until(at, after=begin)) is not None:
        backward.append(at)
        at -= timedelta(seconds=1)

    assert forward == expected[:30]
    assert backward == expected[::-1][:30]


@given(seconds=st.integers(0, 4_000_000_000))
@examples(40)
def test_a_next_tick_is_the_last_tick_at_its_own_time(seconds: int) -> None:
    """Two workers that look at different moments find the same ticks."""
    instant = datetime.fromtimestamp(seconds, UTC)
    timetable = Timetable("7 */5 * * *", "America/New_York")

    tick = timetable.next_after(instant)

    assert tick > instant
    assert tick.second == tick.microsecond == 0
    assert timetable.last_until(tick, after=instant) == tick
    assert timetable.last_until(tick - timedelta(seconds=1), after=instant) is None
