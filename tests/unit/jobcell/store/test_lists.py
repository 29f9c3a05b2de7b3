"""Lists as parameters: PostgreSQL gets exactly the values that were given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from postgres import PostgresServer

from jobcell.store.lists import list_of, register

pytestmark = pytest.mark.slow

TEXTS = ["", "a", '{"a",NULL}', "NULL", "back\\slash 'quote'", "caf\u00e9", None]
BYTES = [b"", b"\x00\xff{},\\x", b"a" * 70_000, None]
KINDS: dict[str, tuple[sa.types.TypeEngine[Any], str, list[Any]]] = {
    "texts": (sa.Text(), "text", TEXTS),
    "bytes": (sa.LargeBinary(), "bytea", BYTES),
    "integers": (sa.Integer(), "integer", [-(2**31), -1, 0, 2**31 - 1, None]),
    "bigints": (sa.BigInteger(), "bigint", [-(2**63), -1, 0, 2**63 - 1, None]),
}


@pytest.fixture(params=["UTF8", "LATIN1"])
def connection(
    postgres: PostgresServer, request: pytest.FixtureRequest
) -> Iterator[psycopg.Connection[Any]]:
    """A connection that speaks an encoding."""
    with (
        postgres.database() as url,
        psycopg.connect(url, options=f"-c client_encoding={request.param}") as made,
    ):
        register(made)
        yield made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prepare", [False, True])
def test_values_arrive_as_they_were_given(
    connection: psycopg.Connection[Any], kind: str, prepare: bool
) -> None:
    """The empty list, one value, all values, and NULL."""
    column_type, name, values = KINDS[kind]
    column: sa.Column[Any] = sa.Column("x", column_type)
    for items in ([], values[:1], values, [None]):
        found = connection.execute(
            f"select item from unnest(%s::{name}[]) with ordinality as t(item, number) order by number",
            (list_of(column, items),),
            prepare=prepare,
        )
        assert [row[0] for row in found] == items


def test_a_list_has_the_type_of_its_column(connection: psycopg.Connection[Any]) -> None:
    """So PostgreSQL does not have to guess it."""
    for column_type, name, values in KINDS.values():
        parameter = list_of(sa.Column("x", column_type), values)
        found = connection.execute("select pg_typeof(%s)::text", (parameter,)).fetchone()
        assert found == (f"{name}[]",)


def test_a_column_of_another_type_is_not_sent(connection: psycopg.Connection[Any]) -> None:
    """A wrong form would be a wrong value."""
    with pytest.raises(AssertionError, match="Boolean"):
        list_of(sa.Column("x", sa.Boolean()), [True])
