"""Removes runs that are over, with all that belongs to them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from jobcell.store.blobs import Blobs
from jobcell.store.carrying import keep_carried
from jobcell.store.database import Database
from jobcell.store.reading import OVER
from jobcell.store.schema import (
    events,
    operation_outputs,
    records,
    runs,
    workflow_input,
    workflow_output,
    workflow_status,
)

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)

_CHUNK: Final = 500
"""Number of runs in a transaction, so that workers never wait for long."""


def prune(database: Database, blobs: Blobs, older: timedelta | float | str) -> int:
    """Remove the runs that are over and whose last event is older; return their number.

    A worker may have ended a run and not yet told the queue; such a run stays for the next time.

    Args:
        database: Of the store.
        blobs: Of the store.
        older: An age: a timedelta, seconds, or text such as ``30d``.

    Raises:
        TypeError, ValueError: *older* is not an age.

    """
    older_ms = _milliseconds(older)
    removed = 0
    while True:
        number = database.retry(lambda: _remove_some(database, older_ms), 30.0)
        removed += number
        if number < _CHUNK:
            break
    blobs.sweep()
    return removed


def _remove_some(database: Database, older_ms: int) -> int:
    held = (
        sa.select(workflow_status.c.workflow_uuid)
        .where(
            workflow_status.c.workflow_uuid == runs.c.id,
            workflow_status.c.status.in_(("ENQUEUED", "DELAYED", "PENDING")),
        )
        .exists()
    )
    query = (
        sa.select(runs.c.id)
        .where(runs.c.status.in_(OVER), runs.c.last_event_ms < database.now_ms - older_ms, ~held)
        .limit(_CHUNK)
    )
    if not database.is_sqlite:
        query = query.with_for_update(skip_locked=True)
    with database.write() as connection:
        ids = list(connection.execute(query).scalars())
        if ids:
            keep_carried(database, connection)
            for column in (
                events.c.run_id,
                records.c.run_id,
                workflow_input.c.workflow_uuid,
                workflow_output.c.workflow_uuid,
                operation_outputs.c.workflow_uuid,
                workflow_status.c.workflow_uuid,
                runs.c.id,
            ):
                connection.execute(sa.delete(column.table).where(column.in_(ids)))
    return len(ids)


def _milliseconds(older: Any) -> int:
    if isinstance(older, str):
        older = read_age(older)
    if isinstance(older, timedelta):
        older = older.total_seconds()
    if isinstance(older, bool) or not isinstance(older, int | float):
        raise TypeError(f"older must be a timedelta or a number of seconds, not {older!r}")
    if not 0 <= older < 1e14:
        raise ValueError(f"older must be a number of seconds of at least 0, not {older!r}")
    return int(older * 1000)


def read_age(text: str) -> timedelta:
    """Return an age: a number and s, m, h or d.

    Raises:
        ValueError: *text* is something else.

    """
    found = _AGE.fullmatch(text.strip())
    try:
        if found is not None:
            return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        pass
    raise ValueError(f"older: {text!r} is not an age; write a number and s, m, h or d, such as 30d")
