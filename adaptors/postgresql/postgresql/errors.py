"""Errors of the verbs of this package, with attributes for the report of the step."""

from __future__ import annotations

from typing import Any


class PostgresError(Exception):
    """An operation on the database has failed.

    The facts for a program are attributes with plain data.  `retryable` says whether another attempt
    can succeed; None leaves that to the plan.
    """

    retryable: bool | None = None

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        vars(self).update(details)

    @property
    def details(self) -> dict[str, Any]:
        """All attributes with facts."""
        return dict(vars(self))


class ArgumentError(PostgresError):
    """An argument or the configuration is wrong; nothing was sent to the database."""

    retryable: bool | None = False


class InterpolatedQueryError(ArgumentError):
    """The text of a query was put together, and is not a literal of the job."""


class UnreachableError(PostgresError):
    """The server cannot be reached, refuses the connection, or has closed it."""


class DatabaseError(PostgresError):
    """The database has refused a statement; `sqlstate` is its code."""


def kind(value: object) -> str:
    """Return the type of a value for a message."""
    return "None" if value is None else type(value).__name__
