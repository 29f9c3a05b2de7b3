"""Empty databases for tests, without the time that it takes to make one for each: see `store_databases`."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
from postgres import PostgresServer
from psycopg import sql
from store_databases import rename

SCHEMAS = (
    "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'"
)

FACTS = """
select (select array_agg((nspname, nspowner, nspacl)::text order by nspname) from pg_namespace),
       (select count(*) from pg_class), (select count(*) from pg_proc), (select count(*) from pg_type),
       (select count(*) from pg_cast), (select count(*) from pg_extension), (select count(*) from pg_language),
       (select count(*) from pg_event_trigger), (select count(*) from pg_publication),
       (select count(*) from pg_foreign_data_wrapper), (select count(*) from pg_default_acl),
       (select count(*) from pg_largeobject_metadata),
       (select count(*) from pg_db_role_setting where setdatabase = d.oid), d.datacl::text, d.datconnlimit
from pg_database d where datname = current_database()
"""
"""A database that differs in any of these from a new one is not used again."""


class EmptyDatabases:
    """The empty databases of a server."""

    def __init__(self, server: PostgresServer) -> None:
        """Make nothing yet."""
        self._server = server
        self._idle: list[str] = []
        self._facts: Any = None

    @contextlib.contextmanager
    def new(self) -> Iterator[str]:
        """Give the address of an empty database; what a test has left there is gone at the end."""
        name = self._idle.pop() if self._idle else self._make()
        try:
            yield self._server.url(name)
        finally:
            renamed = f"t_{uuid.uuid4().hex}"
            rename(self._server, name, renamed)
            if self._empty(renamed):
                self._idle.append(renamed)
            else:
                self._server.sql(f"drop database {renamed} with (force)")

    def close(self) -> None:
        """Drop the databases that no test uses."""
        for name in self._idle:
            self._server.sql(f"drop database {name} with (force)")

    def _make(self) -> str:
        name = f"t_{uuid.uuid4().hex}"
        self._server.sql(f"create database {name}")
        if self._facts is None:
            with self._connect(name) as connection:
                self._facts = connection.execute(FACTS).fetchone()
        return name

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.url(name), autocommit=True)

    def _empty(self, name: str) -> bool:
        """Drop all that a test has made; return whether the database is as a new one."""
        with self._connect(name) as connection:
            for (schema,) in connection.execute(SCHEMAS).fetchall():
                statement = "drop schema {} cascade"
                if schema == "public":
                    # As `initdb` makes it.
                    statement += (
                        "; create schema public authorization pg_database_owner;"
                        " grant usage on schema public to public;"
                        " comment on schema public is 'standard public schema'"
                    )
                with contextlib.suppress(psycopg.Error):
                    connection.execute(sql.SQL(statement).format(sql.Identifier(schema)))
            return connection.execute(FACTS).fetchone() == self._facts
