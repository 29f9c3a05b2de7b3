"""Times as texts and as numbers: the parts of `Date` that do not depend on a time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .values import Error, kind

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{3}))?)?(?:Z|([+-])([0-9]{2}):([0-9]{2})))?"
)


def now_ms() -> int:
    """Return `Date.now()`: the milliseconds since 1970."""
    return (datetime.now(UTC) - _EPOCH) // _MILLISECOND


def time_ms(value: Any) -> int:
    """Return `new Date(value).getTime()`.

    Args:
        value: Whole milliseconds since 1970, or a text such as `2026-11-29` or `2026-11-29T10:00:00.000Z`.

    Raises:
        Error: The value has another form. A time without `Z` or an offset depends on the machine.

    """
    if isinstance(value, int) and not isinstance(value, bool):
        _checked(value)
        return value
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Error(f"new Date of {kind(value)} that is not whole milliseconds or a time with Z")
    year, month, day, hour, minute, second, part = (int(one or 0) for one in found.groups()[:7])
    try:
        moment = datetime(year, month, day, hour, minute, second, part * 1000, tzinfo=UTC)
    except ValueError as error:
        raise Error(f"new Date: {error}") from None
    sign, hours, minutes = found[8], int(found[9] or 0), int(found[10] or 0)
    if hours > 23 or minutes > 59:
        raise Error("new Date: an offset has at most 23 hours and 59 minutes")
    offset = (hours * 60 + minutes) * 60_000
    return (moment - _EPOCH) // _MILLISECOND - (-offset if sign == "-" else offset)


def iso(value: Any) -> str:
    """Return `new Date(value).toISOString()`.

    Raises:
        Error: As for `time_ms`, or the year is not one of 1 to 9999.

    """
    moment = _checked(time_ms(value))
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z".rjust(24, "0")


def _checked(milliseconds: int) -> datetime:
    try:
        return _EPOCH + milliseconds * _MILLISECOND
    except OverflowError:
        raise Error("new Date: a year is not one of 1 to 9999") from None
