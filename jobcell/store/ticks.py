"""When a schedule is due: the instants that a cron expression names in a time zone.

Neither a database nor a clock is used here.  Croniter reads the expression.  It gets times of the wall
clock without a zone: with a zone, it gives a daily job two ticks on the day on which the clocks go back.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of the month": "1 to 31, L for the last",
    "month": "1 to 12, JAN to DEC",
    "day of the week": "0 to 7 (0 and 7 are Sunday), SUN to SAT",
}
_SIZES: Final = (60, 24, 31, 12, 7)
"""How many values each field can have."""

# Croniter would take R as a random value, another one in each worker, and H as a hash.
_FORM: Final = re.compile(r"(?:(?![RHrh](?![A-Za-z]))(?:[A-Za-z]+|[0-9*/,#?-]))+")
_EXAMPLE: Final = 'for example "0 * * * *" for each full hour'
_MINUTE: Final = timedelta(minutes=1)
_FARTHEST: Final = timedelta(hours=26)
"""No place on Earth is farther from another in its wall clock than 26 hours (UTC-12 to UTC+14), and so no change
of an offset is larger."""

_MACHINES_OWN: Final = frozenset({"localtime", "posixrules", "Factory"})
"""Names of zones that mean something else on each machine, or nothing."""

_LONGEST_TEXT: Final = 200


class ScheduleTextError(ValueError):
    """A cron expression or the name of a time zone cannot be used; the text says why."""


class Timetable:
    """The ticks of a cron expression in a time zone, as instants in UTC with whole minutes.

    Where the clocks go forward, a tick that the wall clock does not show comes as much later as the
    clocks were moved.  Where they go back, a time that the wall clock shows twice is one tick, the
    earlier.  If the field of the minute or of the hour begins with ``*``, both are ticks.

    Args:
        cron: Five fields (minute, hour, day of month, month, day of week), or an alias such as ``@daily``.
        tz: The name of a zone in the IANA database, for example ``Europe/Berlin``.

    Raises:
        ScheduleTextError: The expression or the zone is wrong, or no time fits the expression.

    """

    def __init__(self, cron: str, tz: str) -> None:
        self._cron = _read_cron(cron)
        self._zone = _read_zone(tz)
        minute, hour = self._cron.split()[:2]
        self._by_elapsed_time = minute.startswith("*") or hour.startswith("*")
        # An expression such as "0 0 31 2 *" has the right form, and no tick.
        if not any(True for _ in _walk(self._cron, datetime(2024, 1, 1), forward=True)):  # noqa: DTZ001
            raise ScheduleTextError(
                f"cron {cron!r} never comes: no month that it names has such a day"
            )

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first tick after an instant; None: none within 50 years.

        Args:
            instant: With a time zone.

        """
        best: datetime | None = None
        begin = self._local(instant) - self._margin(instant)
        for wall in _walk(self._cron, begin, forward=True):
            if best is not None and wall > self._local(best) + self._margin(best):
                break
            for tick in self._instants(wall):
                if tick > instant and (best is None or tick < best):
                    best = tick
        return best

    def last_until(self, instant: datetime, *, after: datetime) -> datetime | None:
        """Return the last tick of the time from *after* (not included) to *instant* (included), if any.

        Args:
            instant: With a time zone.
            after: With a time zone; older ticks are not looked for.

        """
        best: datetime | None = None
        begin = self._local(instant) + self._margin(instant) + _MINUTE
        end = self._local(after) - _FARTHEST
        for wall in _walk(self._cron, begin, forward=False):
            if wall < end or (best is not None and wall < self._local(best) - self._margin(best)):
                break
            for tick in self._instants(wall):
                if after < tick <= instant and (best is None or tick > best):
                    best = tick
        return best

    def _instants(self, wall: datetime) -> list[datetime]:
        """Return the instants that a time of the wall clock means."""
        # PEP 495: in a gap, fold 0 takes the offset from before it; of a time that is shown twice, it is the earlier.
        early = wall.replace(tzinfo=self._zone, fold=0)
        late = early.replace(fold=1)
        shown_twice = _offset(early) > _offset(late)
        both = [early, late] if shown_twice and self._by_elapsed_time else [early]
        return [instant.astimezone(UTC) for instant in both]

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _margin(self, instant: datetime) -> timedelta:
        """Return how far the order of wall clock times may differ from the order of instants near an instant."""
        near = instant.astimezone(UTC)
        offsets = [
            _offset((near + shift).astimezone(self._zone))
            for shift in (-_FARTHEST, timedelta(), _FARTHEST)
        ]
        return max(offsets) - min(offsets)


def tick_id(name: str, tick: datetime) -> str:
    """Return the id of the run of a schedule at a tick, for example ``NAME@2026-11-28T17:00Z``."""
    return f"{name}@{tick.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def _offset(time: datetime) -> timedelta:
    offset = time.utcoffset()
    assert offset is not None
    return offset


