"""Lists as parameters of PostgreSQL, in the binary form of arrays.

Psycopg looks at each item of a list for the type of the array. A worker sends about sixteen lists for each
record of a step, and this took more time than everything else that psycopg does for them. Here the column gives
the type. The form is that of ``array_send`` in ``src/backend/utils/adt/arrayfuncs.c`` of PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    import psycopg

_HEAD: Final = Struct("!iiIii").pack
"""Number of dimensions, whether an item is NULL, type of the items, number of items, first index."""

_SIZE: Final = Struct("!i").pack
_NULL: Final = _SIZE(-1)
_INTEGER: Final = Struct("!ii").pack
_BIGINT: Final = Struct("!iq").pack


class _List:
    """A list of values of one column.

    Args:
        items: The values; None is NULL.

    """

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Any]) -> None:
        self.items: Sequence[Any] = items


class _Texts(_List):
    """Strings."""


class _Integers(_List):
    """Integers of 4 bytes."""


class _Bigints(_List):
    """Integers of 8 bytes."""


class _Bytes(_List):
    """Byte strings."""


def list_of(column: sa.ColumnElement[Any], items: Sequence[Any]) -> _List:
    """Return the parameter for a list of values of a column."""
    kind = column.type
    if isinstance(kind, sa.Text):
        return _Texts(items)
    if isinstance(kind, sa.LargeBinary):
        return _Bytes(items)
    if isinstance(kind, sa.BigInteger):  # which SQLAlchemy takes for an Integer as well
        return _Bigints(items)
    assert isinstance(kind, sa.Integer), f"no lists of {kind!r}"
    return _Integers(items)


def register(connection: psycopg.Connection[Any]) -> None:
    """Let a connection send what `list_of` returns."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    types = connection.adapters.types

    def dumper(name: str, encode: Callable[[Any, str], bytes]) -> type[Dumper]:
        info = types[name]

        class ListDumper(Dumper):
            format = Format.BINARY
            oid = info.array_oid

            def dump(self, obj: _List) -> bytes:
                known = self.connection
                encoding = "utf-8" if known is None else known.info.encoding
                items = [_NULL if item is None else encode(item, encoding) for item in obj.items]
                head = _HEAD(1, _NULL in items, info.oid, len(items), 1)
                return b"".join((head, *items))

        return ListDumper

    for kind, name, encode in (
        (_Texts, "text", _encode_text),
        (_Integers, "int4", lambda item, _encoding: _INTEGER(4, item)),
        (_Bigints, "int8", lambda item, _encoding: _BIGINT(8, item)),
        (_Bytes, "bytea", lambda item, _encoding: _SIZE(len(item)) + item),
    ):
        connection.adapters.register_dumper(kind, dumper(name, encode))


def _encode_text(item: str, encoding: str) -> bytes:
    encoded = item.encode(encoding)
    return _SIZE(len(encoded)) + encoded
