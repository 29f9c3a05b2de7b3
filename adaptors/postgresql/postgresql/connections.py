"""The connections of a child: one for each configuration, kept from step to step.

A connection is closed when the process of the run ends.  An idle connection is tried before its next
use, because the server may have closed it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from . import values
from .errors import ArgumentError, DatabaseError, PostgresError, UnreachableError, kind

Connection: TypeAlias = psycopg.Connection[DictRow]

IDLE_S: Final = 1.0
"""Seconds without use after which a connection is tried."""

MOST: Final = 8
"""Connections that are kept; the one that was used least recently is closed first."""

_RETRYABLE: Final = ("08", "53")
"""Classes of SQLSTATE: connection exception, insufficient resources."""

_RETRYABLE_CODES: Final = frozenset(("40001", "40P01", "55P03", "57P01", "57P02", "57P03", "25P03"))
"""Serialization failure, deadlock, lock not available, shutdown, crash, not yet started, idle timeout."""

_FINAL_TEXTS: Final = (
    *("Permission denied", "Operation not permitted"),  # the run may not reach the host
    *("authentication failed", "no pg_hba.conf entry", "does not exist"),
    *("certificate verify failed", "does not match host name", "server does not support SSL"),
)
"""Reasons of a refused connection that no further attempt changes; libpq gives them only as text."""

_TIMEOUT_S: Final = 10

_PORTS: Final = re.compile(r"\d{1,5}(,\d{1,5})*", re.ASCII)
"""One port, or one for each of several hosts."""

_PROTOCOL_VIOLATION: Final = "08P01"
"""Also the code for a wrong number of values, after which the connection goes on."""


class _Session:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.used_s = time.monotonic()
        self.json_columns: dict[str, frozenset[str]] = {}


_sessions: dict[str, _Session] = {}
"""By connection string; the last one was used last."""


def connect(configuration: Any) -> Connection:
    """Return the connection for a configuration, a new one if none is open.

    Raises:
        ArgumentError: The configuration is wrong.
        UnreachableError: The server cannot be reached, or refuses the connection.

    """
    return _session(configuration).connection


def json_columns(configuration: Any, table: sql.Identifier) -> frozenset[str]:
    """Return the columns of a table whose type is `json` or `jsonb`; asked once for a connection."""
    session = _session(configuration)
    name = table.as_string(session.connection)
    if name not in session.json_columns:
        rows = session.connection.execute(
            "select attname from pg_attribute where attrelid = to_regclass(%s)"
            " and atttypid in ('json'::regtype, 'jsonb'::regtype)",
            [name],
        )
        session.json_columns[name] = frozenset(row["attname"] for row in rows)
    return session.json_columns[name]


def close_all() -> None:
    """Close all connections."""
    while _sessions:
        _sessions.popitem()[1].connection.close()


def _session(configuration: Any) -> _Session:
    wanted = _parameters(configuration)
    key = psycopg.conninfo.make_conninfo(**wanted)
    session = _sessions.pop(key, None)
    if session is not None and not _works(session):
        session.connection.close()
        session = None
    if session is None:
        while len(_sessions) >= MOST:
            _sessions.pop(next(iter(_sessions))).connection.close()
        session = _Session(_open(configuration, wanted))
    session.used_s = time.monotonic()
    _sessions[key] = session
    return session


def _works(session: _Session) -> bool:
    connection = session.connection
    if connection.closed:
        return False
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        return (
            True  # of a transaction that goes on; its statement shows whether the connection works
        )
    if time.monotonic() - session.used_s < IDLE_S:
        return True
    try:
        connection.execute("select 1")
    except psycopg.Error:
        return False
    return True


def _open(configuration: dict[str, Any], wanted: dict[str, Any]) -> Connection:
    with contextlib.ExitStack() as stack:
        files = {
            name: _file(stack, configuration[key], key)
            for key, name in (("ca", "sslrootcert"), ("cert", "sslcert"), ("key", "sslkey"))
            if configuration.get(key)
        }
        with translated(configuration):
            connection = psycopg.connect(
                **{**wanted, **files}, autocommit=True, row_factory=dict_row
            )
    values.register(connection)
    return connection


def _file(stack: contextlib.ExitStack, text: Any, key: str) -> str:
    """Write the text of a PEM file to a file, because libpq reads files only; return its name."""
    if not isinstance(text, str):
        raise ArgumentError(f"configuration.{key} is the text of a PEM file, not {kind(text)}")
    try:
        file = stack.enter_context(
            tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115 - mode 0600
        )
    except OSError:
        raise ArgumentError(
            f"configuration.{key} needs a place for a file;"
            " allow one with Permissions(scratch_mb=1), or jobcell run --scratch 1"
        ) from None
    file.write(text)
    file.flush()
    return file.name


def _parameters(configuration: Any) -> dict[str, Any]:
    """Return the parameters of libpq for a configuration."""
    if not isinstance(configuration, dict) or not configuration:
        raise ArgumentError(
            "the step has no configuration; it needs host, database, user and password"
        )
    found: dict[str, Any] = {}
    for name, keys in (
        ("host", ("host",)),
        ("port", ("port",)),
        ("dbname", ("database", "dbname")),
        ("user", ("user", "username")),
        ("password", ("password",)),
    ):
        value = next((configuration[key] for key in keys if configuration.get(key)), None)
        if value is None:
            if name in ("host", "dbname", "user"):
                raise ArgumentError(f"configuration.{keys[0]} is missing")
            continue
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise ArgumentError(f"configuration.{keys[0]} is a text, not {kind(value)}")
        found[name] = str(value)
    if not _PORTS.fullmatch(found.get("port", "5432")):
        raise ArgumentError(f"configuration.port is a number, not {found['port']!r:.60}")
    timeout_s = configuration.get("connect_timeout_s", _TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or timeout_s <= 0:
        raise ArgumentError("configuration.connect_timeout_s is a number of seconds above 0")
    found["connect_timeout"] = str(max(2, round(timeout_s)))  # libpq takes no less than 2
    found["application_name"] = "jobcell"
    found["options"] = "-c datestyle=ISO -c intervalstyle=iso_8601 -c timezone=UTC"
    return found | _tls(configuration)


def _tls(configuration: dict[str, Any]) -> dict[str, str]:
    if not configuration.get("ssl"):
        return {}  # libpq uses TLS if the server has it
    if configuration.get("allow_self_signed_cert") or configuration.get("allowSelfSignedCert"):
        return {"sslmode": "require"}
    if configuration.get("ca"):
        return {"sslmode": "verify-full"}
    authorities = ssl.get_default_verify_paths().cafile
    return {"sslmode": "verify-full", "sslrootcert": authorities or "system"}


@contextlib.contextmanager
def translated(
    configuration: Any, statement: str | None = None, connection: Connection | None = None
) -> Iterator[None]:
    """Turn errors of psycopg into those of this package.

    The text has neither values of a row nor the password: PostgreSQL writes values into DETAIL, which
    is left out.

    Args:
        configuration: The configuration, whose password is replaced.
        statement: The text of the statement, without its values.
        connection: The connection that has carried the statement, if it matters whether it is lost.

    """
    try:
        yield
    except PostgresError:
        raise
    except psycopg.errors.ProtocolViolation as error:
        if connection is None or not _is_usable(connection):
            raise _translated(error, configuration, statement) from error
        text = f"{error.diag.message_primary} ({_PROTOCOL_VIOLATION})"
        hint = "give a value for each placeholder: $1, $2 and so on"
        raise DatabaseError(
            text, sqlstate=_PROTOCOL_VIOLATION, retryable=False, hint=hint, statement=statement
        ) from error
    except psycopg.Error as error:
        raise _translated(error, configuration, statement) from error


def _translated(error: psycopg.Error, configuration: Any, statement: str | None) -> PostgresError:
    diagnosis, sqlstate = error.diag, error.sqlstate
    text = diagnosis.message_primary or " ".join(str(error).split())
    secret = configuration.get("password") if isinstance(configuration, dict) else None
    if isinstance(secret, str) and secret:
        text = text.replace(secret, "***")
    if sqlstate is None and isinstance(error, psycopg.OperationalError):
        if isinstance(configuration, dict) and _has_no_network():  # libpq then gives no reason
            host, port = configuration.get("host"), configuration.get("port", 5432)
            text = f'connection to server at "{host}", port {port} failed: Operation not permitted'
        final = any(reason in text for reason in _FINAL_TEXTS)
        return UnreachableError(text, retryable=not final)
    facts: dict[str, Any] = {"sqlstate": sqlstate, "retryable": _is_retryable(sqlstate)}
    told = {
        "table": diagnosis.table_name,
        "column": diagnosis.column_name,
        "constraint": diagnosis.constraint_name,
        "hint": diagnosis.message_hint,
        "statement": statement,
    }
    facts |= {name: value for name, value in told.items() if value is not None}
    lost = sqlstate is not None and (
        sqlstate[:2] == "08" or sqlstate in ("57P01", "57P02", "57P03")
    )
    made = UnreachableError if lost or (sqlstate or "")[:2] in ("28", "3D") else DatabaseError
    return made(f"{text} ({sqlstate})" if sqlstate else text, **facts)


def _is_usable(connection: Connection) -> bool:
    return not connection.closed and connection.info.transaction_status in (
        TransactionStatus.IDLE,
        TransactionStatus.INERROR,
    )


def _has_no_network() -> bool:
    """Return whether this process cannot make a socket, by trying it."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _is_retryable(sqlstate: str | None) -> bool:
    return sqlstate is not None and (sqlstate[:2] in _RETRYABLE or sqlstate in _RETRYABLE_CODES)
