"""The connection of a caller, in whose transaction a run is enqueued.

The transaction, and the connection, stay the caller's: nothing here commits, rolls back or closes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.pool import StaticPool

from jobcell.store.database import Database
from jobcell.store.driver_errors import as_store_error
from jobcell.store.errors import StoreError
from jobcell.store.schema import meta, translations

_KINDS = "a psycopg.Connection, a sqlite3.Connection, or a Connection or Session of SQLAlchemy"
_SAVEPOINT = "jobcell_enqueue"


@contextmanager
def joined(connection: Any, database: Database, store_id: str) -> Iterator[sa.Connection]:
    """Give a connection that takes part in the transaction of a caller.

    An error in the body of the ``with`` statement takes back what the body has done, and nothing else.

    Args:
        connection: Of the caller.
        database: Of the store.
        store_id: Of the store.

    Raises:
        TypeError: *connection* is of a kind that cannot be used.
        StoreError: It leads to another database, is closed, or in a transaction that has failed.

    """
    try:
        with _opened(connection, database) as (own, savepoint):
            _check_same(own, database, store_id)
            with savepoint(own):
                yield own
    except sa.exc.SQLAlchemyError as error:
        raise as_store_error(error, str(database)) from error
    except _driver_errors() as error:
        raise StoreError(f"connection: {error}") from error


def _driver_errors() -> tuple[type[Exception], ...]:
    try:
        import psycopg
    except ImportError:
        return (sqlite3.Error,)
    return sqlite3.Error, psycopg.Error


_Savepoint = Callable[[sa.Connection], Any]


@contextmanager
def _opened(connection: Any, database: Database) -> Iterator[tuple[sa.Connection, _Savepoint]]:
    if isinstance(connection, Session | scoped_session):
        connection = connection.connection()
    if isinstance(connection, sa.Connection):
        _check_kind(connection.dialect.name, database)
        known = connection.get_execution_options().get("schema_translate_map") or {}
        connection.execution_options(
            schema_translate_map={**known, **translations(database.schema)}
        )
        with _transaction_of(connection):
            yield connection, _nested
        return
    if isinstance(connection, sqlite3.Connection):
        _check_kind("sqlite", database)
        with _wrapped(connection, database) as own, _begun(own, connection):
            yield own, _sql_savepoint
        return
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    if _is_psycopg(connection):
        _check_kind("postgresql", database)
        if connection.closed:
            raise StoreError("connection: it is closed")
        with _wrapped(connection, database) as own:
            if connection.autocommit:
                with connection.transaction():
                    yield own, _nothing
            else:
                yield own, _sql_savepoint
        return
    if hasattr(connection, "run_sync"):
        raise TypeError(
            f"connection is {kind}; write await connection.run_sync(lambda sync: store.enqueue(plan,"
            " connection=sync))"
        )
    raise TypeError(f"connection must be {_KINDS}, not {kind}")


def _is_psycopg(connection: object) -> bool:
    try:
        import psycopg
    except ImportError:
        return False
    return isinstance(connection, psycopg.Connection)


def _check_kind(found: str, database: Database) -> None:
    wanted = "sqlite" if database.is_sqlite else "postgresql"
    if found != wanted:
        raise StoreError(
            f"connection: it leads to {found}, and the store is {database}; a run can be enqueued only"
            " in a transaction of the store's own database"
        )


def _check_same(own: sa.Connection, database: Database, store_id: str) -> None:
    """Check that a connection leads to the database of the store."""
    if database.is_sqlite:
        files = [row[2] for row in own.exec_driver_sql("PRAGMA database_list") if row[1] == "main"]
        found = files[0] if files else ""
        try:
            is_same = bool(found) and Path(str(database.url.database)).samefile(found)
        except OSError:  # somebody has removed the file
            is_same = False
        if not is_same:
            raise _another(found or "a database in memory", database)
        database.check_version(own)
        return
    name = own.exec_driver_sql("SELECT current_database()").scalar_one()
    table = f'"{database.schema}".jobcell_meta'
    exists = own.execute(sa.select(sa.func.to_regclass(table))).scalar_one()
    if name != database.url.database or exists is None:
        raise _another(str(name), database)
    if own.execute(sa.select(meta.c.store_id)).scalar_one() != store_id:
        raise _another(str(name), database)
    database.check_version(own)


def _another(found: str, database: Database) -> StoreError:
    return StoreError(
        f"connection: it leads to another database ({found}) than the store ({database}); a run can be"
        " enqueued only in a transaction of the store's own database"
    )


@contextmanager
def _wrapped(connection: Any, database: Database) -> Iterator[sa.Connection]:
    """Give a connection of SQLAlchemy that speaks through a connection of a driver."""
    borrowed = _Borrowed(connection)
    pool = StaticPool(lambda: borrowed, reset_on_return=None)
    engine = sa.Engine(pool, database.engine.dialect, database.url)
    own = engine.connect().execution_options(schema_translate_map=translations(database.schema))
    try:
        yield own
    finally:
        own.close()


class _Borrowed:
    """A connection of a driver whose transaction and life belong to somebody else."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Return a cursor whose rows are tuples, whatever the rows of the caller are."""
        if isinstance(self._connection, sqlite3.Connection):
            cursor = sqlite3.Cursor(self._connection)
            cursor.row_factory = None
            return cursor
        from psycopg import Cursor
        from psycopg.rows import tuple_row

        del arguments, options
        return Cursor(self._connection, row_factory=tuple_row)

    def commit(self) -> None:
        """Do nothing: the caller does it."""

    def rollback(self) -> None:
        """Do nothing: the caller does it."""

    def close(self) -> None:
        """Do nothing: the caller does it."""


