"""A cursor: the place that a workflow has reached, kept in the state for its next run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, Unpack

from .errors import ArgumentError
from .flow import Operation, State
from .references import bind, dereference, resolve

_AGO = re.compile(r"(\d+) (hour|day)s? ago")
_OPTIONS = {
    "default": "default",
    "default_value": "default",
    "defaultValue": "default",
    "key": "key",
    "format": "format",
}


def parse_date(value: Any, *, now: datetime, start: datetime) -> Any:
    """Return the time that a text means, or *value* for other texts and values.

    Args:
        value: `now`, `end` (both *now*), `today`, `yesterday`, `n hours ago`, `n days ago` (the
            start of that day), or `start`; anything else is returned as it is.
        now: The present time; its time zone decides when a day starts.
        start: The start time of the run.

    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    named = {
        "now": now,
        "end": now,
        "start": start,
        "today": today,
        "yesterday": today - timedelta(days=1),
    }
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if match := _AGO.fullmatch(text):
        try:
            hours = timedelta(hours=int(match[1]))
            return now - hours if match[2] == "hour" else today - 24 * hours
        except OverflowError:
            raise ArgumentError(f"cursor: {value!r} is before all time", value=value) from None
    return named.get(text, value)


def isoformat(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds: `2024-05-06T07:08:09.010Z`."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class Cursors:
    """The cursors of a run, which share the run's start time and the last chosen key.

    Args:
        clock: Returns the present time as an aware datetime.

    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._start = clock()
        self._key = "cursor"

    def operation(self, value: Any, options: Any, more_options: Mapping[str, Any]) -> Operation:
        """Return the operation that `cursor` describes."""

        def run(state: State) -> State:
            given = {**(dereference(state, options) or {}), **more_options}
            wanted = {_option(name): option for name, option in given.items()}
            formatter = wanted.pop("format", None)
            chosen = resolve(state, wanted)
            self._key = chosen.get("key") or self._key
            try:
                current = resolve(state, value)
            except (LookupError, AttributeError):
                # `cursor(state.cursor, default=...)`: the first run does not have a cursor yet.
                if "default" not in chosen:
                    raise
                current = None
            if not current:
                current = chosen.get("default", current)
            moment = parse_date(current, now=self._clock(), start=self._start)
            if formatter is not None:
                result = bind(formatter, state)(moment)
            else:
                result = isoformat(moment) if isinstance(moment, datetime) else moment
            rest = {key: kept for key, kept in state.items() if key != self._key}
            if result is None:
                return rest
            print(f"Setting {self._key} to: {result}")  # noqa: T201  # the engine makes a log event of it
            return {**rest, self._key: result}

        return run


def _option(name: str) -> str:
    if name not in _OPTIONS:
        raise ArgumentError(
            f"cursor: unknown option {name!r}; there are default, key and format", option=name
        )
    return _OPTIONS[name]


_RUN = Cursors(lambda: datetime.now(UTC))
"""The cursors of this run, because this package is loaded once for each run."""


class CursorOptions(TypedDict, total=False):
    """The options of `cursor`, as an editor knows them."""

    default: Any
    key: Any
    format: Any


def cursor(
    value: Any = None, options: Any = None, **more_options: Unpack[CursorOptions]
) -> Operation:
    """Set a cursor in the state, at which the next run of the workflow can begin.

    Args:
        value: A value, or a function of state.  `now`, `today`, `yesterday`, `n hours ago`,
            `n days ago`, `start` (of the run) and `end` become a time, in UTC.  None clears the
            cursor.
        options: The options below as a dict, or a function of state.
        more_options: `default`: the cursor if *value* is None, 0, False or empty, or if the state
            does not have it.  `key`: the key in the state, by default `cursor`; all later cursors
            of the run use it, too.  `format`: a function that gets the value (a time as a datetime)
            and returns the value to save.

    Example:
        `cursor(state.cursor, default="today")`

    """
    return _RUN.operation(value, options, dict(more_options))
