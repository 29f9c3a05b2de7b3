"""Opens a store: makes or migrates its tables, and checks its version and its key."""

from __future__ import annotations

import sqlalchemy as sa

from jobcell.store import queue
from jobcell.store.database import Database
from jobcell.store.errors import StoreUnavailableError, StoreUrlError
from jobcell.store.schema import (
    SCHEMA_VERSION,
    Facts,
    check_version,
    meta,
    migrate,
    read_facts,
    runs,
)
from jobcell.store.seal import Seal, check_key

_PATIENCE_S = 30.0
"""Time for another process that migrates the same store."""


def prepare(database: Database, seal: Seal, *, timeout_s: float = 0.0) -> Facts:
    """Make the store ready for use, and return the facts about it.

    Args:
        database: The database; it learns its schema.
        seal: Has the key, or none.
        timeout_s: Seconds to try again while the database is out of reach.

    Raises:
        StoreError: The store cannot be used.

    """
    facts = database.retry(lambda: _look(database), timeout_s)
    if facts is None or _is_older(facts, seal):
        database.retry(lambda: _migrate(database, seal), max(timeout_s, _PATIENCE_S))
        facts = database.retry(lambda: _look(database), timeout_s)
    if facts is None:  # somebody has just removed it
        raise StoreUnavailableError(f"the store {database} has no tables")
    check_version(facts.readable_from, str(database))
    check_key(seal, facts.key_check, str(database))
    return facts


def upgrade(database: Database, seal: Seal) -> Facts:
    """Carry out all migrations, even if none seems to be needed; see `prepare`."""
    database.retry(lambda: _look(database), 0.0)
    database.retry(lambda: _migrate(database, seal), _PATIENCE_S)
    return prepare(database, seal)


def _look(database: Database) -> Facts | None:
    """Return the facts about the store; None if the database has none yet."""
    with database.read(checked=False) as connection:
        if database.is_sqlite:
            query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'jobcell_meta'"
            database.use_schema(None)
            if connection.exec_driver_sql(query).first() is None:
                return None
        else:
            found = connection.exec_driver_sql(
                "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.oid = to_regclass('jobcell_meta')"
            ).scalar()
            current = connection.exec_driver_sql("SELECT current_schema()").scalar()
            if found is None and current is None:
                raise StoreUrlError(
                    f"the store {database} has no place for tables: no schema in the search_path exists"
                    " and may be used; create the schema, or name another one"
                )
            database.use_schema(str(found or current))
            if found is None:
                return None
    with database.read(checked=False) as connection:
        return read_facts(connection)


def _is_older(facts: Facts, seal: Seal) -> bool:
    if facts.readable_from > SCHEMA_VERSION:
        return False
    if facts.schema_version < SCHEMA_VERSION or facts.dbos_version != queue.dbos_version():
        return True
    return facts.key_check is None and seal.is_closed


def _migrate(database: Database, seal: Seal) -> None:
    if database.is_sqlite:
        with database.read(checked=False) as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    client = queue.make_client(database)
    with database.translated():
        queue.migrate_queue(client)
    with database.migrating() as connection:
        known = _known(connection, database)
        if known is not None:
            check_version(known.readable_from, str(database))
        facts = migrate(connection, dbos_version=queue.dbos_version(), key_check=seal.check)
        is_empty = connection.execute(sa.select(runs.c.id).limit(1)).first() is None
        if facts.key_check is None and seal.is_closed and is_empty:
            connection.execute(meta.update().values(key_check=seal.check))


def _known(connection: sa.Connection, database: Database) -> Facts | None:
    exists = sa.inspect(connection).has_table("jobcell_meta", schema=database.schema)
    return read_facts(connection) if exists else None
