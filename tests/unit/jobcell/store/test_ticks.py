"""A schedule is due when its cron expression says so on the wall clock of its time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from jobcell.store.ticks import ScheduleTextError, Timetable, tick_id

BEGIN = datetime(2026, 11, 28, 16, 30, tzinfo=UTC)


def ticks(cron: str, tz: str, begin: datetime, count: int) -> list[str]:
    """Return the next ticks as days and times in UTC."""
    timetable = Timetable(cron, tz)
    found = []
    for _ in range(count):
        begin = timetable.next_after(begin)
        found.append(f"{begin:%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("cron", "tz", "expected"),
    [
        ("0 * * * *", "Europe/Berlin", ["28 17:00", "28 18:00", "28 19:00"]),
        ("@hourly", "UTC", ["28 17:00", "28 18:00", "28 19:00"]),
        ("0 9 * * *", "Europe/Berlin", ["29 08:00", "30 08:00", "01 08:00"]),
        ("0 9 * * *", "Asia/Kathmandu", ["29 03:15", "30 03:15", "01 03:15"]),
        ("30 4 * * MON-FRI", "UTC", ["30 04:30", "01 04:30", "02 04:30"]),
        ("0 0 L * *", "UTC", ["30 00:00", "31 00:00", "31 00:00"]),
        ("0 0 13 * FRI", "UTC", ["04 00:00", "11 00:00", "13 00:00"]),
        ("0  12\t29 2 *", "UTC", ["29 12:00", "29 12:00", "28 12:00"][:1]),
    ],
)
def test_the_next_ticks_follow_the_wall_clock(cron: str, tz: str, expected: list[str]) -> None:
    """Five fields mean what cron(5) says: both kinds of day given means either."""
    assert ticks(cron, tz, BEGIN, len(expected)) == expected


def test_a_tick_is_not_its_own_next_tick() -> None:
    """`next_after` is strict, and `last_until` includes: no tick is lost or doubled between two looks."""
    timetable = Timetable("0 * * * *", "UTC")
    tick = datetime(2026, 11, 28, 17, tzinfo=UTC)

    assert timetable.next_after(tick) == datetime(2026, 11, 28, 18, tzinfo=UTC)
    assert timetable.last_until(tick, after=BEGIN) == tick
    assert timetable.last_until(tick, after=tick) is None


def test_the_last_tick_of_a_long_absence_is_found_without_walking_through_it() -> None:
    """After a year without workers, one run is made for the last of 525,600 ticks."""
    timetable = Timetable("* * * * *", "Europe/Berlin")

    last = timetable.last_until(BEGIN, after=datetime(1990, 1, 1, tzinfo=UTC))

    assert last == BEGIN


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        pytest.param("30 2 * * *", ["29 01:30", "30 00:30"], id="later by the missing hour"),
        pytest.param("0 * * * *", ["29 00:00", "29 01:00", "29 02:00"], id="no hour is left out"),
        pytest.param("0 2,3 * * *", ["29 01:00", "30 00:00"], id="two become one"),
    ],
)
def test_a_tick_that_the_wall_clock_does_not_show_comes_later(
    cron: str, expected: list[str]
) -> None:
    """In Berlin, 29 March 2026 has no time from 02:00 to 03:00. A daily job still runs on that day."""
    before = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)

    assert ticks(cron, "Europe/Berlin", before, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        pytest.param("30 2 * * *", ["25 00:30", "26 01:30"], id="a daily tick comes once"),
        pytest.param("0 * * * *", ["25 00:00", "25 01:00", "25 02:00"], id="each hour has a tick"),
        pytest.param(
            "*/30 2 * * *", ["25 00:00", "25 00:30", "25 01:00", "25 01:30"], id="minutes"
        ),
    ],
)
def test_a_time_that_the_wall_clock_shows_twice(cron: str, expected: list[str]) -> None:
    """In Berlin, 25 October 2026 has the time from 02:00 to 03:00 twice. A daily job runs once on that day."""
    before = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)

    assert ticks(cron, "Europe/Berlin", before, len(expected)) == expected


def test_a_day_that_a_country_left_out_loses_no_tick() -> None:
    """Samoa had no 30 December 2011. Its tick falls on that of the next day, which makes them one."""
    before = datetime(2011, 12, 29, 23, tzinfo=UTC)

    assert ticks("0 12 * * *", "Pacific/Apia", before, 2) == ["30 22:00", "31 22:00"]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 22-1 * * *", ["29 00:00", "29 01:00", "29 22:00", "29 23:00", "30 00:00"]),
        ("0 0 * * FRI-MON", ["29 00:00", "30 00:00", "04 00:00", "05 00:00"]),
        ("*/60 */24 * * *", ["29 00:00", "30 00:00"]),
    ],
    ids=["hours", "days", "steps of a whole field"],
)
def test_a_range_may_go_over_the_end_of_its_field(cron: str, expected: list[str]) -> None:
    """A night and a long weekend are ranges, too."""
    assert ticks(cron, "UTC", datetime(2026, 11, 28, 23, 59, tzinfo=UTC), len(expected)) == expected


def test_an_id_names_the_tick_in_utc() -> None:
    """The same tick has the same id in every worker, in any time zone."""
    tick = Timetable("0 18 * * *", "Europe/Berlin").next_after(BEGIN)

    assert tick_id("nightly", tick) == "nightly@2026-11-28T17:00Z"


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 * * * *", "cron '61 * * * *': '61' cannot be the minute; allowed: 0 to 59"),
        ("0 24 * * *", "'24' cannot be the hour; allowed: 0 to 23"),
        ("0 0 1-40 * *", "'1-40' cannot be the day of the month; allowed: 1 to 31"),
        ("0 0 * 13 *", "'13' cannot be the month; allowed: 1 to 12, JAN to DEC"),
        ("0 0 * * 8", "'8' cannot be the day of the week; allowed: 0 to 7"),
        ("*/0 * * * *", "'*/0' cannot be the minute"),
        ("-5 * * * *", "'-5' cannot be the minute"),
        ("*/90 * * * *", "the step of '*/90' is too large for the minute, which has 60"),
        ("0 8,10/25 * * *", "the step of '10/25' is too large for the hour"),
        ("0 22-6/4 * * *", "'22-6/4' is a step in a range that goes over the end of the hour"),
        ("0 0 * * FRI-MON/2", "'FRI-MON/2' is a step in a range that goes over the end"),
        ("a b c d e", "'a' cannot be the minute"),
        ("H * * * *", "'H' cannot be the minute"),
        ("0 R * * *", "'R' cannot be the hour"),
        ("0 0 * * é", "cannot be the day of the week"),
        ("* * * *", "cron '* * * *' has 4 fields and needs five: minute, hour,"),
        ("0 * * * * *", "has 6 fields and needs five"),
        ("", "cron '' has 0 fields"),
        ("hourly", "has 1 fields"),
        ("@reboot", "cron '@reboot' is not an alias; there are @hourly,"),
        ("0 0 31 2 *", "cron '0 0 31 2 *' never comes"),
        ("0 0 30 2 *", "never comes"),
        ("0," * 150 + "0 * * * *", "is longer than 200 characters"),
        (5, "cron must be a text, not int"),
        (None, "cron must be a text, not NoneType"),
    ],
)
def test_a_wrong_expression_is_one_clear_error(cron: object, message: str) -> None:
    """The error names the value and the field, and says what would be right."""
    with pytest.raises(ScheduleTextError, match=re.escape(message)):
        Timetable(cron, "UTC")


@pytest.mark.parametrize(
    ("tz", "message"),
    [
        ("europe/berlin", "time zone 'europe/berlin' is unknown; did you mean 'Europe/Berlin'?"),
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("Europe/Berlni", "did you mean 'Europe/Berlin'?"),
        ("Europe", "time zone 'Europe' is unknown; names are like 'Europe/Berlin' and 'UTC'"),
        ("../../etc/passwd", "time zone '../../etc/passwd' is unknown"),
        ("localtime", "time zone 'localtime' is unknown"),
        ("", "time zone '' is unknown"),
        ("a\0b", "is unknown"),
        ("x" * 10_000, "is unknown"),
        (1, "a time zone must be a text such as 'Europe/Berlin', not int"),
    ],
)
def test_an_unknown_time_zone_is_one_clear_error(tz: object, message: str) -> None:
    """The error suggests the name that was meant. "localtime" is refused, because machines differ."""
    with pytest.raises(ScheduleTextError, match=re.escape(message)) as caught:
        Timetable("0 * * * *", tz)

    assert len(str(caught.value)) < 400
