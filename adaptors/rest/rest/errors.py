"""What the verbs of this package raise; attributes are plain data for the report of the step."""

from __future__ import annotations

from typing import Any


class RestError(Exception):
    """A request did not give what was wanted.

    What a program would want to know are attributes, as plain data.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        vars(self).update(details)

    @property
    def details(self) -> dict[str, Any]:
        """All of these attributes."""
        return dict(vars(self))


class RequestError(RestError):
    """The request cannot be made: a wrong argument, or no URL."""


class UnreachableError(RestError):
    """The server did not answer, or the run may not reach it."""


class ResponseError(RestError):
    """The server answered with a status of 400 or more, or with a body that cannot be read."""
