"""Errors of the verbs of this package, with attributes for the report of the step."""

from __future__ import annotations

from typing import Any


class SheetsError(Exception):
    """A file cannot be read or written; another attempt would fail as well.

    The facts for a program are attributes with plain data, such as `row` and `column`.
    """

    retryable: bool | None = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        vars(self).update(details)

    @property
    def details(self) -> dict[str, Any]:
        """All attributes with facts."""
        return dict(vars(self))


class ArgumentError(SheetsError):
    """An argument is wrong."""


class FileError(SheetsError):
    """The content is not a file of this kind, or is damaged."""


class TooLargeError(SheetsError):
    """The content has more bytes, rows or cells than the verb may read."""


class ValueTypeError(SheetsError):
    """A value does not have the type of its column, or cannot be in a cell."""


def kind(value: object) -> str:
    """Return the type of a value for a message."""
    return "None" if value is None else type(value).__name__
