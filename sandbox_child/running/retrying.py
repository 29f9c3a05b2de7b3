"""Reads from the exception of an adaptor whether, and when, another attempt makes sense."""

from __future__ import annotations

from protocol.retry import usable_delay_s


def hints_of(error: BaseException) -> tuple[bool | None, float | None]:
    """Return ``retryable`` and ``retry_after_s`` of an exception; None for a value that it lacks.

    An attribute may be a property, whose code belongs to the adaptor or to a class of the job.
    Such code runs within the step, before the end of the step is sent, and its exceptions are
    ignored.  Only plain values are used.
    """
    retryable = _attribute(error, "retryable")
    return (
        retryable if type(retryable) is bool else None,
        usable_delay_s(_attribute(error, "retry_after_s")),
    )


def _attribute(error: BaseException, name: str) -> object:
    try:
        return getattr(error, name, None)
    except BaseException:  # noqa: BLE001 - a property may raise anything
        return None
