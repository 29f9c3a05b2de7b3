"""Cancels a run: at once if it waits in the queue, through its worker if it is going on."""

from __future__ import annotations

import platform

import sqlalchemy as sa

from engine.api import __version__
from engine.reporting import cancelled_report, end_unstarted
from jobcell.store import queue
from jobcell.store.contents import Contents
from jobcell.store.database import Database
from jobcell.store.reading import OVER, unknown
from jobcell.store.schema import events, runs
from protocol.events import Versions


def cancel(database: Database, contents: Contents, run_id: str, reason: str) -> None:
    """Cancel a run; a run that is over stays as it is.

    Raises:
        UnknownRunError: The store has no such run.

    """
    with database.write() as connection:
        query = sa.select(
            runs.c.status, runs.c.last_seq, (database.now_ms / sa.literal(1000.0)).label("now_s")
        )
        row = connection.execute(database.lock_row(query.where(runs.c.id == run_id))).first()
        if row is None:
            raise unknown(run_id)
        if row.status in OVER:
            return
        of_run = runs.c.id == run_id
        if row.status != "queued" or row.last_seq:
            # The first reason counts, as in an engine.
            wish = runs.update().where(of_run, runs.c.cancel.is_(None)).values(cancel=reason)
            connection.execute(wish)
            return
        last, result = end_unstarted(
            run_id,
            cancelled_report(reason),
            seq=1,
            time_s=float(row.now_s),
            versions=Versions(python=platform.python_version(), engine=__version__),
        )
        connection.execute(
            events.insert().values(run_id=run_id, seq=1, body=contents.pack_event(last).body)
        )
        connection.execute(
            runs.update()
            .where(of_run)
            .values(
                status="done",
                reason=result.reason,
                outcome=contents.pack_result(run_id, result).body,
                ended_ms=database.now_ms,
                last_event_ms=database.now_ms,
                last_seq=1,
                cancel=reason,
            )
        )
        queue.drop(connection, run_id, database.now_ms)
