"""Events, records, errors and results as the bytes of their rows, and back."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from engine.api import StepRecord
from engine.reporting import RunResult, Usage
from jobcell.store.blobs import LARGE_BYTES, Blob, Blobs
from jobcell.store.errors import StoreDamagedError
from jobcell.store.seal import Seal
from protocol.codec import encode
from protocol.confinement import ConfinementReport
from protocol.events import (
    AnyEvent,
    JobComplete,
    JobError,
    Versions,
    WorkflowComplete,
    WorkflowError,
    WorkflowStart,
)
from protocol.report import ErrorReport
from protocol.state import copy_state, encode_state, restore_extension

_WITH_STATE: Final = (JobComplete, JobError, WorkflowComplete)


class PackedEvent(NamedTuple):
    """The row of an event."""

    body: bytes
    blob: Blob | None
    """The state, if it is large; its key goes into the column ``state``."""


class PackedRecord(NamedTuple):
    """The row of a record."""

    body: bytes
    blob: Blob
    """The state; its key goes into the column ``state``."""


class StoredOutcome(msgspec.Struct, frozen=True, array_like=True):
    """The fields of a `RunResult` that have no column."""

    duration_ms: int
    usage: Usage
    confinement: ConfinementReport
    versions: Versions
    children: int = 1


class _Event(msgspec.Struct, frozen=True, array_like=True):
    event: msgspec.Raw
    state: bytes | None
    loose: bytes | None
    """The details of the error, or the meta of the plan: any value, encoded as a state."""


class _Record(msgspec.Struct, frozen=True, array_like=True):
    step_run_id: str
    step_id: str
    attempt: int
    ending: str
    next: tuple[str, ...]
    error: ErrorReport | None
    details: bytes | None
    extra: bytes


class _Error(msgspec.Struct, frozen=True, array_like=True):
    error: ErrorReport
    details: bytes | None


_event_decoder = msgspec.msgpack.Decoder(AnyEvent, ext_hook=restore_extension)
_packed_event_decoder = msgspec.msgpack.Decoder(_Event)
_record_decoder = msgspec.msgpack.Decoder(_Record)
_error_decoder = msgspec.msgpack.Decoder(_Error)
_outcome_decoder = msgspec.msgpack.Decoder(StoredOutcome)


class Contents:
    """Packs and unpacks the rows of runs.  Packing needs no connection.

    Args:
        seal: Encrypts.
        blobs: Names and reads contents.

    """

    def __init__(self, seal: Seal, blobs: Blobs) -> None:
        self._seal = seal
        self._blobs = blobs

    def pack_event(self, event: AnyEvent) -> PackedEvent:
        """Return the row of an event, whose ``run_id`` and ``seq`` are those of the store."""
        state: bytes | None = None
        loose: bytes | None = None
        blob = None
        bare: Any = event
        if isinstance(event, _WITH_STATE):
            state = encoded(event.state)
            bare = msgspec.structs.replace(bare, state=None)
            if len(state) > LARGE_BYTES:
                blob, state = self._blobs.name(state), None
        if isinstance(event, JobError | WorkflowError) and event.error.details is not None:
            loose = encoded(event.error.details)
            error = msgspec.structs.replace(event.error, details=None)
            bare = msgspec.structs.replace(bare, error=error)
        elif isinstance(event, WorkflowStart) and event.meta:
            loose = encoded(event.meta)
            bare = msgspec.structs.replace(bare, meta={})
        body = msgspec.msgpack.encode(_Event(msgspec.Raw(encode(bare)), state, loose))
        return PackedEvent(self._seal.close(body, _place_of_event(event.run_id, event.seq)), blob)

    def unpack_event(self, run_id: str, seq: int, body: bytes, state: bytes | None) -> AnyEvent:
        """Return the event of a row.

        Args:
            run_id: As in the row.
            seq: As in the row.
            body: As in the row.
            state: The content of the blob whose key is in the row; None if the row has none.

        Raises:
            StoreDamagedError: The row was changed.

        """
        place = _place_of_event(run_id, seq)
        try:
            packed = _packed_event_decoder.decode(self._seal.open(bytes(body), place))
            event: Any = _event_decoder.decode(packed.event)
            changes: dict[str, Any] = {}
            if isinstance(event, _WITH_STATE):
                content = packed.state if state is None else state
                changes["state"] = None if content is None else copy_state(content)
            if packed.loose is not None:
                loose = copy_state(packed.loose)
                if isinstance(event, WorkflowStart):
                    changes["meta"] = loose
                else:
                    changes["error"] = msgspec.structs.replace(event.error, details=loose)
            whole: AnyEvent = msgspec.structs.replace(event, **changes) if changes else event
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreDamagedError(f"the store is damaged: {place}: {error}") from None
        return whole

    def pack_record(self, run_id: str, number: int, record: StepRecord) -> PackedRecord:
        """Return the row of a record.

        Raises:
            StateNotCarriedError: A value in it cannot be kept.

        """
        error, details = _bare(record.error)
        packed = _Record(
            record.step_run_id,
            record.step_id,
            record.attempt,
            record.ending,
            record.next,
            error,
            details,
            encode_state(record.extra),
        )
        place = _place_of_record(run_id, number)
        body = self._seal.close(msgspec.msgpack.encode(packed), place)
        return PackedRecord(body, self._blobs.name(bytes(record.state)))

    def unpack_record(self, run_id: str, number: int, body: bytes, state: bytes) -> StepRecord:
        """Return the record of a row.

        Args:
            run_id: As in the row.
            number: As in the row.
            body: As in the row.
            state: The content of the blob whose key is in the row.

        Raises:
            StoreDamagedError: The row was changed.

        """
        place = _place_of_record(run_id, number)
        try:
            packed = _record_decoder.decode(self._seal.open(bytes(body), place))
            return StepRecord(
                packed.step_run_id,
                packed.step_id,
                packed.attempt,
                "fail" if packed.ending == "fail" else "success",
                state,
                packed.next,
                _whole(packed.error, packed.details),
                copy_state(packed.extra),
            )
        except (ValueError, TypeError) as error:
            raise StoreDamagedError(f"the store is damaged: {place}: {error}") from None

    def pack_error(self, run_id: str, error: ErrorReport | None) -> bytes | None:
        """Return the column ``error`` of a run."""
        if error is None:
            return None
        bare, details = _bare(error)
        assert bare is not None
        return self._seal.close(msgspec.msgpack.encode(_Error(bare, details)), f"error of {run_id}")

    def unpack_error(self, run_id: str, body: bytes | None) -> ErrorReport | None:
        """Return the error of a run.

        Raises:
            StoreDamagedError: The column was changed.

        """
        if body is None:
            return None
        try:
            packed = _error_decoder.decode(self._seal.open(bytes(body), f"error of {run_id}"))
            return _whole(packed.error, packed.details)
        except (ValueError, TypeError) as problem:
            message = f"the store is damaged: error of {run_id}: {problem}"
            raise StoreDamagedError(message) from None

    def pack_outcome(self, result: RunResult | StoredOutcome) -> bytes:
        """Return the column ``outcome`` of a run."""
        return msgspec.msgpack.encode(
            StoredOutcome(
                result.duration_ms,
                result.usage,
                result.confinement,
                result.versions,
                result.children,
            )
        )

    def unpack_outcome(self, run_id: str, body: bytes) -> StoredOutcome:
        """Return the fields of the result of a run.

        Raises:
            StoreDamagedError: The column was changed.

        """
        try:
            return _outcome_decoder.decode(bytes(body))
        except ValueError as error:
            raise StoreDamagedError(f"the store is damaged: outcome of {run_id}: {error}") from None


def encoded(value: Any) -> bytes:
    """Return a value of a state as msgpack; the engine may have encoded it already."""
    return bytes(value) if isinstance(value, msgspec.Raw) else encode_state(value)


def _bare(error: ErrorReport | None) -> tuple[ErrorReport | None, bytes | None]:
    if error is None or error.details is None:
        return error, None
    return msgspec.structs.replace(error, details=None), encoded(error.details)


def _whole(error: ErrorReport | None, details: bytes | None) -> ErrorReport | None:
    if error is None or details is None:
        return error
    return msgspec.structs.replace(error, details=copy_state(details))


def _place_of_event(run_id: str, seq: int) -> str:
    return f"event {seq} of {run_id}"


def _place_of_record(run_id: str, number: int) -> str:
    return f"record {number} of {run_id}"
