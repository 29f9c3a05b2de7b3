"""The state that a schedule carries from one of its runs to the next."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from jobcell.store.database import Database
from jobcell.store.schema import runs, schedules


def carry(connection: sa.Connection, row: sa.Row[Any]) -> str | None:
    """Return the key of the state with which the next run of a schedule begins, and note it in its row.

    Args:
        connection: A connection in a transaction that has locked the row.
        row: The row of the schedule.

    """
    query = (
        sa.select(runs.c.final_state)
        .where(runs.c.schedule == row.name, runs.c.status == "done", runs.c.reason == "success")
        .order_by(runs.c.ended_ms.desc(), runs.c.id.desc())
        .limit(1)
    )
    last = connection.execute(query).one_or_none()
    if last is None:
        return row.state if row.carried is None else row.carried  # type: ignore[no-any-return]
    key: str | None = last.final_state
    if key != row.carried:
        statement = schedules.update().where(schedules.c.name == row.name)
        connection.execute(statement.values(carried=key))
    return key


def keep_carried(database: Database, connection: sa.Connection) -> None:
    """Note the states that schedules carry, before the runs that made them are removed."""
    carrying = sa.select(schedules).where(schedules.c.carry_state).order_by(schedules.c.name)
    for row in connection.execute(database.lock_row(carrying)).all():
        carry(connection, row)
