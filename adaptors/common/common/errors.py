"""Errors of the verbs of this package.

Every error has attributes with plain data, which the engine puts into the report of the step.
"""

from __future__ import annotations

from typing import Any


class CommonError(Exception):
    """A verb cannot do its work.

    The facts for a program are attributes with plain data.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        vars(self).update(details)

    @property
    def details(self) -> dict[str, Any]:
        """All attributes with facts."""
        return dict(vars(self))


class ArgumentError(CommonError):
    """An argument of a verb is of the wrong kind."""


class AssertionFailedError(CommonError):
    """The condition of `assert_` did not hold."""


class PathError(CommonError):
    """A text is not a JSONPath, or uses a part of JSONPath that this package lacks."""


class CsvError(CommonError):
    """A text is not CSV in the form that the options of `parse_csv` describe."""


class SchemaError(CommonError):
    """A JSON schema uses a keyword that `validate` does not know."""


def kind(value: object) -> str:
    """Return the name of the type of *value* for a message."""
    return type(value).__name__
