"""Facades of modules for calendars and time zones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_calendar(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the tables of names as tuples, and functions of a calendar of its own."""
    import calendar

    # The functions of the module belong to a single calendar of the process.
    own = calendar.TextCalendar()
    return {
        **{
            name: tuple(getattr(calendar, name))
            for name in ("day_abbr", "day_name", "month_abbr", "month_name")
        },
        "month": own.formatmonth,
        "monthcalendar": own.monthdayscalendar,
    }


def make_zoneinfo(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return a ZoneInfo that finds zones by exact texts.

    Python's own looks at a key several times before it opens a file of that name, and all scopes
    would share its cache.
    """
    import zoneinfo

    class ZoneInfo(zoneinfo.ZoneInfo):
        def __new__(cls, key: str) -> Self:
            return super().__new__(cls, _exact(key))

        @classmethod
        def no_cache(cls, key: str) -> Self:
            return super().no_cache(_exact(key))

        def __repr__(self) -> str:
            return f"zoneinfo.{type(self).__name__}(key={self.key!r})"

    ZoneInfo.__module__ = "zoneinfo"
    ZoneInfo.__qualname__ = "ZoneInfo"
    return {"ZoneInfo": ZoneInfo}


def _exact(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key of a time zone is a string, not {type(key).__name__!r}")
    return str.__str__(key)
