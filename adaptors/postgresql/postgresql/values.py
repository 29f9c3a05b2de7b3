"""The types of PostgreSQL as values that a state carries, and back.

Dates, times and exact numbers become text, because a state has no such types and a float would change a
number.  The texts are those that the engine itself writes for the types of Python.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import json
import re
import uuid
from typing import Any, Final

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.json import Jsonb, JsonbDumper, set_json_dumps

from .errors import ArgumentError, kind

AS_TEXT: Final = (
    *("numeric", "uuid", "time", "timetz", "date", "interval", "inet", "cidr"),
    *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
    *("int4multirange", "int8multirange", "nummultirange", "datemultirange"),
    *("tsmultirange", "tstzmultirange"),
)
"""Types whose values are the text that PostgreSQL writes."""

_OFFSET: Final = re.compile(r"([+-]\d\d)$")


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _TimestampLoader(Loader):
    """ISO 8601: `2024-05-06T07:08:00`, and `2024-05-06T07:08:00Z` with a time zone."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        if "BC" in text or "infinity" in text:
            return text
        text = text.replace(" ", "T", 1)
        return text[:-3] + "Z" if text.endswith("+00") else _OFFSET.sub(r"\1:00", text)


def _for_json(value: Any) -> str:
    """Return the text of a value that JSON lacks, as the engine writes it."""
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    raise ArgumentError(f"JSON cannot hold a value of type {kind(value)}; write it as text")


_dumps = functools.partial(json.dumps, default=_for_json)


class _DictDumper(JsonbDumper):
    _dumps = staticmethod(_dumps)


def register(connection: Connection[Any]) -> None:
    """Make a connection read and write values in these forms."""
    for name in AS_TEXT:
        connection.adapters.register_loader(name, _TextLoader)
    for name in ("timestamp", "timestamptz"):
        connection.adapters.register_loader(name, _TimestampLoader)
    connection.adapters.register_dumper(dict, _DictDumper)
    set_json_dumps(_dumps, connection)


def parameter(value: Any, *, as_json: bool = False) -> Any:
    """Return a value to send.

    Args:
        value: A value of a state.
        as_json: Whether it is for a column of JSON.  There a list, a number and a boolean become JSON,
            and a text is JSON already.  Elsewhere a list becomes an array, unless a dict is in it.

    """
    if as_json and isinstance(value, (list, bool, int, float)):
        return Jsonb(value)
    if isinstance(value, list) and _holds_dict(value):
        return Jsonb(value)
    return value


def plain(value: Any) -> Any:
    """Return a value that was read as one that a state carries: a row of a composite type is a list."""
    if type(value) is tuple:
        return [plain(item) for item in value]
    if type(value) is list:
        return [plain(item) for item in value]
    if isinstance(value, memoryview):
        return bytes(value)
    if value is None or isinstance(value, (str, bool, int, float, bytes, dict)):
        return value
    return str(value)


def _holds_dict(items: list[Any]) -> bool:
    return any(
        isinstance(item, dict) or (isinstance(item, list) and _holds_dict(item)) for item in items
    )
