"""Resolves and checks the arguments of verbs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from psycopg import sql

from .errors import ArgumentError, kind

State: TypeAlias = dict[str, Any]
Operation: TypeAlias = Callable[[State], Any]
"""A function from state to state, or to an awaitable of state."""

_MOST_CALLS: Final = 100

OPERATORS: Final = {
    **{name: name for name in ("=", "<>", "!=", "<", "<=", ">", ">=", "~", "~*", "!~", "!~*")},
    **{name: name for name in ("like", "ilike", "not like", "not ilike", "@>", "<@", "&&")},
    "in": "= any",
    "not in": "<> all",
}
"""The comparisons of `find_value`, and what they are in SQL."""

_CONSTRAINT: Final = re.compile(r"\s*on\s+constraint\s+(\S.*?)\s*", re.IGNORECASE)
_TYPE: Final = re.compile(
    r"[A-Za-z_][\w]*(?: [A-Za-z_]\w*){0,3}(?:\(\d{1,4}(?:, ?\d{1,4})?\))?(?: [A-Za-z_]\w*){0,3}(?:\[\])?"
)
"""The form of the name of a type: `varchar(20)`, `timestamp with time zone`, `numeric(10, 2)[]`."""


def sql_of(text: str) -> sql.SQL:
    """Return a text as SQL: one that was checked, or one of this package."""
    checked: Any = text  # its type wants a literal
    return sql.SQL(checked)


def resolve(state: State, value: Any) -> Any:
    """Return *value* with each function in it replaced by the result of the function for *state*.

    Dicts and lists become plain ones, whatever class the engine has given them.
    """
    for _ in range(_MOST_CALLS):
        if not callable(value) or isinstance(value, type):
            break
        value = value(state)
    if isinstance(value, Mapping):
        return {key: resolve(state, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(state, inner) for inner in value]
    return value


def identifier(name: Any, *, what: str = "the table") -> sql.Identifier:
    """Return a quoted name; a dot separates a schema from a table.

    Raises:
        ArgumentError: *name* is neither a text nor a list of texts.

    """
    parts = name.split(".") if isinstance(name, str) else name
    if not isinstance(parts, list) or not parts:
        raise ArgumentError(f"{what} is a name, not {kind(name)}", got=kind(name))
    for part in parts:
        if not isinstance(part, str) or not part or "\0" in part:
            raise ArgumentError(
                f"{what} is a name such as 'visits' or 'clinic.visits', or a list of its parts, not"
                f" {name!r:.100}"
            )
    return sql.Identifier(*parts)


def column(name: Any) -> sql.Identifier:
    """Return the quoted name of a column, which may have dots in it.

    Raises:
        ArgumentError: *name* is not a text.

    """
    return identifier([name] if isinstance(name, str) else name, what="a column")


def record(value: Any, *, verb: str) -> dict[str, Any]:
    """Return a record: column to value.

    Raises:
        ArgumentError: *value* is not a dict, or is empty.

    """
    if not isinstance(value, dict) or not value:
        raise ArgumentError(
            f"{verb}: a record is a dict of column to value that is not empty, not {kind(value)}"
            + (" without keys" if value == {} else ""),
            verb=verb,
        )
    return value


def records(value: Any, *, verb: str) -> list[dict[str, Any]]:
    """Return records that all have the columns of the first one.

    Raises:
        ArgumentError: *value* is not a list of such records.

    """
    if not isinstance(value, list):
        raise ArgumentError(f"{verb}: records are a list of dicts, not {kind(value)}", verb=verb)
    if not value:
        return []
    first = record(value[0], verb=verb).keys()
    for number, one in enumerate(value):
        if record(one, verb=verb).keys() != first:
            others = sorted(map(str, first ^ one.keys()))
            raise ArgumentError(
                f"{verb}: the first record and record {number} do not have the same columns:"
                f" {', '.join(others)}; give every record all columns, with None for no value",
                verb=verb,
                record=number,
            )
    return value


def conflict_target(uuid: Any) -> sql.Composable:
    """Return what follows ON CONFLICT: columns, or a constraint.

    Raises:
        ArgumentError: *uuid* is neither a name nor a list of names.

    """
    if isinstance(uuid, str) and (found := _CONSTRAINT.fullmatch(uuid)):
        return sql.SQL("on constraint {}").format(column(found[1].strip('"')))
    names = uuid.split(",") if isinstance(uuid, str) else uuid
    if not isinstance(names, list) or not names:
        raise ArgumentError(
            f"the conflict is a column, a list of columns or 'ON CONSTRAINT name', not {kind(uuid)}"
        )
    return sql.SQL("({})").format(
        comma(column(name.strip() if isinstance(name, str) else name) for name in names)
    )


def comma(parts: Iterable[sql.Composable]) -> sql.Composed:
    """Return the parts with commas between them."""
    return sql.SQL(", ").join(parts)


def operator(name: Any) -> str:
    """Return an operator in SQL.

    Raises:
        ArgumentError: It is not one of `OPERATORS`.

    """
    found = OPERATORS.get(" ".join(name.lower().split())) if isinstance(name, str) else None
    if found is None:
        known = ", ".join(OPERATORS)
        raise ArgumentError(f"an operator is one of {known}; not {name!r:.100}")
    return found


def type_name(name: Any) -> sql.SQL:
    """Return the name of a type as SQL, which is checked because it cannot be quoted.

    Raises:
        ArgumentError: It does not look like a type.

    """
    if not isinstance(name, str) or not _TYPE.fullmatch(name):
        raise ArgumentError(
            f"a type is a name such as 'text', 'varchar(20)' or 'numeric(10, 2)', not {name!r:.100}"
        )
    return sql_of(name)


def without_null_values(one: dict[str, Any], set_null: Any) -> dict[str, Any]:
    """Return a record in which the values of *set_null* are None.

    Raises:
        ArgumentError: *set_null* is not a value or a list of values.

    """
    if set_null is None or set_null is False:
        return one
    nulls = set_null if isinstance(set_null, list) else [set_null]
    if not all(isinstance(value, (str, int, float)) for value in nulls):
        raise ArgumentError("set_null is a text or a number, or a list of them")
    return {
        name: None if type(value) in (str, int, float) and value in nulls else value
        for name, value in one.items()
    }
