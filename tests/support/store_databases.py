"""Databases with a new store for tests, without the time that it takes to make one for each.

To make a database takes 0.1 s of a processor, and to make the tables of a store takes 0.3 s. So a database is
emptied after its test, and the next test gets it with another name. A late process of the first test cannot
find it by the old name.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
from postgres import PostgresServer
from psycopg import sql

SHAPE = """
select (select array_agg(oid order by oid) from pg_class),
       (select count(*) from pg_attribute where not attisdropped),
       (select count(*) from pg_proc),
       (select count(*) from pg_namespace),
       (select count(*) from pg_trigger)
"""
"""A database in which a test has made or dropped anything is not used again."""

TABLES = """
select nspname, relname from pg_class join pg_namespace n on n.oid = relnamespace
where relkind = 'r' and nspname not in ('pg_catalog', 'information_schema') and pg_relation_size(pg_class.oid) > 0
"""
"""The tables that have had a row at some time: the file of another one is empty."""

PATIENCE_S = 30


class StoreDatabases:
    """The databases with a store of a server. `new` gives one that has no runs."""

    def __init__(self, server: PostgresServer) -> None:
        """Make nothing yet."""
        self._server = server
        self._idle: list[str] = []
        self._shape: dict[str, Any] = {}
        self._rows: dict[str, list[tuple[sql.Identifier, str]]] = {}
        self._template: str | None = None

    @contextlib.contextmanager
    def new(self) -> Iterator[str]:
        """Give the address of a new store; what a test has left there is gone at the end."""
        name = self._idle.pop() if self._idle else self._make()
        try:
            yield self._server.url(name)
        finally:
            renamed = self._take_away(name)
            if self._empty(renamed):
                self._idle.append(renamed)
            else:
                self._server.sql(f"drop database {renamed} with (force)")

    def close(self) -> None:
        """Drop the databases that no test uses."""
        for name in (*self._idle, *filter(None, [self._template])):
            self._server.sql(f"drop database {name} with (force)")

    def _make(self) -> str:
        name = _name()
        if self._template is None:
            from jobcell import Store

            self._template = _name()
            self._server.sql(f"create database {self._template}")
            Store.open(self._server.url(self._template)).close()
        self._server.sql(f"create database {name} template {self._template}")
        with self._connect(name) as connection:
            _identify(connection)
            self._remember(name, connection)
        return name

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(self._server.url(name), autocommit=True)

    def _remember(self, name: str, connection: psycopg.Connection) -> None:
        self._shape[name] = connection.execute(SHAPE).fetchone()
        self._rows[name] = [
            (table, row)
            for table in _tables(connection)
            for (row,) in connection.execute(
                sql.SQL("select (t.*)::text from {} t").format(table)
            ).fetchall()
        ]

    def _take_away(self, name: str) -> str:
        """End all connections to a database, and rename it; return the new name."""
        renamed = _name()
        rename(self._server, name, renamed)
        for kept in (self._shape, self._rows):
            kept[renamed] = kept.pop(name)
        return renamed

    def _empty(self, name: str) -> bool:
        """Bring a database back to a new store; return whether that was possible."""
        with self._connect(name) as connection:
            if connection.execute(SHAPE).fetchone() != self._shape[name]:
                return False
            with connection.transaction():
                # Without the triggers of foreign keys the order of the tables does not matter.
                connection.execute("set local session_replication_role = replica")
                for table in _tables(connection):
                    connection.execute(sql.SQL("delete from {}").format(table))
                for table, row in self._rows[name]:
                    connection.execute(
                        sql.SQL("insert into {0} select (%s::{0}).*").format(table), [row]
                    )
            _identify(connection)
        return True


def rename(server: PostgresServer, name: str, new_name: str) -> None:
    """End all connections to a database, and rename it."""
    connection = server.keep_open()
    end_connections(connection, name)
    connection.execute(
        sql.SQL("alter database {} rename to {}").format(
            sql.Identifier(name), sql.Identifier(new_name)
        )
    )


def end_connections(connection: psycopg.Connection[Any], name: str) -> None:
    """End all connections to a database."""
    deadline = time.monotonic() + PATIENCE_S
    while connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
    ).fetchall():
        assert time.monotonic() < deadline, f"{name} has connections that do not end"
        time.sleep(0.002)


def _name() -> str:
    return f"t_{uuid.uuid4().hex}"


def _tables(connection: psycopg.Connection) -> list[sql.Identifier]:
    return [sql.Identifier(*row) for row in connection.execute(TABLES).fetchall()]


def _identify(connection: psycopg.Connection) -> None:
    """Give a store an identity of its own, as a new one has."""
    connection.execute("update jobcell_meta set store_id = gen_random_uuid()")
