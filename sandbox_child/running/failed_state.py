"""The state of a failed step: the state that the failing operation had, with the report in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from protocol.errors import TooManyItemsError
from protocol.limits import MEGABYTE
from protocol.report import ErrorReport, make_report, needs_more_memory
from protocol.state import NIL, StateNotCarriedError, encode_state, with_member

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_SHORT_TEXT: Final = 200


def encode_failed(
    sources: list[Callable[[], Any]],
    report: ErrorReport,
    *,
    step_id: str,
    limit: int,
    max_items: int,
    without: Collection[str],
) -> tuple[bytes, ErrorReport]:
    """Return the state of a failed step, and the report of its failure.

    The report of the job is never lost. If the state is too large with it, or memory is short,
    another report takes its place and names it.

    Args:
        sources: Functions that each return a possible state; the first that can be carried is used.
        report: The report of the failure.
        step_id: The key of the report in ``errors``.
        limit: The most bytes that a state may take.
        max_items: The most items that a state may have.
        without: Keys of a state that are left out.

    """
    size = 0
    too_many = False
    short_of_memory = False
    for read in sources:
        try:
            encoded = encode_state(read(), without=without, max_items=max_items)
            if report.severity != "fail":
                if len(encoded) <= limit:
                    return encoded, report
                continue
            for told in (report, _shortened(report)):
                whole = _with_error(encoded, step_id, told)
                if len(whole) <= limit:
                    return whole, report
                size = len(whole)
        except TooManyItemsError:
            too_many = True
        except StateNotCarriedError:
            pass
        except MemoryError:
            short_of_memory = True
    if report.severity != "fail":
        return NIL, report  # the run ends with this report, and needs no state
    if short_of_memory and not size:
        return NIL, _replaced(report, "OOMError", "no memory is left for its state")
    if too_many and not size:
        reason = f"the state of step {step_id!r} has more than {max_items} items (state_items)"
        return NIL, _replaced(report, "StateTooLargeError", reason, option="state_items")
    return NIL, _replaced(
        report,
        "StateTooLargeError",
        f"the state of step {step_id!r} takes more than {limit / MEGABYTE:g} MB (state_mb)"
        " with the error in it",
    )


def _with_error(encoded: bytes, step_id: str, report: ErrorReport) -> bytes:
    told = msgspec.to_builtins(report)

    def add(errors: Any) -> dict[Any, Any]:
        return {**(errors if isinstance(errors, dict) else {}), step_id: told}

    return with_member(encoded, "errors", add)


def _shortened(report: ErrorReport) -> ErrorReport:
    """Return a short report for a state that has no room for the whole one."""
    return ErrorReport(
        name=report.name,
        message=report.message[:_SHORT_TEXT],
        severity=report.severity,
        step_id=report.step_id,
        subtype=report.subtype,
    )


def _replaced(
    report: ErrorReport, name: str, reason: str, *, option: str = "state_mb"
) -> ErrorReport:
    short = report.message[:_SHORT_TEXT]
    return make_report(
        name,
        f"{reason}; the step had failed with {report.name}: {short}",
        step_id=report.step_id,
        operation=report.operation,
        position=report.position,
        option="memory_mb" if name == "OOMError" else option,
    )


def out_of_memory(memory_bytes: int, step_id: str | None = None) -> ErrorReport:
    """Return the report of a run that has met its memory limit outside a job."""
    return make_report(
        "OOMError",
        needs_more_memory("the run", memory_bytes),
        step_id=step_id,
        option="memory_mb",
    )
