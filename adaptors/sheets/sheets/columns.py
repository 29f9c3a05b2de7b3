"""The columns of a table: their names, their types, and rows as dicts."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from .errors import ArgumentError, TooLargeError, ValueTypeError, kind

_TRUE: Final = ("true", "yes", "1")
_FALSE: Final = ("false", "no", "0")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def _integer(value: Any) -> int:
    if isinstance(value, str):
        return int(value.strip())
    if isinstance(value, bool) or value != int(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - all failures are alike here
    return float(value)


def _decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - as above
    # The shortest text of a float is the number that its author has written.
    found = decimal.Decimal(str(value).strip())
    if not found.is_finite():
        raise ValueError
    return found


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = _text(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    return value if isinstance(value, dt.date) else dt.date.fromisoformat(value.strip())


def _datetime(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a cell has no zone
    return dt.datetime.fromisoformat(value.strip())


def _time(value: Any) -> dt.time:
    if isinstance(value, dt.datetime):
        return value.time()
    return value if isinstance(value, dt.time) else dt.time.fromisoformat(value.strip())


TYPES: Final[dict[str, Callable[[Any], Any]]] = {
    "text": _text,
    "int": _integer,
    "float": _number,
    "decimal": _decimal,
    "bool": _boolean,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
}
"""The types of the option `types`, and what makes a value of them."""


def checked_types(given: Any) -> dict[str, str]:
    """Return the types of columns by name.

    Raises:
        ArgumentError: It is not a dict of name to type.

    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ArgumentError(f"types is a dict of column to type, not {kind(given)}")
    for name, wanted in given.items():
        if wanted not in TYPES:
            known = ", ".join(TYPES)
            raise ArgumentError(f"the type of {name!r:.100} is one of {known}; not {wanted!r:.100}")
    return given


def converted(value: Any, wanted: str, *, row: int, column: Any) -> Any:
    """Return a value with the type of its column; None stays.

    Raises:
        ValueTypeError: The value does not have that type.

    """
    if value is None:
        return None
    try:
        return TYPES[wanted](value)
    except (ValueError, TypeError, AttributeError, OverflowError, decimal.InvalidOperation):
        raise ValueTypeError(
            f"row {row}, column {column!r:.100}: {value!r:.100} is not a value of type {wanted}",
            row=row,
            column=column,
        ) from None


def names_of(header: list[Any]) -> list[str]:
    """Return the names of columns: one without a text is `column_3`, a second `id` is `id_2`."""
    names: list[str] = []
    for number, value in enumerate(header, 1):
        text = "" if value is None else _text(value).strip()
        name = text = text or f"column_{number}"
        count = 1
        while name in names:
            count += 1
            name = f"{text}_{count}"
        names.append(name)
    return names


def checked_header(header: Any) -> bool | int | list[str]:
    """Return the option `header`.

    Raises:
        ArgumentError: It is neither a flag, nor the number of a row, nor a list of names.

    """
    if isinstance(header, bool) or (isinstance(header, int) and header > 0):
        return header
    if isinstance(header, list) and header and all(isinstance(name, str) for name in header):
        if len(set(header)) < len(header):
            raise ArgumentError("header has the same name twice")
        return header
    raise ArgumentError(
        "header is True (the first row has the names), False (rows are lists), the number of the row"
        f" with the names, or a list of names; not {header!r:.100}"
    )


def as_rows(
    rows: Iterable[list[Any]],
    header: bool | int | list[str],
    types: dict[str, str],
    *,
    one_of_many: bool = False,
) -> list[Any]:
    """Return rows as dicts, or as lists without names; rows without a value are left out.

    Args:
        rows: All rows.
        header: See `checked_header`.
        types: The types of columns.
        one_of_many: Whether other tables may have the columns of *types* that this one lacks.

    Raises:
        ValueTypeError: A row has more values than the header, or a value has another type.

    """
    numbered = ((number, row) for number, row in enumerate(rows, 1))
    if header is False:
        return [_trimmed(row) for _, row in numbered if not _is_empty(row)]
    names: list[str] | None = header if isinstance(header, list) else None
    found: list[Any] = []
    for number, row in numbered:
        if names is None:
            if number >= header and not _is_empty(row):  # type: ignore[operator]  # True is 1
                names = names_of(_trimmed(row))
            continue
        if not _is_empty(row):
            found.append(_record(row, names, types, number))
    if names is None and header is not True and header != 1:
        raise ArgumentError(f"header is row {header}, but the table has fewer rows")
    unknown = sorted(types.keys() - set(names)) if names is not None else []
    if names is not None and unknown and not one_of_many:
        raise ArgumentError(
            f"types has {unknown[0]!r:.100}, which is not a column; there are"
            f" {', '.join(names)[:300]}"
        )
    return found


def _record(row: list[Any], names: list[str], types: dict[str, str], number: int) -> dict[str, Any]:
    if len(row) > len(names) and not _is_empty(row[len(names) :]):
        raise ValueTypeError(
            f"row {number} has {len(_trimmed(row))} values, and the header {len(names)} names",
            row=number,
        )
    padded = [*row[: len(names)], *[None] * (len(names) - len(row))]
    return {
        name: converted(value, types[name], row=number, column=name) if name in types else value
        for name, value in zip(names, padded, strict=True)
    }


def _is_empty(row: list[Any]) -> bool:
    return all(value is None or value == "" for value in row)


def _trimmed(row: list[Any]) -> list[Any]:
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    return row[:end]


class Counter:
    """Counts the cells that were read."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._count = 0

    def count(self, rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
        """Yield rows until there are too many cells; an empty row counts as one cell.

        Raises:
            TooLargeError: There are more.

        """
        for row in rows:
            self._count += len(row) or 1
            if self._count > self._most:
                raise TooLargeError(
                    f"the file has more than {self._most:,.0f} cells (max_cells)",
                    max_cells=self._most,
                )
            yield row


def table(
    rows: Any,
    columns: Any,
    header: bool,
    types: dict[str, str],
    *,
    one_of_many: bool = False,
) -> list[list[Any]]:
    """Return the rows of a table to write, with the header as the first one.

    Args:
        rows: A list of dicts, or of lists.
        columns: The names of the columns in their order; None: all keys, in the order in which they
            come first.
        header: Whether the first row has the names.
        types: The types of columns.
        one_of_many: As for `as_rows`.

    Raises:
        ArgumentError: It is not such a list.
        ValueTypeError: A value has another type than its column.

    """
    if not isinstance(rows, list):
        raise ArgumentError(f"rows are a list of dicts or of lists, not {kind(rows)}")
    if columns is not None and not (isinstance(columns, list) and columns):
        raise ArgumentError("columns is a list of names")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, type(rows[0])) or not isinstance(row, (dict, list)):
            raise ArgumentError(
                f"row {number} is {kind(row)}; rows are all dicts or all lists", row=number
            )
    if rows and isinstance(rows[0], list):
        names = columns
        made = rows
    else:
        names = (
            list(dict.fromkeys(key for row in rows for key in row)) if columns is None else columns
        )
        made = [[row.get(name) for name in names] for row in rows]
    unknown = sorted(types.keys() - set(names or ()), key=str)
    if unknown and not one_of_many:
        raise ArgumentError(f"types has {unknown[0]!r:.100}, which is not a column")
    if types and names is not None:
        wanted = [types.get(name) for name in names]
        made = [
            [
                value
                if kind_of is None
                else converted(value, kind_of, row=number, column=names[at])
                for at, (value, kind_of) in enumerate(zip(row, wanted, strict=False))
            ]
            for number, row in enumerate(made, 1)
        ]
    return [list(names), *made] if header and names else made
