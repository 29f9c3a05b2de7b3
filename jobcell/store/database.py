"""The connection to the database of a store: SQLite and PostgreSQL behind one interface.

Every error of a driver becomes a `StoreError` here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from jobcell.store.driver_errors import as_store_error, wrapped
from jobcell.store.errors import StoreDamagedError, StoreError, StoreUnavailableError
from jobcell.store.lists import register
from jobcell.store.same_file import SameFile
from jobcell.store.schema import SCHEMA_VERSION, check_version, meta, translations
from jobcell.store.urls import shown

_T = TypeVar("_T")

BUSY_TIMEOUT_MS: Final = 5_000
"""Longest wait for the lock of a SQLite file in one call; `Database.retry` waits on."""

SQLITE_NOW_MS: Final = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
"""The time in milliseconds since 1970, for every version of SQLite."""

_CONNECT_TIMEOUT_S: Final = 5
_IDLE_S: Final = 5.0
"""Longest pause within a transaction of ours, whose statements follow one another at once.  After it
PostgreSQL ends the session, whose process may be stopped, or gone with its machine.  After statements in a
pipeline PostgreSQL does not watch the pause, so a worker also ends the sessions of dead workers."""

_VERSION_S: Final = 1.0
"""Seconds for which calls that only read rely on the last look at the version of the tables."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_MIGRATION_LOCK: Final = 0x6A6F_6263_656C_6C  # "jobcell"


