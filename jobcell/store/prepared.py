"""Statements that are compiled once: building one with SQLAlchemy takes longer than carrying it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jobcell.store.database import Database
from jobcell.store.lists import list_of
from jobcell.store.schema import translations

_MOST: Final = 512
"""Largest number of values in a list of a statement."""


_LIST: Final = "list_"
"""Beginning of the names of parameters that are lists."""


class Prepared:
    """A statement as text, with named parameters.

    Args:
        database: Where it is carried out.
        statement: A statement whose parameters are `sqlalchemy.bindparam`.

    """

    def __init__(self, database: Database, statement: sa.Executable) -> None:
        assert isinstance(statement, sa.ClauseElement)
        self._statement = statement
        self._driver = database.engine.dialect.driver
        compiled = statement.compile(dialect=database.engine.dialect)
        preparer = database.engine.dialect.identifier_preparer
        text = str(compiled)
        for placeholder, schema in translations(database.schema).items():
            quoted = "" if schema is None else f"{preparer.quote_schema(schema)}."
            text = text.replace(f"{placeholder}.", quoted)
        self._text = text
        self._fixed = {
            name: value
            for name, value in compiled.params.items()
            if not compiled.binds[name].required  # type: ignore[attr-defined]  # of SQLCompiler
        }
        order = getattr(compiled, "positiontup", None)
        self._order: Sequence[str] | None = None if order is None else tuple(order)

    def run(self, connection: sa.Connection, **values: Any) -> sa.CursorResult[Any]:
        """Carry it out once."""
        if (
            connection.dialect.driver != self._driver
        ):  # a caller's, which writes parameters otherwise
            return connection.execute(self._statement, values)
        return connection.exec_driver_sql(self._text, self._parameters(values))

    def run_many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Carry it out for each row."""
        if len(rows) == 1 or connection.dialect.driver != self._driver:
            for row in rows:
                self.run(connection, **row)
        elif rows:
            parameters: Any = [self._parameters(row) for row in rows]
            connection.exec_driver_sql(self._text, parameters)

    def call(self, **values: Any) -> tuple[str, Any]:
        """Return the text and the parameters for `Database.send_together`."""
        return self._text, self._parameters(values)

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        given = {**self._fixed, **values} if self._fixed else values
        if self._order is None:
            return dict(given)
        return tuple(given[name] for name in self._order)


class PreparedList:
    """A statement with a list of values, which is compiled for a few lengths of the list.

    Args:
        database: Where it is carried out.
        make: Returns the statement for a list of parameters.

    """

    def __init__(
        self,
        database: Database,
        make: Callable[[Sequence[sa.BindParameter[Any]]], sa.Executable],
    ) -> None:
        self._database = database
        self._make = make
        self._by_length: dict[int, Prepared] = {}

    def run(self, connection: sa.Connection, values: Sequence[Any], **more: Any) -> list[Any]:
        """Carry it out for all values, and return the rows.

        Args:
            connection: A connection.
            values: The list, without doubles.
            more: Other parameters.

        """
        rows: list[Any] = []
        for start in range(0, len(values), _MOST):
            part = values[start : start + _MOST]
            length = 1 << (len(part) - 1).bit_length()
            prepared = self._by_length.get(length)
            if prepared is None:
                names: list[sa.BindParameter[Any]] = [
                    sa.bindparam(f"value_{number}") for number in range(length)
                ]
                prepared = self._by_length[length] = Prepared(self._database, self._make(names))
            # The last value again: it changes nothing in a list, and keeps the number of lengths small.
            padded = [*part, *[part[-1]] * (length - len(part))]
            named = {f"value_{number}": value for number, value in enumerate(padded)}
            rows += prepared.run(connection, **named, **more).all()
        return rows


def rows_of(table: sa.Table, names: Sequence[str]) -> sa.TableValuedAlias:
    """Return rows whose columns are parameters, each a list of PostgreSQL: one statement for many rows.

    Args:
        table: The table that has the columns.
        names: The columns.  `lists_of` gives the parameters.

    """
    types = [table.c[name].type for name in names]
    lists = [
        sa.bindparam(f"{_LIST}{name}", type_=postgresql.ARRAY(kind))
        for name, kind in zip(names, types, strict=True)
    ]
    columns = [sa.column(name, kind) for name, kind in zip(names, types, strict=True)]
    return sa.func.unnest(*lists).table_valued(*columns).render_derived()


def lists_of(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return the parameters of `rows_of` for at least one row, for a statement of SQLAlchemy."""
    columns = zip(*rows, strict=True)
    return {f"{_LIST}{name}": list(values) for name, values in zip(names, columns, strict=True)}


def binary_lists_of(
    table: sa.Table, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> dict[str, object]:
    """Return the parameters of `rows_of` for at least one row, for `Prepared.call`."""
    columns = zip(*rows, strict=True)
    return {
        f"{_LIST}{name}": list_of(table.c[name], values)
        for name, values in zip(names, columns, strict=True)
    }
