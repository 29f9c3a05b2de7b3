"""Errors of the verbs of this package, with attributes for the report of the step."""

from __future__ import annotations

from typing import Any


class HttpError(Exception):
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


class RequestError(HttpError):
    """The request cannot be made, because an argument, the URL or the configuration is wrong."""

    retryable: bool | None = False


class UnreachableError(HttpError):
    """The server did not answer, or the run may not reach it.

    `sent` says whether the server can have seen the request.
    """


class ResponseError(HttpError):
    """The server answered with a status of 400 or more, or with a body that cannot be read."""


class RedirectError(ResponseError):
    """A redirect was not followed, because there are too many of them or its target is refused."""

    retryable: bool | None = False


class TooLargeError(ResponseError):
    """The body of a response is larger than the limit."""

    retryable: bool | None = False


class TokenError(HttpError):
    """The token server did not give a token."""
