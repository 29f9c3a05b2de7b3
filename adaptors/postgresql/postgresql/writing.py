"""The verbs that write records: insert and upsert, one or many."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from . import arguments
from .arguments import Operation, State, resolve
from .connections import json_columns, translated
from .errors import ArgumentError
from .running import Options, run_many, run_statement, text_of
from .values import parameter


def insert(
    table: Any,
    record: Any,
    *,
    set_null: Any = None,
    returning: Any = None,
    write_sql: bool = False,
    execute: bool = True,
    log_values: bool = False,
) -> Operation:
    """Insert a record; `data` becomes a list with the columns of *returning*, or an empty list.

    Args:
        table: The table, perhaps with its schema: `"clinic.visits"`.
        record: A dict of column to value.
        set_null: A value, or a list of values, that is written as null, such as `"undefined"`.
        returning: A list of columns to return, or `"*"` for all.
        write_sql: Add the text of the statement, without values, to `queries`.
        execute: False does not run the statement.
        log_values: Write the values to the log.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `insert("users", {"name": state.data.name, "id": 7}, returning=["id"])`

    """
    options = Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        one = arguments.record(resolve(state, record), verb="insert")
        return _write(
            state,
            "insert",
            table,
            [one],
            None,
            set_null,
            returning,
            options,
            log_values,
            many=False,
        )

    return run


def insert_many(
    table: Any,
    records: Any,
    *,
    set_null: Any = None,
    returning: Any = None,
    write_sql: bool = False,
    execute: bool = True,
    log_values: bool = False,
) -> Operation:
    """Insert records, all or none.  An empty list does nothing.

    Args:
        table: The table.
        records: A list of dicts with the same columns.
        set_null: As for `insert`.
        returning: As for `insert`.
        write_sql: As for `insert`.
        execute: As for `insert`.
        log_values: As for `insert`.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: A statement failed.

    Example:
        `insert_many("users", state.data.users)`

    """
    options = Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        found = arguments.records(resolve(state, records), verb="insert_many")
        return _write(
            state, "insert_many", table, found, None, set_null, returning, options, log_values
        )

    return run


def upsert(
    table: Any,
    uuid: Any,
    record: Any,
    *,
    set_null: Any = None,
    returning: Any = None,
    write_sql: bool = False,
    execute: bool = True,
    log_values: bool = False,
) -> Operation:
    """Insert a record, or update the row that has the same key.

    Args:
        table: The table.
        uuid: The column with a unique constraint, a list of columns, or `"ON CONSTRAINT name"`.
        record: A dict of column to value.
        set_null: As for `insert`.
        returning: As for `insert`.
        write_sql: As for `insert`.
        execute: As for `insert`.
        log_values: As for `insert`.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `upsert("users", "email", {"email": state.data.email, "name": state.data.name})`

    """
    options = Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        one = arguments.record(resolve(state, record), verb="upsert")
        return _write(
            state,
            "upsert",
            table,
            [one],
            uuid,
            set_null,
            returning,
            options,
            log_values,
            many=False,
        )

    return run


def upsert_if(
    logical: Any,
    table: Any,
    uuid: Any,
    record: Any,
    *,
    set_null: Any = None,
    returning: Any = None,
    write_sql: bool = False,
    execute: bool = True,
    log_values: bool = False,
) -> Operation:
    """Do the same as `upsert` if *logical* is true, and otherwise nothing.

    Args:
        logical: A value, or a function of state.
        table: The table.
        uuid: As for `upsert`.
        record: As for `upsert`.
        set_null: As for `insert`.
        returning: As for `insert`.
        write_sql: As for `insert`.
        execute: As for `insert`.
        log_values: As for `insert`.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `upsert_if(state.data.email, "users", "email", {"email": state.data.email})`

    """
    write = upsert(
        table,
        uuid,
        record,
        set_null=set_null,
        returning=returning,
        write_sql=write_sql,
        execute=execute,
        log_values=log_values,
    )

    def run(state: State) -> Any:
        if not resolve(state, logical):
            print("Skipping upsert: the condition is false.")  # noqa: T201 - a log line
            return state
        return write(state)

    return run


def upsert_many(
    table: Any,
    uuid: Any,
    records: Any,
    *,
    set_null: Any = None,
    returning: Any = None,
    write_sql: bool = False,
    execute: bool = True,
    log_values: bool = False,
) -> Operation:
    """Insert records or update the rows that have the same keys, all or none.  An empty list does nothing.

    Args:
        table: The table.
        uuid: As for `upsert`.
        records: A list of dicts with the same columns.  Of two records with the same key, the later
            one wins.
        set_null: As for `insert`.
        returning: As for `insert`.
        write_sql: As for `insert`.
        execute: As for `insert`.
        log_values: As for `insert`.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: A statement failed.

    Example:
        `upsert_many("users", "email", state.data.users)`

    """
    options = Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        found = arguments.records(resolve(state, records), verb="upsert_many")
        return _write(
            state, "upsert_many", table, found, uuid, set_null, returning, options, log_values
        )

    return run


def _write(
    state: State,
    verb: str,
    table: Any,
    records: list[dict[str, Any]],
    uuid: Any,
    set_null: Any,
    returning: Any,
    options: Options,
    log_values: bool,
    *,
    many: bool = True,
) -> State:
    if not records:
        print(f"{verb}: no records provided; nothing to do.")  # noqa: T201 - a log line
        return state
    table, uuid, nulls, wanted = resolve(state, [table, uuid, set_null, returning])
    name = arguments.identifier(table)
    columns = list(records[0])
    statement = _statement(name, columns, uuid, verb=verb) + _returning(wanted)
    records = [arguments.without_null_values(one, nulls) for one in records]
    if log_values:
        print(f"{verb}: {text_of(None, statement)} {records}")  # noqa: T201 - a log line
    rows = _rows(state, name, columns, records, executed=options.execute)
    if many:
        return run_many(state, statement, rows, options, returning=wanted is not None)
    return run_statement(state, statement, rows[0], options)


def _statement(table: sql.Identifier, columns: list[str], uuid: Any, *, verb: str) -> sql.Composed:
    names = [arguments.column(column) for column in columns]
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        table, arguments.comma(names), arguments.comma([sql.Placeholder()] * len(names))
    )
    if verb.startswith("insert"):
        return statement
    updates = (sql.SQL("{} = excluded.{}").format(one, one) for one in names)
    return statement + sql.SQL(" on conflict {} do update set {}").format(
        arguments.conflict_target(uuid), arguments.comma(updates)
    )


def _returning(columns: Any) -> sql.Composable:
    if columns is None:
        return sql.SQL("")
    if columns == "*":
        return sql.SQL(" returning *")
    if not isinstance(columns, list) or not columns:
        raise ArgumentError("returning is a list of columns, or '*'")
    return sql.SQL(" returning {}").format(arguments.comma(map(arguments.column, columns)))


def _rows(
    state: State,
    table: sql.Identifier,
    columns: list[str],
    records: list[dict[str, Any]],
    *,
    executed: bool,
) -> list[list[Any]]:
    """Return the values of records; a list becomes JSON in a column of that type, else an array."""
    json: frozenset[str] = frozenset()
    kinds = (list, bool, int, float)
    if executed and any(isinstance(value, kinds) for one in records for value in one.values()):
        configuration = state.get("configuration")
        with translated(configuration):
            json = json_columns(configuration, table)
    return [
        [parameter(one[column], as_json=column in json) for column in columns] for one in records
    ]
