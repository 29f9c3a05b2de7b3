"""Errors of database drivers, in the words of a store."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jobcell.store.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreUnavailableError,
    StoreUrlError,
)

if TYPE_CHECKING:
    import psycopg

_LONGEST: Final = 300

_WRONG_ADDRESS: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|database \".*\" does not exist"
    r"|role \".*\" does not exist|could not translate host name|Name or service not known"
    r"|failed to resolve host|invalid connection option|invalid port number|invalid sslmode value"
)
"""Answers of a server, or of libpq, that no later try will change."""

_AGAIN: Final = ("08", "40", "53", "57P", "58")
"""Beginnings of the SQLSTATE of errors that another try may not meet: connections, serialization
failures and deadlocks, resources, a server that is shut down, errors of the server's system.  See
appendix A of the documentation of PostgreSQL."""

_AGAIN_EXACTLY: Final = {
    "25006",  # a server that only reads, such as a standby
    "25P03",  # the server has ended an idle transaction
    "55P03",  # a lock is not available
}


def as_store_error(error: sa.exc.SQLAlchemyError, where: str) -> StoreError:
    """Return the error of a store for one of SQLAlchemy.

    Args:
        error: An error of a driver, or of the pool of connections.
        where: The address of the store, for the message.

    """
    if isinstance(error, sa.exc.TimeoutError):
        return StoreUnavailableError(f"the store {where} has no free connection")
    cause = getattr(error, "orig", None)
    if cause is None:
        return StoreError(f"the store {where}: {_line(error)}")
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause, where)
    return _of_postgresql(error, cause, where)


def wrapped(error: psycopg.Error) -> sa.exc.DBAPIError:
    """Return the error of SQLAlchemy for one of psycopg."""
    from psycopg import InterfaceError, OperationalError

    is_of_connection = isinstance(error, InterfaceError | OperationalError)
    kind = sa.exc.OperationalError if is_of_connection else sa.exc.DatabaseError
    return kind(None, None, error, hide_parameters=True)


def _of_sqlite(cause: sqlite3.Error, where: str) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", None)
    code = None if code is None else code & 0xFF
    text = _line(cause)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError(f"the store {where} is locked by another process")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreUrlError(f"{where} is not a database of SQLite, so it is not a store")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreDamagedError(f"the store {where} is damaged ({text}); restore it from a backup")
    if code == sqlite3.SQLITE_READONLY:
        return StoreError(
            f"the store {where} cannot be written: the file or its directory is read-only"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreUnavailableError(f"the store {where} cannot be written: the disk is full")
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailableError(f"the store {where} cannot be read or written: {text}")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return StoreUrlError(f"the store {where} cannot be opened: {text}")
    if "no such table" in text or "no such column" in text:
        return StoreDamagedError(f"the store {where} lacks a part: {text}")
    return StoreError(f"the store {where}: {text}")


def _of_postgresql(error: sa.exc.SQLAlchemyError, cause: BaseException, where: str) -> StoreError:
    text = _line(cause)
    state: Any = getattr(cause, "sqlstate", None)
    if _WRONG_ADDRESS.search(str(cause)) or (state or "").startswith(("28", "3D")):
        return StoreUrlError(f"the store {where} cannot be opened: {text}")
    if getattr(error, "connection_invalidated", False) or (
        state is None and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    ):
        return StoreUnavailableError(f"the store {where} is out of reach: {text}")
    if state is not None and (state.startswith(_AGAIN) or state in _AGAIN_EXACTLY):
        return StoreUnavailableError(f"the store {where} is out of reach: {text}")
    if state == "42501":
        return StoreError(f"the store {where} does not let this user do that: {text}")
    if state in {"42P01", "42703", "3F000"}:
        return StoreDamagedError(f"the store {where} lacks a part: {text}")
    return StoreError(f"the store {where}: {text}")


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
