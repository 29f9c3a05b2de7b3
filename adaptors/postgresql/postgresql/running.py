"""Runs statements, and makes the states that verbs return."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Awaitable, Iterator
from typing import Any, Final, TypeGuard

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from . import values
from .arguments import Operation, State, sql_of
from .arrays import own_arrays
from .connections import Connection, connect, translated
from .errors import ArgumentError, DatabaseError, kind
from .statements import ending

logger: logging.Logger = logging.getLogger("postgresql")

_OPEN: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


class Options:
    """The options that all statements have."""

    def __init__(self, *, write_sql: Any, execute: Any) -> None:
        for name, value in (("write_sql", write_sql), ("execute", execute)):
            if not isinstance(value, bool):
                raise ArgumentError(f"{name} is True or False, not {kind(value)}")
        self.write_sql: bool = write_sql
        self.execute: bool = execute


class Outcome:
    """The outcome of a statement."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self.command: str = (cursor.statusmessage or "").split(" ")[0]
        self.row_count: int = max(0, cursor.rowcount)
        self.columns: list[str] = [one.name for one in cursor.description or ()]
        self.rows: list[dict[str, Any]] = [
            {name: values.plain(value) for name, value in row.items()}
            for row in (cursor.fetchall() if cursor.description else ())
        ]
        for name, found in own_arrays(cursor).items():
            for row, value in zip(self.rows, found, strict=True):
                row[name] = values.plain(value)

    def told(self) -> dict[str, Any]:
        """Return what `result` of the state holds."""
        return {"command": self.command, "row_count": self.row_count, "columns": self.columns}


def text_of(connection: Connection | None, statement: sql.Composable) -> str:
    """Return a statement as text, without its values."""
    return statement.as_string(connection)


def run_statement(
    state: State,
    statement: sql.Composable,
    given: Any,
    options: Options,
    *,
    numbered: bool = False,
) -> State:
    """Run one statement; return the state with its rows as `data`.

    Args:
        state: The state, which has the configuration.
        statement: The statement.  Its placeholders are `%s` or `%(name)s`.
        given: The values, already checked; None for none.
        options: Whether to run it, and whether to add its text to `queries`.
        numbered: Whether its placeholders are `$1`, `$2` instead.

    Raises:
        UnreachableError, DatabaseError: The statement failed.

    """
    state = _with_query(state, statement, options)
    if not options.execute:
        return state
    configuration = state.get("configuration")
    connection = connect(configuration)
    text = text_of(connection, statement)
    with translated(configuration, text, connection), _bounded(connection, text):
        # The first class reads $1, and takes a percent sign as it is.
        kind_of_cursor = psycopg.RawCursor if numbered or given is None else psycopg.Cursor
        with kind_of_cursor(connection, row_factory=psycopg.rows.dict_row) as cursor:
            _execute(cursor, text, given)
            while cursor.nextset():
                pass
            outcome = Outcome(cursor)
    tell(outcome)
    return next_state(state, outcome.rows, outcome.told())


def _execute(cursor: psycopg.Cursor[Any], text: str, given: Any) -> None:
    try:
        cursor.execute(text.encode(), given)
    except psycopg.ProgrammingError:
        connection = cursor.connection
        if connection.info.transaction_status is not TransactionStatus.ACTIVE:
            raise
        connection.close()  # the server waits for rows, or sends them
        raise DatabaseError(
            "sql cannot carry the rows of COPY; write rows with copy_rows(...), and read them with select",
            retryable=False,
            statement=text,
        ) from None