class Database:
    """The database of a store.  Any thread may use it, also in a fork of this process.

    Args:
        url: The checked address.
        pool_size: Largest number of connections.
        asks: See `another`.
        file: The file of SQLite, as the store has opened it; None: this is the first connection.

    """

    def __init__(
        self,
        url: sa.URL,
        *,
        pool_size: int = 5,
        asks: bool = True,
        file: SameFile | None = None,
    ) -> None:
        self.url = url
        self.is_sqlite: bool = url.get_backend_name() == "sqlite"
        self.schema: str | None = None
        """The schema of our tables in PostgreSQL."""
        self._version_query = self._version_test = "SELECT 1 WHERE false"  # until `use_schema`
        self._next_look_s = 0.0
        """When a call that only reads looks at the version of the tables again."""
        self._closed = False
        self._session = {
            "application_name": "jobcell",
            "idle_in_transaction_session_timeout": f"{round(_IDLE_S * 1000)}ms",
        }
        """Settings of the sessions of PostgreSQL."""
        self._pid = os.getpid()
        self._bare = _make_engine(url, pool_size, asks=asks)
        self._file = file
        if self.is_sqlite:
            self._file = file or SameFile(url.database or "")
            self._file.listen(self._bare)
        else:
            sa.event.listen(self._bare, "connect", self._prepare)
            sa.event.listen(self._bare, "checkout", self._check_session)
        self._engine = self._bare

    def __repr__(self) -> str:
        return f"<Database {self}>"

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def engine(self) -> sa.Engine:
        """The engine of SQLAlchemy, for DBOS, which shares its connections.

        Raises:
            StoreError: The store was closed.

        """
        if self._closed:
            raise StoreError("the store is closed")
        self._after_fork()
        return self._engine

    @property
    def now_ms(self) -> sa.ColumnElement[int]:
        """The time of the database's clock, in milliseconds since 1970."""
        if self.is_sqlite:
            return sa.literal_column(SQLITE_NOW_MS)
        return sa.literal_column("(extract(epoch from clock_timestamp()) * 1000)::bigint")

    def use_schema(self, schema: str | None) -> None:
        """Take note of the schema of our tables."""
        self.schema = schema
        preparer = self._bare.dialect.identifier_preparer
        table = meta.name if schema is None else f"{preparer.quote(schema)}.{meta.name}"
        self._version_query = f"SELECT readable_from FROM {table}"  # noqa: S608 - a quoted name
        self._version_test = self._version_query.replace(
            "readable_from", f"1 / (readable_from <= {SCHEMA_VERSION})::int"
        )
        self._engine = self._bare.execution_options(schema_translate_map=translations(schema))

    @contextmanager
    def read(self, *, checked: bool = True) -> Iterator[sa.Connection]:
        """Give a connection for reading.

        Args:
            checked: Whether the version of the tables is checked, at most once a second.

        Raises:
            StoreVersionError: A newer program has changed the tables, and this one cannot use them.
            StoreError: The body of the ``with`` statement, or the connection, has met an error of the
                database.

        """
        try:
            with self.translated(), self._closing_late(), self.engine.connect() as connection:
                if not self.is_sqlite:
                    # A query alone needs no transaction, which would be two more trips to the server.
                    connection.execution_options(isolation_level="AUTOCOMMIT")
                if checked:
                    now_s = time.monotonic()
                    if now_s >= self._next_look_s:
                        self.check_version(connection)
                        self._next_look_s = now_s + _VERSION_S
                yield connection
        except StoreDamagedError:
            if checked:  # a newer program may have renamed a column since the last look
                with self.read(checked=False) as connection:
                    self.check_version(connection)
            raise

    @contextmanager
    def write(self, *, checked: bool = True) -> Iterator[sa.Connection]:
        """Give a connection in a transaction, which is committed at the end of the ``with`` statement.

        In SQLite it holds the write lock from the beginning.

        Args:
            checked: Whether the transaction begins with `check_version`.

        Raises:
            StoreError: See `read`.  After an error of the connection, the transaction may have been
                committed all the same.

        """
        with self.translated(), self._closing_late(), self.engine.begin() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if checked:
                self.check_version(connection)
            yield connection

    def check_version(self, connection: sa.Connection) -> None:
        """Check that this program can still use the tables, in the transaction of *connection*.

        A migration that old programs cannot read waits for all transactions that have asked this; see
        `schema.migrate`.

        Raises:
            StoreVersionError: A newer program has changed the tables, and this one cannot use them.

        """
        found = connection.exec_driver_sql(self._version_query).scalar()
        if found is not None:
            check_version(int(found), str(self))

    def send_together(self, calls: Iterable[tuple[str, Any]]) -> bool:
        """Carry out statements in one trip to PostgreSQL, as one transaction.

        Args:
            calls: Texts and parameters.  A statement that checks something divides by zero if it is not so.

        Returns:
            False if a check has failed, or if `check_version` would fail: nothing was written.

        Raises:
            StoreError: See `write`.

        """
        import psycopg

        with self.read(checked=False) as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            try:
                # Without BEGIN, PostgreSQL takes everything up to the end of the pipeline as one transaction.
                with raw.pipeline(), raw.cursor() as cursor:
                    cursor.execute(self._version_test, prepare=True)
                    for text, values in calls:
                        cursor.execute(text, values, prepare=True)
            except psycopg.errors.DivisionByZero:
                return False
            except psycopg.Error as error:
                if raw.broken:
                    connection.invalidate(error)
                raise as_store_error(wrapped(error), str(self)) from error
        return True

    @contextmanager
    def migrating(self) -> Iterator[sa.Connection]:
        """Give a connection as `write` does, which also holds the lock for migrations."""
        with self.write(checked=False) as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            yield connection

    def retry(self, action: Callable[[], _T], timeout_s: float | None) -> _T:
        """Call *action* until it does not raise `StoreUnavailableError`; return its value.

        Args:
            action: Must be safe to repeat, even if it was carried out before it raised.
            timeout_s: Seconds after which the error is raised to the caller; None: never.

        Raises:
            StoreError: Any other error of a store is raised at once.

        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return action()
            except StoreUnavailableError:
                left_s = pause_s if deadline is None else deadline - time.monotonic()
                if left_s <= 0:
                    raise
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def lock_row(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        """Return a query that locks the rows it finds; in SQLite `write` holds a lock already."""
        return statement if self.is_sqlite else statement.with_for_update()

    def use_session(self, **settings: str) -> None:
        """Give the sessions of PostgreSQL further settings; a SQLite file has none."""
        self._session = self._session | settings

    def another(self, *, pool_size: int, asks: bool = True, **settings: str) -> Database:
        """Return the same database with connections of its own.

        Args:
            pool_size: Largest number of connections.
            asks: Whether an idle connection is asked whether it still works before it is used, which costs
                a round trip.  If not, the first call after an outage fails.
            settings: Further settings of `use_session`.

        """
        made = Database(self.url, pool_size=pool_size, asks=asks, file=self._file)
        made.use_schema(self.schema)
        made.use_session(**{**self._session, **settings})
        return made

    def close(self) -> None:
        """Close all connections; the database cannot be used any more.

        A connection that another thread uses at this moment is closed when the thread gives it back.
        """
        self._closed = True
        self._after_fork()
        self._bare.pool.dispose()

    @contextmanager
    def _closing_late(self) -> Iterator[None]:
        """Close the connection of the body, if `close` was called meanwhile: a pool keeps what it gets back."""
        try:
            yield
        finally:
            if self._closed:
                self._bare.pool.dispose()

    def _prepare(self, connection: Any, record: Any) -> None:
        record.info["session"] = self._session
        calls = ", ".join(["set_config(%s, %s, false)"] * len(self._session))
        values = [part for setting in self._session.items() for part in setting]
        register(connection)
        try:
            connection.execute(f"select {calls}", values)
            connection.commit()
        except BaseException:
            connection.close()  # SQLAlchemy forgets a connection that was not prepared
            raise

    def _check_session(self, _connection: object, record: Any, _proxy: object) -> None:
        """Close a connection that was opened before the last call of `use_session`, and take a new one.

        To empty the pool would lose a connection that another thread uses at this moment.
        """
        if record.info.get("session") is not self._session:
            raise sa.exc.DisconnectionError("other settings")

    def _after_fork(self) -> None:
        if os.getpid() != self._pid:
            # The connections belong to the parent, which still uses them.
            self._bare.dispose(close=False)
            self._pid = os.getpid()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn each error of a driver in the body of the ``with`` statement into a `StoreError`."""
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise as_store_error(error, str(self)) from error


def _make_engine(url: sa.URL, pool_size: int, *, asks: bool) -> sa.Engine:
    common: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": 30,
        "hide_parameters": True,  # an error must not show a plan or a state
    }
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, **common)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine
    arguments = {
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "application_name": "jobcell",
        # A server that is gone without a word is found within 15 seconds.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 5,
        "tcp_user_timeout": 15_000,
    }
    given = {name: value for name, value in arguments.items() if name not in url.query}
    return sa.create_engine(url, connect_args=given, pool_pre_ping=asks, **common)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Sqlite3 begins a transaction before a statement that writes; DBOS expects this one.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    # In WAL mode, NORMAL can lose the last commits when the power fails.
    connection.execute("PRAGMA synchronous=FULL")
