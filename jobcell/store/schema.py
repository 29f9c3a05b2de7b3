"""The tables of a store, and the migrations that make them.

Our tables lie beside those of DBOS.  A migration runs under a lock, so that two processes may open a
new store at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Text
from sqlalchemy.dialects import postgresql

from jobcell.store.errors import StoreVersionError

SCHEMA_VERSION: Final = 3
"""The version of the tables that this program makes."""

READABLE_FROM: Final = 1
"""The oldest version of a program that can use these tables."""

_SHUT_OUT_MS: Final = 2_000
"""Longest wait of a migration for the transactions of old programs; the others wait behind it."""

OURS: Final = "jobcell_tables"
THEIRS: Final = "dbos_tables"
"""Placeholders for schemas; see `translations`."""

DBOS_SCHEMA: Final = "dbos"

metadata: sa.MetaData = sa.MetaData(schema=OURS)

meta: sa.Table = sa.Table(
    "jobcell_meta",
    metadata,
    Column("schema_version", Integer, nullable=False),
    Column("readable_from", Integer, nullable=False),
    Column("store_id", Text, nullable=False),
    Column(
        "dbos_version", Text, nullable=False
    ),  # the version of DBOS that has migrated its tables
    Column("key_check", Text),  # None: the store is not encrypted
)

runs: sa.Table = sa.Table(
    "jobcell_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("plan_hash", Text, nullable=False),  # of the plan, the state and the tenant
    Column("plan", Text, nullable=False),  # the key of a blob, as in `state` and `final_state`
    Column("state", Text),
    Column("options", LargeBinary),  # `jobcell.store.options`
    Column("status", Text, nullable=False),  # queued, running, done, dead
    Column("reason", Text),  # of a run that is over, as in `RunResult.reason`
    Column("final_state", Text),
    Column("outcome", LargeBinary),  # `Contents.pack_result`, without the state
    Column("created_ms", BigInteger, nullable=False),  # times are those of the database's clock
    Column("not_before_ms", BigInteger),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("last_event_ms", BigInteger, nullable=False),
    Column("owner", Text),  # the owner_xid of the claim that holds the run
    Column("worker", Text),
    Column("last_seq", Integer, nullable=False, server_default="0"),
    Column("takeovers", Integer, nullable=False, server_default="0"),
    # Takeovers in a row with a step in flight, and without a new record in between.
    Column("lost", Integer, nullable=False, server_default="0"),
    Column("cancel", Text),  # the reason with which somebody wants to cancel the run
    Column("retry_of", Text),
    Column("schedule", Text),
    Column("trace", Text),  # of the caller: `jobcell.store.traces`
    Column("span", Text),  # the traceparent of the last span of the run
)
sa.Index("jobcell_runs_status", runs.c.status, runs.c.tenant, runs.c.created_ms)
sa.Index("jobcell_runs_last_event", runs.c.last_event_ms)
sa.Index("jobcell_runs_created", runs.c.created_ms)
sa.Index("jobcell_runs_schedule", runs.c.schedule, runs.c.status, runs.c.ended_ms)

events: sa.Table = sa.Table(
    "jobcell_events",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),  # `Contents.pack_event`
    Column("state", Text),  # the key of a blob, if the state of the event is large
)

records: sa.Table = sa.Table(
    "jobcell_records",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # from 1
    Column("step_run_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # `Contents.pack_record`, without the state
    Column("state", Text, nullable=False),
)

blobs: sa.Table = sa.Table(
    "jobcell_blobs",
    metadata,
    Column("key", Text, primary_key=True),  # `jobcell.store.blobs`
    Column("encoding", Text, nullable=False),  # raw, zlib
    Column("size", BigInteger, nullable=False),  # bytes of the content
    Column("body", LargeBinary),  # None: the content lies at `url`
    Column("url", Text),
    Column("used_ms", BigInteger, nullable=False),
)

workers: sa.Table = sa.Table(
    "jobcell_workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False, server_default="0"),
    Column("seen_ms", BigInteger, nullable=False),
    Column("draining", Boolean, nullable=False, server_default=sa.false()),
    Column("places", Integer, nullable=False),
)

schedules: sa.Table = sa.Table(
    "jobcell_schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cron", Text, nullable=False),
    Column("tz", Text, nullable=False),
    Column("plan", Text, nullable=False),  # the key of a blob, as in `state`
    Column("state", Text),
    Column("tenant", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("missed", Text, nullable=False),  # run, skip
    Column("carry_state", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("looked_ms", BigInteger, nullable=False),  # the ticks up to here are decided
    Column("due_ms", BigInteger),  # the next tick, or the next look at one that waits; None: never
    Column("last_tick", BigInteger),  # the last one that has a run
    Column("carried", Text),  # the state of the next run, as known; the key of a blob
    Column("problem", Text),  # why the last tick has no run
)
sa.Index("jobcell_schedules_due", schedules.c.due_ms)

collections: sa.Table = sa.Table(
    "jobcell_collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value_count", BigInteger, nullable=False),  # the number of its values
    Column("value_bytes", BigInteger, nullable=False),  # the sum of their sizes
    sa.UniqueConstraint("tenant", "name", name="jobcell_collections_name"),
)

# Compared byte by byte, as SQLite does: a pattern that begins with text is then a range of keys.
_KEY_TYPE = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

collection_values: sa.Table = sa.Table(
    "jobcell_collection_values",
    metadata,
    Column("collection", Integer, primary_key=True, autoincrement=False),
    Column("key", _KEY_TYPE, primary_key=True),
    Column("body", LargeBinary, nullable=False),  # the value, encrypted if the store has a key
    Column("size", BigInteger, nullable=False),  # bytes of the key and of the body
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

# The columns of DBOS that we read or write in our own transactions.
workflow_status: sa.Table = sa.Table(
    "workflow_status",
    sa.MetaData(schema=THEIRS),
    Column("workflow_uuid", Text, primary_key=True),
    Column("status", Text),
    Column("executor_id", Text),
    Column("owner_xid", Text),
    Column("queue_name", Text),
    Column("queue_partition_key", Text),
    Column("created_at", BigInteger),
    Column("updated_at", BigInteger),
    Column("started_at_epoch_ms", BigInteger),
    Column("completed_at", BigInteger),
    Column("deduplication_id", Text),
)
workflow_input: sa.Table = sa.Table(
    "workflow_input", workflow_status.metadata, Column("workflow_uuid", Text, primary_key=True)
)
workflow_output: sa.Table = sa.Table(
    "workflow_output", workflow_status.metadata, Column("workflow_uuid", Text, primary_key=True)
)
operation_outputs: sa.Table = sa.Table(
    "operation_outputs",
    workflow_status.metadata,
    Column("workflow_uuid", Text, primary_key=True),
    Column("function_id", Integer, primary_key=True),
)


def translations(schema: str | None) -> dict[str, str | None]:
    """Return the value of the execution option ``schema_translate_map``.

    Args:
        schema: The schema of our tables in PostgreSQL; None in SQLite, which has no schemas.

    """
    return {OURS: schema, THEIRS: None if schema is None else DBOS_SCHEMA}


class Facts:
    """The row of ``jobcell_meta``."""

    def __init__(self, row: Any) -> None:
        self.schema_version: int = row.schema_version
        self.readable_from: int = row.readable_from
        self.store_id: str = row.store_id
        self.dbos_version: str = row.dbos_version
        self.key_check: str | None = row.key_check


def read_facts(connection: sa.Connection) -> Facts | None:
    """Return the facts about a store; None if the database has no store yet."""
    row = connection.execute(sa.select(meta)).first()
    return None if row is None else Facts(row)


def check_version(readable_from: int, where: str) -> None:
    """Check that this program can use the tables.

    Args:
        readable_from: See `READABLE_FROM`, as the store has it.
        where: The address of the store, for the message.

    Raises:
        StoreVersionError: It cannot.

    """
    if readable_from > SCHEMA_VERSION:
        raise StoreVersionError(
            f"the store {where} was made by a newer jobcell: it needs version {readable_from} of the"
            f" tables, and this jobcell knows version {SCHEMA_VERSION}; install a newer jobcell"
        )


def migrate(connection: sa.Connection, *, dbos_version: str, key_check: str | None) -> Facts:
    """Bring our tables to the version of this program; the caller holds the lock for it.

    A store of a newer program stays as it is.

    Args:
        connection: A connection in a transaction.
        dbos_version: The version of DBOS that has migrated its own tables.
        key_check: The check of the key, for a store that begins.

    """
    meta.create(connection, checkfirst=True)
    facts = read_facts(connection)
    version = 0 if facts is None else facts.schema_version
    if facts is not None and version < SCHEMA_VERSION and facts.readable_from < READABLE_FROM:
        shut_out(connection)
    for step in _MIGRATIONS[version:]:
        step(connection)
    if facts is None:
        connection.execute(
            meta.insert().values(
                schema_version=SCHEMA_VERSION,
                readable_from=READABLE_FROM,
                store_id=str(uuid4()),
                dbos_version=dbos_version,
                key_check=key_check,
            )
        )
    elif version < SCHEMA_VERSION:
        connection.execute(
            meta.update().values(
                schema_version=SCHEMA_VERSION,
                readable_from=READABLE_FROM,
                dbos_version=dbos_version,
            )
        )
    else:
        connection.execute(meta.update().values(dbos_version=dbos_version))
    made = read_facts(connection)
    assert made is not None
    return made


def shut_out(connection: sa.Connection) -> None:
    """Wait for the transactions of programs that could not use the new tables, and let none begin.

    Each transaction of a program reads ``jobcell_meta``, and so shares a lock on it until its end.  In SQLite the
    lock for writing does the same.

    Raises:
        sqlalchemy.exc.OperationalError: A transaction goes on for too long.  Everybody would wait behind this
            lock, so it is better to try again.

    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_SHUT_OUT_MS}")
        schemas: Any = connection.get_execution_options()["schema_translate_map"]
        schema = connection.dialect.identifier_preparer.quote(schemas[OURS])
        connection.exec_driver_sql(f"LOCK TABLE {schema}.{meta.name} IN ACCESS EXCLUSIVE MODE")


def _make_first_tables(connection: sa.Connection) -> None:
    metadata.create_all(connection, checkfirst=True)


def _make_collections(connection: sa.Connection) -> None:
    metadata.create_all(connection, tables=[collections, collection_values], checkfirst=True)


def _add_traces(connection: sa.Connection) -> None:
    schema = connection.get_execution_options()["schema_translate_map"][OURS]
    known = {column["name"] for column in sa.inspect(connection).get_columns(runs.name, schema)}
    table = connection.dialect.identifier_preparer.format_table(sa.table(runs.name, schema=schema))
    for name in ("trace", "span"):
        if name not in known:  # the tables of a new store have them already
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} TEXT")


_MIGRATIONS: Final[tuple[Callable[[sa.Connection], None], ...]] = (
    _make_first_tables,
    _make_collections,
    _add_traces,
)
"""The migration to version 1, to version 2, and so on.  Each adds only: an older program that
`READABLE_FROM` admits must still find its columns."""
