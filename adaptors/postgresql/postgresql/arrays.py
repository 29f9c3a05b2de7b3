"""Arrays of types that somebody has made in the database, such as enums, which psycopg does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.adapt import Transformer
from psycopg.types import TypeInfo

_known: Final[WeakKeyDictionary[psycopg.Connection[Any], dict[int, bool]]] = WeakKeyDictionary()
"""For each connection: whether a type is an array that psycopg does not know."""

_QUERY: Final = (
    "select element.typname, element.oid as element, own.oid, own.typdelim from pg_type own"
    " join pg_type element on element.oid = own.typelem"
    " where own.oid = any(%s) and own.typcategory = 'A'"
)


def own_arrays(cursor: psycopg.Cursor[Any]) -> dict[str, list[Any]]:
    """Return the values of columns whose arrays psycopg has read as text, by the name of the column."""
    connection, types = cursor.connection, cursor.adapters.types
    known = _known.setdefault(connection, {})
    columns = [
        (number, one.name, one.type_code)
        for number, one in enumerate(cursor.description or ())
        if types.get(one.type_code) is None
    ]
    asked = {oid for _, _, oid in columns} - known.keys()
    if asked:
        with connection.cursor(row_factory=psycopg.rows.tuple_row) as other:
            arrays = other.execute(_QUERY, [list(asked)]).fetchall()
        known |= dict.fromkeys(asked, False)
        for name, element, own, delimiter in arrays:
            TypeInfo(name, element, own, delimiter=delimiter).register(connection)
            known[own] = True
    return {name: list(_loaded(cursor, number, oid)) for number, name, oid in columns if known[oid]}


def _loaded(cursor: psycopg.Cursor[Any], column: int, oid: int) -> Iterator[Any]:
    result = cursor.pgresult
    assert result is not None
    loader = Transformer(cursor.connection).get_loader(oid, psycopg.pq.Format.TEXT)
    for row in range(result.ntuples):
        value = result.get_value(row, column)
        yield None if value is None else loader.load(value)
