"""The shape of tables: conditions on their columns, their description, making and changing them."""

from __future__ import annotations

from typing import Any, Final

from psycopg import sql

from . import arguments
from .arguments import Operation, State, resolve, sql_of
from .errors import ArgumentError, kind
from .running import Options, run_statement
from .values import parameter

_COLUMN_KEYS: Final = ("name", "type", "default", "unique", "identity", "required")


def conditions(where: Any, operators: Any) -> tuple[sql.Composable, list[Any] | None]:
    """Return ` where ...` and its values, for `find_value`."""
    where, operators = where or {}, operators or {}
    for name, given in (("where", where), ("operator", operators)):
        if not isinstance(given, dict):
            raise ArgumentError(f"{name} is a dict with a key for each column, not {kind(given)}")
    if unknown := sorted(operators.keys() - where.keys(), key=str):
        raise ArgumentError(f"operator has {unknown[0]!r:.100}, which is not a column of where")
    parts: list[sql.Composable] = []
    values: list[Any] = []
    for name, value in where.items():
        comparison = arguments.operator(operators.get(name, "="))
        if value is None and comparison in ("=", "<>", "!="):
            found = "is null" if comparison == "=" else "is not null"
            parts.append(sql.SQL("{} {}").format(arguments.column(name), sql_of(found)))
            continue
        is_list = comparison.endswith((" any", " all"))
        if is_list and not isinstance(value, list):
            raise ArgumentError(f"the value of {name!r:.100} is a list, not {kind(value)}")
        comparison, place = (comparison, "(%s)") if is_list else (comparison, "%s")
        parts.append(
            sql.SQL("{} {} {}").format(
                arguments.column(name),
                sql_of(comparison),
                sql_of(place),
            )
        )
        values.append(parameter(value))
    if not parts:
        return sql.SQL(""), None
    return sql.SQL(" where {}").format(sql.SQL(" and ").join(parts)), values or None


def description(table: Any) -> tuple[sql.Composable, list[Any]]:
    """Return the statement of `describe_table` and its values."""
    arguments.identifier(table)
    *schema, name = table.split(".") if isinstance(table, str) else table
    statement = sql.SQL(
        "select column_name, udt_name, is_nullable from information_schema.columns"
        " where table_name = $1 and table_schema = any(coalesce($2, current_schemas(true)::text[]))"
        " order by table_schema, ordinal_position"
    )
    return statement, [name, schema or None]


def insert_table(
    table: Any, columns: Any, *, write_sql: bool = False, execute: bool = True
) -> Operation:
    """Make a table.  Without columns nothing happens.

    Args:
        table: The name of the table.
        columns: A list of dicts with `name` and `type`, and perhaps `required`, `unique`, `identity`
            and `default` (a value, not an expression).
        write_sql: Add the text of the statement to `queries`.
        execute: False does not run the statement.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `insert_table("visits", [{"name": "id", "type": "int", "identity": True, "unique": True}])`

    """
    return _shape(
        "create table {} ({})", "", table, columns, Options(write_sql=write_sql, execute=execute)
    )


def modify_table(
    table: Any, columns: Any, *, write_sql: bool = False, execute: bool = True
) -> Operation:
    """Add columns to a table, with the arguments of `insert_table`.  Without columns nothing happens.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `modify_table("visits", [{"name": "seen", "type": "date"}])`

    """
    options = Options(write_sql=write_sql, execute=execute)
    return _shape("alter table {} {}", "add column ", table, columns, options)


def _shape(text: str, before: str, table: Any, columns: Any, options: Options) -> Operation:
    def run(state: State) -> State:
        name, given = resolve(state, [table, columns])
        if given is not None and not isinstance(given, list):
            raise ArgumentError(f"columns are a list of dicts, not {kind(given)}")
        if not given:
            print("No columns provided; nothing to do.")  # noqa: T201 - a log line
            return state
        shapes = arguments.comma(sql_of(before) + _column(one) for one in given)
        statement = sql_of(text).format(arguments.identifier(name), shapes)
        return run_statement(state, statement, None, options)

    return run


def _column(given: Any) -> sql.Composed:
    if not isinstance(given, dict):
        raise ArgumentError(f"a column is a dict with name and type, not {kind(given)}")
    if unknown := sorted(given.keys() - set(_COLUMN_KEYS), key=str):
        known = ", ".join(_COLUMN_KEYS)
        raise ArgumentError(f"a column has the key {unknown[0]!r:.100}; known are {known}")
    parts: list[sql.Composable] = [
        arguments.column(given.get("name")),
        arguments.type_name(given.get("type")),
    ]
    if "default" in given:
        parts.append(sql.SQL("default {}").format(sql.Literal(given["default"])))
    for key, words in (
        ("unique", "unique"),
        ("identity", "generated by default as identity"),
        ("required", "not null"),
    ):
        if given.get(key):
            parts.append(sql_of(words))
    return sql.SQL(" ").join(parts)
