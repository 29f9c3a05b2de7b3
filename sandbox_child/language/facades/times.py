"""Stand-ins of the calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox_child.language.facades import Facades


def make_calendar(facades: Facades) -> dict[str, Any]:  # noqa: ARG001 - every room has one signature
    """Return the tables of names as tuples, and months by a calendar of their own."""
    import calendar

    # The functions of the module belong to one calendar of the process.
    own = calendar.TextCalendar()
    return {
        **{
            name: tuple(getattr(calendar, name))
            for name in ("day_abbr", "day_name", "month_abbr", "month_name")
        },
        "month": own.formatmonth,
        "monthcalendar": own.monthdayscalendar,
    }