@contextmanager
def _nested(own: sa.Connection) -> Iterator[None]:
    with own.begin_nested():
        yield


@contextmanager
def _nothing(_own: sa.Connection) -> Iterator[None]:
    yield


@contextmanager
def _sql_savepoint(own: sa.Connection) -> Iterator[None]:
    own.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")
    try:
        yield
    except BaseException:
        own.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        own.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        raise
    own.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")


@contextmanager
def _transaction_of(connection: sa.Connection) -> Iterator[None]:
    """Begin the transaction of a connection of SQLAlchemy, if that has not been done."""
    connection.exec_driver_sql("SELECT 1")  # SQLAlchemy takes note that a transaction has begun
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        with _begun(connection, driver):
            yield
    elif getattr(driver, "autocommit", False) is True:
        with _own_transaction(connection, "BEGIN"):
            yield
    else:
        yield


@contextmanager
def _begun(own: sa.Connection, driver: Any) -> Iterator[None]:
    """Begin the transaction that sqlite3 would begin before a statement that writes.

    A savepoint alone would be a transaction of its own, which its release commits.  A connection that
    commits each statement gets a transaction for this call.
    """
    if driver.in_transaction:
        yield
        return
    level = driver.isolation_level
    # Since Python 3.12, ``autocommit`` wins over ``isolation_level``.
    if level is None or getattr(driver, "autocommit", None) is True:
        with _own_transaction(own, "BEGIN IMMEDIATE"):
            yield
        return
    # It will write.  A transaction that gets the write lock later fails at once if somebody has
    # written meanwhile, and does not wait for its busy timeout.
    own.exec_driver_sql(f"BEGIN {'EXCLUSIVE' if level == 'EXCLUSIVE' else 'IMMEDIATE'}")
    yield


@contextmanager
def _own_transaction(own: sa.Connection, begin: str) -> Iterator[None]:
    own.exec_driver_sql(begin)
    try:
        yield
    except BaseException:
        own.exec_driver_sql("ROLLBACK")
        raise
    own.exec_driver_sql("COMMIT")