def _walk(cron: str, begin: datetime, *, forward: bool) -> Iterator[datetime]:
    """Give the wall clock times of an expression after *begin*, or before it, without end."""
    from croniter import CroniterBadDateError, croniter

    try:
        iterator = croniter(cron, begin, ret_type=datetime)
        while True:
            yield iterator.get_next() if forward else iterator.get_prev()
    except (CroniterBadDateError, OverflowError, ValueError):
        return  # no time in 50 years, or before the first or after the last year of a datetime


def _read_cron(cron: Any) -> str:
    """Return an expression in its full form."""
    if not isinstance(cron, str):
        raise ScheduleTextError(f"cron must be a text, not {type(cron).__name__}; {_EXAMPLE}")
    shown = repr(cron if len(cron) <= _LONGEST_TEXT else cron[:_LONGEST_TEXT] + "...")
    fields = cron.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        full = _ALIASES.get(fields[0].lower())
        if full is None:
            raise ScheduleTextError(
                f"cron {shown} is not an alias; there are {', '.join(_ALIASES)}"
            )
        return full
    if len(fields) != 5:
        raise ScheduleTextError(
            f"cron {shown} has {len(fields)} fields and needs five: {', '.join(_FIELDS)}; {_EXAMPLE}"
        )
    full = " ".join(fields)
    if len(full) > _LONGEST_TEXT:
        raise ScheduleTextError(f"cron {shown} is longer than {_LONGEST_TEXT} characters")
    for number, (field, (name, allowed)) in enumerate(zip(fields, _FIELDS.items(), strict=True)):
        alone = " ".join(field if place == number else "*" for place in range(5))
        if not _FORM.fullmatch(field) or not _is_read(alone):
            raise ScheduleTextError(
                f"cron {shown}: {field!r} cannot be the {name}; allowed: {allowed}, and of these"
                " lists (1,2), ranges (1-5) and steps (*/2)"
            )
        _check_steps(shown, field, number)
    if not _is_read(full):
        raise ScheduleTextError(f"cron {shown} cannot be read; {_EXAMPLE}")
    return full


def _check_steps(shown: str, field: str, place: int) -> None:
    """Raise ScheduleTextError for a step that does not mean what its author must think.

    A step beyond the end of its field, such as every 90 minutes, would name the first value alone.  Croniter
    counts wrongly beyond the end of a range with a step: of ``22-6/4`` it makes 22 and 3.
    """
    name, most = list(_FIELDS)[place], _SIZES[place]
    for part in field.split(","):
        values, _, step = part.partition("/")
        if not step.isdecimal():
            continue
        if int(step) > most:
            raise ScheduleTextError(
                f"cron {shown}: the step of {part!r} is too large for the {name}, which has {most} values, so"
                " only the first one would count; give a smaller step, or a list of values"
            )
        if "-" in values:
            first, last = (_value_of(end, place) for end in values.split("-", 1))
            if last < first:
                raise ScheduleTextError(
                    f"cron {shown}: {part!r} is a step in a range that goes over the end of the {name};"
                    " give a list of times"
                )


def _value_of(text: str, place: int) -> int:
    """Return the number of a value, which may be a name such as ``MON``."""
    from croniter import croniter

    return int(
        croniter.expand(" ".join(text if p == place else "*" for p in range(5)))[0][place][0]
    )


def _is_read(cron: str) -> bool:
    from croniter import CroniterError, croniter

    try:
        croniter.expand(cron)
    except (CroniterError, ValueError, KeyError):
        return False
    return True


@lru_cache(maxsize=256)
def _find_zone(tz: str) -> ZoneInfo | None:
    try:
        return None if tz in _MACHINES_OWN else ZoneInfo(tz)
    # A name with a path in it is a ValueError, a directory such as "Europe" an OSError.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _read_zone(tz: Any) -> ZoneInfo:
    if not isinstance(tz, str):
        raise ScheduleTextError(
            f"a time zone must be a text such as 'Europe/Berlin', not {type(tz).__name__}"
        )
    zone = _find_zone(tz) if len(tz) <= _LONGEST_TEXT else None
    if zone is not None:
        return zone
    known = sorted(available_timezones() - _MACHINES_OWN)
    if not known:
        raise ScheduleTextError(
            f"time zone {tz[:_LONGEST_TEXT]!r}: this machine has no database of time zones;"
            " install Debian's package tzdata, or: pip install tzdata"
        )
    lower = {name.lower(): name for name in known}
    # A city alone is the most common slip.
    cities = {name.rsplit("/", 1)[-1].lower(): name for name in known}
    close = difflib.get_close_matches(tz.lower(), [*lower, *cities], n=1, cutoff=0.75)
    hint = lower.get(close[0], cities.get(close[0], "")) if close else "Europe/Berlin"
    raise ScheduleTextError(
        f"time zone {tz[:_LONGEST_TEXT]!r} is unknown; did you mean {hint!r}?"
        if close
        else f"time zone {tz[:_LONGEST_TEXT]!r} is unknown; names are like {hint!r} and 'UTC'"
    )
