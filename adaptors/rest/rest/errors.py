"""Errors of the verbs of this package, with attributes for the report of the step."""

from __future__ import annotations

from typing import Any


class RestError(Exception):
    """A request has failed.

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


class RequestError(RestError):
    """The request cannot be made, because an argument or the URL is wrong."""

    retryable: bool | None = False


class UnreachableError(RestError):
    """The server did not answer, or the run may not reach it."""


class ResponseError(RestError):
    """The server answered with a status of 400 or more, or with a body that cannot be read."""
