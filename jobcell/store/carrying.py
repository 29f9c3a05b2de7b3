"""The state that a schedule carries from one of its runs to the next."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from jobcell.store.database import Database
from jobcell.store.schema import runs, schedules


def carried(connection: sa.Connection, row: sa.Row[Any]) -> str | None:
    """Return the key of the state with which the next run of a schedule begins.

    Args:
        connection: A connection.
        row: The row of the schedule.

    """
    return _key(row, _last_success(connection, row.name))


def carry(connection: sa.Connection, row: sa.Row[Any]) -> str | None:
    """Return what `carried` does, and note it in the row.

    Args:
        connection: A connection in a transaction that has locked the row.
        row: The row of the schedule.

    """
    last = _last_success(connection, row.name)
    if last is not None and last.final_state != row.carried:
        statement = schedules.update().where(schedules.c.name == row.name)
        connection.execute(statement.values(carried=last.final_state))
    return _key(row, last)


def _key(row: sa.Row[Any], last: sa.Row[Any] | None) -> str | None:
    if last is not None:
        return last.final_state  # type: ignore[no-any-return]
    return row.state if row.carried is None else row.carried  # type: ignore[no-any-return]


def _last_success(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    query = (
        sa.select(runs.c.final_state)
        .where(runs.c.schedule == name, runs.c.status == "done", runs.c.reason == "success")
        .order_by(runs.c.ended_ms.desc(), runs.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).one_or_none()


def keep_carried(database: Database, connection: sa.Connection) -> None:
    """Note the states that schedules carry, before the runs that made them are removed."""
    carrying = sa.select(schedules).where(schedules.c.carry_state).order_by(schedules.c.name)
    for row in connection.execute(database.lock_row(carrying)).all():
        carry(connection, row)
