"""What the verbs of this package raise.

Every error has attributes with plain data; the engine hands them on in the report of the step.
"""

from __future__ import annotations

from typing import Any


class CommonError(Exception):
    """A verb cannot do what it was asked to do.

    What a program would want to know are attributes, as plain data.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        vars(self).update(details)

    @property
    def details(self) -> dict[str, Any]:
        """All of these attributes."""
        return dict(vars(self))


class ArgumentError(CommonError):
    """An argument of a verb is of the wrong kind."""


class AssertionFailedError(CommonError):
    """The condition of `assert_` did not hold."""


class PathError(CommonError):
    """A JSONPath is not one, or uses something that this package leaves out."""


class CsvError(CommonError):
    """A text is not the CSV that the options of `parse_csv` describe."""


class SchemaError(CommonError):
    """A JSON schema uses a keyword that `validate` does not know."""


def kind(value: object) -> str:
    """Return how to name the type of *value* in a message."""
    return type(value).__name__
