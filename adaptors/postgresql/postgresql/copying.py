"""COPY, which writes many rows in one stream."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from . import arguments
from .arguments import Operation, State, resolve
from .connections import connect, json_columns, translated
from .running import Options, next_state, text_of
from .values import parameter


def copy_rows(
    table: Any, records: Any, *, set_null: Any = None, write_sql: bool = False, execute: bool = True
) -> Operation:
    """Write many records with COPY, all or none; this is the fastest way.  `data` becomes an empty list.

    Args:
        table: The table.
        records: A list of dicts with the same columns.
        set_null: A value, or a list of values, that is written as null.
        write_sql: Add the text of the statement to `queries`.
        execute: False does not run the statement.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `copy_rows("visits", state.data.visits)`

    """
    options = Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        name, given, nulls = resolve(state, [table, records, set_null])
        found = arguments.records(given, verb="copy_rows")
        if not found:
            print("copy_rows: no records provided; nothing to do.")  # noqa: T201 - a log line
            return state
        target, columns = arguments.identifier(name), list(found[0])
        statement = sql.SQL("copy {} ({}) from stdin").format(
            target, arguments.comma(map(arguments.column, columns))
        )
        if options.write_sql:
            text = text_of(None, statement)
            state = {**state, "queries": [*(state.get("queries") or ()), text]}
        if not options.execute:
            return state
        configuration = state.get("configuration")
        connection = connect(configuration)
        with (
            translated(configuration, text_of(connection, statement)),
            connection.cursor() as cursor,
        ):
            json = json_columns(configuration, target)
            with cursor.copy(statement) as copy:
                for one in found:
                    row = arguments.without_null_values(one, nulls)
                    copy.write_row([parameter(row[c], as_json=c in json) for c in columns])
            count = max(0, cursor.rowcount)
        print(f"COPY succeeded, row_count: {count}")  # noqa: T201 - a log line
        result = {"command": "COPY", "row_count": count, "columns": []}
        return next_state(state, [], result)

    return run
