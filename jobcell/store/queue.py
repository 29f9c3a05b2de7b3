"""The queue of a store, which DBOS keeps: its names, its serializer, and the client.

DBOS is imported only here and in the worker, and only when it is needed: that takes 0.3 seconds.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jobcell.store.database import SQLITE_NOW_MS, Database
from jobcell.store.errors import StoreError
from jobcell.store.schema import workflow_status

if TYPE_CHECKING:
    from dbos import DBOSClient

QUEUE: Final = "jobcell"
"""The name of the queue.  It is partitioned: the partition of a run is its tenant."""

WORKFLOW: Final = "jobcell_run"
"""The name of the workflow function of a worker; its argument is the id of the run."""

APP_VERSION: Final = "jobcell"
"""The same in all versions of jobcell, so that old and new workers take each other's runs."""

_MIDDLE: Final = 2**30
"""The priority in DBOS of a run with priority 0; DBOS takes 1 to 2**31 - 1, the lowest first."""

MAX_PRIORITY: Final = 1_000_000_000
"""Largest priority of a run, and without its sign the lowest."""


class JsonSerializer:
    """Writes the arguments of a workflow as JSON.  Its methods are those of DBOS's ``Serializer``.

    The one of DBOS uses pickle, with which a database could run code in a worker.
    """

    def serialize(self, data: Any) -> str:
        """Return *data* as text."""
        if isinstance(data, BaseException):
            data = {"error": type(data).__name__, "message": str(data)}
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        """Return what `serialize` has written."""
        return json.loads(serialized_data)

    def name(self) -> str:
        """Return the name with which DBOS marks its rows."""
        return "jobcell_json"


@functools.cache
def dbos_version() -> str:
    """Return the version of the installed DBOS. To look it up takes as long as a fifth of `Store.open`."""
    return importlib.metadata.version("dbos")


def make_client(database: Database) -> DBOSClient:
    """Return a client of DBOS that shares the connections of *database*."""
    from dbos import DBOSClient

    silence()
    if database.is_sqlite:
        _mend_clock()
    return DBOSClient(
        system_database_engine=database.engine,
        serializer=JsonSerializer(),  # type: ignore[arg-type]  # DBOS's base class would be an import of DBOS
        lazy=True,
        retry_connection_errors=False,  # `Database.retry` does it, with a limit
    )


def _mend_clock() -> None:
    """Let DBOS take the time of SQLite by a function that every SQLite has.

    With Python 3.12 and later, DBOS calls ``unixepoch('subsec')``.  SQLite has that since version 3.42,
    and Debian 12 has version 3.40: there the time is NULL, and no run could be enqueued.  With Python 3.11
    it takes whole seconds, and so loses the order of runs.
    """
    from dbos import _migration, _sys_db_sqlite

    def now_ms(_self: object) -> sa.ColumnElement[int]:
        return sa.literal_column(SQLITE_NOW_MS, sa.BigInteger)

    _sys_db_sqlite.SQLiteSystemDatabase._now_ms_sql = now_ms  # type: ignore[method-assign, assignment]  # noqa: SLF001
    for number, text in enumerate(_migration.sqlite_migrations):
        mended = text
        for clock in ("(unixepoch('subsec') * 1000)", "(strftime('%s','now') * 1000)"):
            mended = mended.replace(clock, f"({SQLITE_NOW_MS})")
        _migration.sqlite_migrations[number] = mended


def migrate_queue(client: DBOSClient) -> None:
    """Bring the tables of DBOS to the version of the installed DBOS.

    DBOS has no public call for it, besides the launch of a whole application.
    """
    client._sys_db.run_migrations()  # noqa: SLF001


def put(
    client: DBOSClient,
    connection: sa.Connection,
    *,
    run_id: str,
    tenant: str,
    priority: int,
    not_before_s: float | None,
    now_ms: sa.ColumnElement[int],
    after_ms: int = 0,
) -> int:
    """Add a run to the queue, in the transaction of *connection*.

    Runs of the same priority are taken in the order of their time in the queue, which is returned.

    Args:
        client: Of `make_client`.
        connection: A connection to the database of the store.
        run_id: The id of the run; a run that is in the queue already stays as it is.
        tenant: The partition.
        priority: From -`MAX_PRIORITY` to `MAX_PRIORITY`.
        not_before_s: The Unix time in seconds before which the run does not start.
        now_ms: The time of the database's clock.
        after_ms: The time of the run before, which this run must come after.  The time of DBOS itself
            is that of the transaction, and the same for all its runs.

    """
    options: Any = {
        "workflow_name": WORKFLOW,
        "queue_name": QUEUE,
        "workflow_id": run_id,
        "app_version": APP_VERSION,
        "queue_partition_key": tenant,
        "priority": _MIDDLE + priority,
    }
    if not_before_s is not None and not_before_s > time.time():
        options["delay_seconds"] = not_before_s - time.time()
    from dbos import error as dbos_error

    try:
        client.enqueue_in_transaction(connection, options, run_id)
    except dbos_error.DBOSException as error:  # a workflow of another program has this id
        raise StoreError(f"the queue of the store does not take run {run_id!r}: {error}") from None
    later = sa.case((now_ms > after_ms, now_ms), else_=after_ms + 1)
    statement = workflow_status.update().where(workflow_status.c.workflow_uuid == run_id)
    return int(
        connection.execute(
            statement.values(created_at=later).returning(workflow_status.c.created_at)
        ).scalar_one()
    )


def drop(connection: sa.Connection, run_id: str, now_ms: sa.ColumnElement[int]) -> None:
    """Take a run out of the queue, in the transaction of *connection*, if no worker has it."""
    waiting = ("ENQUEUED", "DELAYED")
    connection.execute(
        workflow_status.update()
        .where(workflow_status.c.workflow_uuid == run_id, workflow_status.c.status.in_(waiting))
        .values(
            status="CANCELLED",
            owner_xid=None,
            queue_name=None,
            deduplication_id=None,
            started_at_epoch_ms=None,
            updated_at=now_ms,
            completed_at=now_ms,
        )
    )


def silence() -> None:
    """Keep the messages of DBOS about each connection away from users; errors stay."""
    logger = logging.getLogger("dbos")
    if logger.level == logging.NOTSET or logger.level < logging.WARNING:
        logger.setLevel(logging.WARNING)
