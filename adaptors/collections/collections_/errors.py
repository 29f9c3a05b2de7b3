"""Errors of the verbs of this package, with attributes for the report of the step."""

from __future__ import annotations

from typing import Any


class CollectionError(Exception):
    """A request for a collection was refused, or has failed.

    Attributes:
        fix: The change that would help, if it is known.
        retryable: Whether another attempt may succeed; None if nobody knows.

    """

    def __init__(
        self, message: str, *, fix: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message if fix is None else f"{message}; {fix}")
        self.fix = fix
        self.retryable = retryable

    @property
    def details(self) -> dict[str, Any]:
        """All attributes with facts."""
        return {} if self.fix is None else {"fix": self.fix}


class ArgumentError(CollectionError):
    """An argument is wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


def kind(value: object) -> str:
    """Return the type of a value for a message."""
    return "None" if value is None else type(value).__name__
