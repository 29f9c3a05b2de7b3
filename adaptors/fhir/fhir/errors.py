"""Errors of this package, with attributes for the report of the step."""

from __future__ import annotations

from typing import Any


class FhirError(Exception):
    """A resource is wrong, or the server refuses it.

    The facts for a program are attributes with plain data.  `retryable` says whether another attempt
    can succeed; None leaves that to the plan.
    """

    retryable: bool | None = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        vars(self).update(details)

    @property
    def details(self) -> dict[str, Any]:
        """All attributes with facts."""
        return dict(vars(self))


class ArgumentError(FhirError):
    """An argument of a verb or a builder is wrong."""


class ResourceError(FhirError):
    """A resource does not have the form that FHIR asks for.

    `problems` is a list of dicts with `path`, `message` and perhaps `fix`.
    """


class OutcomeError(FhirError):
    """The server answered with an OperationOutcome.

    `status` is that of HTTP, and `issues` is a list of dicts with `severity`, `code`, `text` and `path`.
    """
