"""Events and results as bytes, for a store that keeps them, and the end of a run that no engine started.

The values of users (states, ``meta``, details of errors) are encoded by the rules for states, apart from
the event around them.  So a reader decodes them with the same limits as the engine.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from engine.reporting.eventlog import StateEvent, without_state
from engine.reporting.result import RunResult, Usage, reason_of
from protocol.confinement import ConfinementReport
from protocol.events import AnyEvent, JobError, Versions, WorkflowError, WorkflowStart
from protocol.limits import MAX_DETAILS_ITEMS, MAX_STATE_ITEMS
from protocol.report import ErrorReport, make_report
from protocol.state import decode_state, encode_state

MAX_REASON: Final = 500
"""Longest reason of a cancellation, in characters."""


class _AtRest(msgspec.Struct, frozen=True, array_like=True):
    """An event or a result without the values of users, and these values beside it."""

    head: msgspec.Raw
    state: bytes | None = None
    meta: bytes | None = None
    details: bytes | None = None


_packed = msgspec.msgpack.Decoder(_AtRest)
_events: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_results = msgspec.msgpack.Decoder(RunResult)


def state_of(event: AnyEvent) -> bytes | None:
    """Return the encoded state of an event; None if the event has no state."""
    if not isinstance(event, StateEvent) or event.state is None:
        return None
    return _as_bytes(event.state)


def encode_event(event: AnyEvent, *, with_state: bool = True) -> bytes:
    """Return an event as bytes.

    Args:
        event: An event of `Run.poll`, or of `raw_events`.
        with_state: Whether its state is a part of the bytes. If not, keep `state_of` elsewhere.

    """
    if isinstance(event, StateEvent):
        state = state_of(event) if with_state else None
        head = msgspec.structs.replace(event, state=None)
        if not isinstance(head, JobError):
            return _pack(head, state)
        report, details = _split(head.error)
        return _pack(msgspec.structs.replace(head, error=report), state, None, details)
    if isinstance(event, WorkflowError):
        report, details = _split(event.error)
        return _pack(msgspec.structs.replace(event, error=report), None, None, details)
    if isinstance(event, WorkflowStart) and event.meta:
        meta = encode_state(event.meta, root="meta")
        return _pack(msgspec.structs.replace(event, meta={}), None, meta)
    return _pack(event)


def decode_event(
    data: bytes, state: bytes | None = None, *, max_items: int = MAX_STATE_ITEMS
) -> AnyEvent:
    """Return the event in bytes of `encode_event`.

    A state with too many items is replaced, as `Run.poll` does.

    Args:
        data: The bytes.
        state: The encoded state, if it is kept elsewhere.
        max_items: The most items that a state may have.

    Raises:
        ValueError: The bytes are not those of an event.

    """
    kept = _packed.decode(data)
    event = _events.decode(kept.head)
    state = kept.state if state is None else state
    if isinstance(event, StateEvent) and state is not None:
        try:
            decoded = decode_state(state, max_items=max_items)
        except ValueError:
            event = without_state(event)
        else:
            event = msgspec.structs.replace(event, state=decoded)
    if isinstance(event, JobError | WorkflowError) and kept.details is not None:
        event = msgspec.structs.replace(event, error=_join(event.error, kept.details))
    elif isinstance(event, WorkflowStart) and kept.meta is not None:
        event = msgspec.structs.replace(event, meta=decode_state(kept.meta))
    return event


def encode_result(result: RunResult, *, with_state: bool = True) -> bytes:
    """Return a result as bytes; see `encode_event`."""
    report, details = (None, None) if result.error is None else _split(result.error)
    head = msgspec.structs.replace(result, state=None, error=report)
    state = _as_bytes(result.state) if with_state and result.state is not None else None
    return _pack(head, state, None, details)


def decode_result(
    data: bytes, state: bytes | None = None, *, max_items: int = MAX_STATE_ITEMS
) -> RunResult:
    """Return the result in bytes of `encode_result`; see `decode_event`.

    Raises:
        ValueError: The bytes are not those of a result.

    """
    kept = _packed.decode(data)
    result = _results.decode(kept.head)
    if result.error is not None and kept.details is not None:
        result = msgspec.structs.replace(result, error=_join(result.error, kept.details))
    state = kept.state if state is None else state
    if state is None:
        return result
    return msgspec.structs.replace(result, state=decode_state(state, max_items=max_items))


def cancelled_report(reason: str) -> ErrorReport:
    """Return the report of a run that was cancelled."""
    return make_report("Cancelled", f"the run was cancelled: {reason[:MAX_REASON]}")


def end_unstarted(
    run_id: str, report: ErrorReport, *, seq: int, time_s: float, versions: Versions | None = None
) -> tuple[WorkflowError, RunResult]:
    """Return the last event and the result of a run that ends while no engine has it.

    They are those of a run that an engine ends in its queue.

    Args:
        run_id: The id of the run.
        report: Why it ends, such as `cancelled_report`.
        seq: The number of the event.
        time_s: Seconds since 1970.
        versions: The versions of the programs.

    """
    event = WorkflowError(seq=seq, run_id=run_id, time=time_s, error=report, duration_ms=0)
    result = RunResult(
        state=None,
        reason=reason_of(report),
        error=report,
        duration_ms=0,
        usage=Usage(),
        confinement=ConfinementReport(level="default", language=True),
        versions=versions or Versions(python="", engine=""),
    )
    return event, result


def _pack(
    head: msgspec.Struct,
    state: bytes | None = None,
    meta: bytes | None = None,
    details: bytes | None = None,
) -> bytes:
    encoded = msgspec.Raw(msgspec.msgpack.encode(head))
    return msgspec.msgpack.encode(_AtRest(encoded, state, meta, details))


def _as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, msgspec.Raw) else encode_state(value)


def _split(report: ErrorReport) -> tuple[ErrorReport, bytes | None]:
    if report.details is None:
        return report, None
    return msgspec.structs.replace(report, details=None), _as_bytes(report.details)


def _join(report: ErrorReport, details: bytes) -> ErrorReport:
    try:
        decoded = decode_state(details, max_items=MAX_DETAILS_ITEMS)
    except ValueError:
        decoded = None
    return msgspec.structs.replace(report, details=decoded)
