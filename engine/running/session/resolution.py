"""The outcome of a question for a credential or a stored state: a value, or the report of a failure."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from protocol.report import ErrorReport, make_report

Kind = Literal["credential", "state"]

_ERROR_NAME: Final[dict[Kind, str]] = {
    "credential": "CredentialLoadError",
    "state": "StateLoadError",
}


class Resolution(msgspec.Struct, frozen=True):
    """A resolved value: itself, to learn its secrets, and encoded, to send it."""

    value: Any
    encoded: bytes
    expires: float | None
    """The time on the monotonic clock at which the value expires."""

    def __repr__(self) -> str:
        return "<Resolution>"


def late(kind: Kind, value_id: str, step_id: str, timeout_s: float) -> ErrorReport:
    """Return the report of a resolver that did not answer in time."""
    reason = f"the resolver did not answer within {timeout_s:g} s (resolve_timeout_s)"
    return not_loaded(kind, value_id, step_id, reason, option="resolve_timeout_s")


def not_loaded(
    kind: Kind,
    value_id: str,
    step_id: str,
    reason: str,
    *,
    fix: str | None = None,
    option: str | None = None,
) -> ErrorReport:
    """Return the report of a value that a step needs and does not get.

    Args:
        kind: The kind of the value.
        value_id: Its id.
        step_id: The step that needs it.
        reason: The cause of the failure.
        fix: The change that would help, if it is known.
        option: The option that decides it.

    """
    reason = reason.encode(errors="backslashreplace").decode()  # a message has no lone surrogates
    return make_report(
        _ERROR_NAME[kind],
        f"cannot load the {kind} {value_id!r} of step {step_id!r}: {reason}",
        step_id=step_id,
        fix=fix,
        option=option,
    )