@contextlib.contextmanager
def _bounded(connection: Connection, text: str) -> Iterator[None]:
    """Keep the transaction around a statement, and leave none behind it.

    Raises:
        DatabaseError: The statement would end the transaction around it, or has left one open.

    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        words = ending(text)
        if words is not None:
            raise DatabaseError(
                f"{words!r} would end the transaction around it, so nothing of the statement was sent; leave it"
                " out: the transaction ends after its last operation",
                retryable=False,
                statement=text,
            )
        yield
        return
    try:
        yield
    finally:
        left_open = connection.info.transaction_status in _OPEN
        if left_open:
            connection.rollback()
    if left_open:
        raise DatabaseError(
            "the statement has begun a transaction and not ended it, so it was rolled back; write"
            " transaction(...) around the operations, or end it with commit in the same statement",
            retryable=False,
            statement=text,
        )


def run_many(
    state: State,
    statement: sql.Composed,
    rows: list[list[Any]],
    options: Options,
    *,
    returning: bool,
) -> State:
    """Run one statement for many rows, in one transaction; return the state with all rows as `data`."""
    state = _with_query(state, statement, options)
    if not options.execute:
        return state
    configuration = state.get("configuration")
    connection = connect(configuration)
    with (
        translated(configuration, text_of(connection, statement)),
        connection.transaction(),
        connection.cursor() as cursor,
    ):
        cursor.executemany(statement, rows, returning=returning)
        found: list[dict[str, Any]] = []
        count = max(0, cursor.rowcount)
        outcome = Outcome(cursor)
        if returning:
            found += outcome.rows
            while cursor.nextset():
                found += Outcome(cursor).rows
            count = len(found)
    outcome.row_count, outcome.command = count, "INSERT"
    tell(outcome)
    return next_state(state, found, outcome.told())


def tell(outcome: Outcome) -> None:
    """Write a line about a statement."""
    twice = sorted({name for name in outcome.columns if outcome.columns.count(name) > 1})
    if twice:
        text = "several columns have the name %s, and a row has the last of them; write `as` in the query"
        logger.warning(text, ", ".join(map(repr, twice)))
    print(f"{outcome.command or 'statement'} succeeded, row_count: {outcome.row_count}")  # noqa: T201 - a log line


def next_state(state: State, data: Any, result: Any) -> State:
    """Return the state after a statement: the old `data` becomes the last of `references`."""
    references = [*(state.get("references") or ()), state.get("data")]
    return {**state, "data": data, "references": references, "result": result}


def _with_query(state: State, statement: sql.Composable, options: Options) -> State:
    if not options.write_sql:
        return state
    return {**state, "queries": [*(state.get("queries") or ()), text_of(None, statement)]}


def run_in_transaction(
    state: State, operations: tuple[Operation, ...], isolation: str | None
) -> Any:
    """Run operations in one transaction, which is rolled back if one of them raises an exception.

    Returns:
        The state, or an awaitable of it if an operation is asynchronous.

    """
    configuration = state.get("configuration")
    connection = connect(configuration)
    outermost = connection.info.transaction_status is TransactionStatus.IDLE
    if isolation is not None and not outermost:
        raise ArgumentError(
            "isolation is for the outermost transaction; this one is inside another"
        )
    block = connection.transaction()
    with translated(configuration):
        block.__enter__()
        try:
            if isolation is not None:
                connection.execute(
                    sql.SQL("set transaction isolation level {}").format(sql_of(isolation))
                )
            result = _run_all(iter(operations), state, connection)
        except BaseException:
            _leave(block, sys.exc_info())
            raise
        if _is_awaitable(result):
            return _finish(result, block, configuration)
        _leave(block, (None, None, None))
    return result


def _leave(block: Any, error: Any) -> None:
    block.__exit__(*error)


async def _finish(pending: Awaitable[Any], block: Any, configuration: Any) -> Any:
    with translated(configuration):
        try:
            result = await pending
        except BaseException:
            _leave(block, sys.exc_info())
            raise
        _leave(block, (None, None, None))
    return result


def _run_all(operations: Iterator[Operation], state: Any, connection: Connection) -> Any:
    for operation in operations:
        state = _perform(operation, state)
        if _is_awaitable(state):
            return _await_all(state, operations, connection)
        _check_open(connection)
    return state


async def _await_all(
    pending: Awaitable[Any], operations: Iterator[Operation], connection: Connection
) -> Any:
    state = await pending
    _check_open(connection)
    for operation in operations:
        state = _perform(operation, state)
        if _is_awaitable(state):
            state = await state
        _check_open(connection)
    return state


def _check_open(connection: Connection) -> None:
    """Check that no statement has ended the transaction; the next one would be alone.

    Raises:
        DatabaseError: It is over.

    """
    if connection.info.transaction_status is TransactionStatus.IDLE:
        raise DatabaseError(
            "a statement has ended the transaction, such as commit or rollback; leave it out: the"
            " transaction ends after its last operation",
            retryable=False,
        )


def _perform(operation: Operation, state: Any) -> Any:
    result = operation({} if state is None else state)
    # An argument that uses the state returns an operation, which is run with the same state.
    return result(state) if callable(result) else result


def _is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    return hasattr(type(value), "__await__")
