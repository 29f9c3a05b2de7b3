"""Statements that go to PostgreSQL together: one trip, one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from postgres import PostgresServer

from jobcell.store.database import Database
from jobcell.store.errors import StoreError, StoreUnavailableError
from jobcell.store.urls import read_url

pytestmark = pytest.mark.slow

ADD = "insert into letters values (%(letter)s)"
CHECK = "select 1 / (count(*) = %(number)s)::int from letters"


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    """A database with one table."""
    with postgres.database() as url, closing(Database(read_url(url), asks=False)) as made:
        with made.write() as connection:
            connection.execute(sa.text("create table letters (letter text primary key)"))
        yield made


def letters(database: Database) -> list[str]:
    """Return the rows."""
    with database.read() as connection:
        return sorted(connection.execute(sa.text("select letter from letters")).scalars())


def test_statements_are_committed_together(database: Database) -> None:
    """They are the transaction of nobody else: the connection is free afterwards."""
    assert database.send_together([(ADD, {"letter": "a"}), (ADD, {"letter": "b"})])
    assert letters(database) == ["a", "b"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_check_that_fails_takes_back_everything(database: Database, place: int) -> None:
    """The statements before it, and those that were sent after it."""
    calls = [(ADD, {"letter": "a"}), (ADD, {"letter": "b"})]
    calls.insert(place, (CHECK, {"number": 5}))
    assert not database.send_together(calls)
    assert letters(database) == []
    calls[place] = (CHECK, {"number": place})
    assert database.send_together(calls)
    assert letters(database) == ["a", "b"]


def test_an_error_takes_back_everything(database: Database) -> None:
    """The connection is still good."""
    with pytest.raises(StoreError, match="duplicate key"):
        database.send_together([(ADD, {"letter": "a"}), (ADD, {"letter": "a"})])
    assert letters(database) == []
    assert database.send_together([(ADD, {"letter": "a"})])


def test_a_connection_that_breaks_is_replaced(database: Database) -> None:
    """The first call fails, as the worker expects, and the next one has another connection."""
    kill = "select pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(StoreUnavailableError):
        database.send_together([(ADD, {"letter": "a"}), (kill, {}), (ADD, {"letter": "b"})])
    assert database.send_together([(ADD, {"letter": "c"})])
    assert letters(database) == ["c"]


def test_a_server_that_is_gone_is_one_error() -> None:
    """There is no connection at all."""
    with (
        closing(Database(read_url("postgresql://nobody@127.0.0.1:9/x"))) as gone,
        pytest.raises(StoreUnavailableError),
    ):
        gone.send_together([(ADD, {"letter": "a"})])
