"""Points in time as milliseconds since 1970, from dates as authors write them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from .errors import ArgumentError, kind

_PERIOD: Final = re.compile(r"(\d{4})(?:-?(\d{2})(?:-?(\d{2}))?)?", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)
_RIGHT: Final = "write '2024', '2024-01', '2024-01-31' or '2024-01-31T09:30:00Z'"


def start_of(name: str, value: Any) -> int:
    """Return the beginning of a year, a month or a day; or a point in time.

    Raises:
        ArgumentError: *value* is none of these.

    """
    return _bounds(name, value)[0]


def end_of(name: str, value: Any) -> int:
    """Return the end of a year, a month or a day; or a point in time.

    Raises:
        ArgumentError: *value* is none of these.

    """
    return _bounds(name, value)[1]


def _bounds(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, dt.datetime):
        return (_milliseconds(value),) * 2
    if isinstance(value, dt.date):
        return _period(value.year, value.month, value.day)
    if not isinstance(value, str):
        raise ArgumentError(f"{name} is a date as text, not {kind(value)}; {_RIGHT}")
    text = value.strip()
    try:
        found = _PERIOD.fullmatch(text)
        if found is not None:
            return _period(*(int(part) for part in found.groups() if part is not None))
        return (_milliseconds(dt.datetime.fromisoformat(text)),) * 2
    except (ValueError, OverflowError):
        raise ArgumentError(f"{name} is not a date: {value!r:.60}; {_RIGHT}") from None


def _period(year: int, month: int | None = None, day: int | None = None) -> tuple[int, int]:
    start = dt.datetime(year, month or 1, day or 1, tzinfo=dt.UTC)
    if day is not None:
        end = start + dt.timedelta(days=1)
    elif month is not None:
        end = (start + dt.timedelta(days=31)).replace(day=1)
    else:
        end = start.replace(year=year + 1)
    return _milliseconds(start), _milliseconds(end)


def _milliseconds(moment: dt.datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // _MILLISECOND
