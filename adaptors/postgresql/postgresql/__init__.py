"""PostgreSQL for workflow jobs.

The verbs return operations: functions from state to state.  Any of their arguments may be a function of
state.  In the state that an operation returns, `data` has the rows, as dicts, and the value that `data` had
before is the last item of `references`.  `result` has the command, the number of rows and the names of the
columns.  The connection comes from `state["configuration"]`, and is kept for the steps of a run.
"""

from __future__ import annotations

import re as _re
from collections.abc import Callable
from typing import Any, LiteralString

from psycopg import sql as _sql

from . import arguments as _arguments
from . import tables as _tables
from .arguments import Operation, State
from .arguments import resolve as _resolve
from .arguments import sql_of as _sql_of
from .copying import copy_rows
from .errors import (
    ArgumentError,
    DatabaseError,
    InterpolatedQueryError,
    PostgresError,
    UnreachableError,
)
from .literals import Callers as _Callers
from .running import Options as _Options
from .running import run_in_transaction as _run_in_transaction
from .running import run_statement as _run_statement
from .tables import insert_table, modify_table
from .values import parameter as _parameter
from .writing import insert, insert_many, upsert, upsert_if, upsert_many

__version__ = "1.0.0"

__all__ = [
    "ArgumentError",
    "DatabaseError",
    "InterpolatedQueryError",
    "PostgresError",
    "UnreachableError",
    "copy_rows",
    "describe_table",
    "find_value",
    "insert",
    "insert_many",
    "insert_table",
    "modify_table",
    "sql",
    "transaction",
    "upsert",
    "upsert_if",
    "upsert_many",
]

_NUMBERED = _re.compile(r"\$\d")
_ISOLATIONS = ("read committed", "repeatable read", "serializable")


def sql(
    query: LiteralString | Callable[[State], LiteralString],
    *,
    values: Any = None,
    identifiers: Any = None,
    write_sql: bool = False,
    execute: bool = True,
) -> Operation:
    """Run an SQL statement; `data` becomes its rows.

    Args:
        query: The text of the statement, as a literal of the job.  A text that was put together with
            an f-string, `%`, `+`, `format` or `join` is refused.
        values: A list for the placeholders `$1`, `$2` (or `%s`), or a dict for `%(name)s`.
        identifiers: A dict of names of tables or columns for `{name}` in the text; they are quoted.  A
            brace of the text is then written twice.
        write_sql: Add the text of the statement, without values, to `queries`.
        execute: False does not run the statement.

    Raises:
        InterpolatedQueryError: The text was put together.
        ArgumentError: Another argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `sql("select * from visits where patient = $1", values=[state.data.id])`

    """
    callers = _Callers(skipped=1)
    if isinstance(query, str):
        callers.check(query)
    options = _Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        text = _resolve(state, query)
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError(f"the query is a text that is not empty, not {text!r:.100}")
        callers.check(text)
        given = _resolve(state, values)
        if given is not None and not isinstance(given, (list, dict)):
            raise ArgumentError("values are a list for $1, $2, or a dict for %(name)s")
        if isinstance(given, list):
            given = [_parameter(value) for value in given]
        elif given is not None:
            given = {name: _parameter(value) for name, value in given.items()}
        names = _resolve(state, identifiers)
        statement: _sql.Composable = _sql_of(text)
        if names is not None:
            if not isinstance(names, dict):
                raise ArgumentError('identifiers are a dict, such as {"table": "visits"}')
            quoted = {name: _arguments.identifier(value) for name, value in names.items()}
            try:
                statement = _sql_of(text).format(**quoted)
            except (KeyError, IndexError, ValueError) as error:
                braces = isinstance(error, IndexError)
                why = "a pair of braces has no name in it" if braces else error
                raise ArgumentError(
                    f"the query and its identifiers do not fit together: {why}; write a brace of"
                    " the query twice"
                ) from None
        numbered = isinstance(given, list) and bool(_NUMBERED.search(text))
        return _run_statement(state, statement, given, options, numbered=numbered)

    return run


def find_value(
    *,
    uuid: Any,
    relation: Any,
    where: Any = None,
    operator: Any = None,
    write_sql: bool = False,
    execute: bool = True,
) -> Operation:
    """Find the value of one column in the first row that fits; `data` and `result` become it, or None.

    Args:
        uuid: The column whose value is wanted.
        relation: The table.
        where: A dict of column to value; all must fit.  None as a value means that the column is null.
        operator: A dict of column to comparison, such as `"like"`, `">="` or `"in"`; `"="` if it has none.
        write_sql: Add the text of the statement to `queries`.
        execute: False does not run the statement.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `find_value(uuid="id", relation="users", where={"name": "Ma%"}, operator={"name": "like"})`

    """
    options = _Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        column, table, wanted, operators = _resolve(state, [uuid, relation, where, operator])
        conditions, given = _tables.conditions(wanted, operators)
        statement = _sql.SQL("select {} from {}{} limit 1").format(
            _arguments.column(column), _arguments.identifier(table), conditions
        )
        after = _run_statement(state, statement, given, options)
        if not options.execute:
            return after
        row = next(iter(after["data"]), None)
        value = None if row is None else row[column]
        return {**after, "data": value, "result": value}

    return run


def describe_table(table: Any, *, write_sql: bool = False, execute: bool = True) -> Operation:
    """List the columns of a table; `data` has `column_name`, `udt_name` and `is_nullable` of each.

    For an unknown table the list is empty.  A name without a schema is looked up in the schemas of
    the search path.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The statement failed.

    Example:
        `describe_table("clinic.visits")`

    """
    options = _Options(write_sql=write_sql, execute=execute)

    def run(state: State) -> State:
        statement, given = _tables.description(_resolve(state, table))
        return _run_statement(state, statement, given, options, numbered=True)

    return run


def transaction(*operations: Operation, isolation: str | None = None) -> Operation:
    """Run operations in one transaction: all of them have an effect, or none has.

    A transaction inside another one can fail without the outer one.  Operations of other adaptors may
    be among them; their effects are not undone.

    Args:
        operations: Operations that use the same configuration.
        isolation: `"read committed"`, `"repeatable read"` or `"serializable"`; that of the server if it
            is not given.

    Raises:
        ArgumentError: An argument is wrong.
        UnreachableError: The server cannot be reached.
        DatabaseError: The transaction failed; `retryable` is True if another one has come first.

    Example:
        `transaction(insert("visits", state.data), sql("update patients set visits = visits + 1"))`

    """
    if isolation is not None and isolation not in _ISOLATIONS:
        raise ArgumentError(f"isolation is one of {', '.join(_ISOLATIONS)}; not {isolation!r:.100}")
    for operation in operations:
        if not callable(operation):
            raise ArgumentError("transaction takes operations, such as insert(...)")
    return lambda state: _run_in_transaction(state, operations, isolation)
