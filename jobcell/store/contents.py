"""Events, records and results as the bytes of their rows, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from engine.api import StepRecord
from engine.journal import decode_record, encode_record
from engine.reporting import (
    RunResult,
    decode_event,
    decode_result,
    encode_event,
    encode_result,
    state_of,
)
from jobcell.store.blobs import LARGE_BYTES, Blob, Blobs
from jobcell.store.errors import StoreDamagedError
from jobcell.store.seal import Seal
from protocol.events import AnyEvent
from protocol.state import encode_state

_T = TypeVar("_T")


class PackedEvent(NamedTuple):
    """The row of an event."""

    body: bytes
    blob: Blob | None
    """The state, if it is large; its key goes into the column ``state``."""


class PackedRecord(NamedTuple):
    """The row of a record."""

    step_run_id: str
    body: bytes
    blob: Blob
    """The state; its key goes into the column ``state``."""


class PackedResult(NamedTuple):
    """The result in the row of a run."""

    body: bytes
    """The column ``outcome``."""
    blob: Blob | None
    """The final state; its key goes into the column ``final_state``."""


class Contents:
    """Packs and unpacks the rows of runs.  Packing needs no connection.

    Args:
        seal: Encrypts.
        blobs: Names contents.

    """

    def __init__(self, seal: Seal, blobs: Blobs) -> None:
        self._seal = seal
        self._blobs = blobs

    def pack_event(self, event: AnyEvent) -> PackedEvent:
        """Return the row of an event, whose ``run_id`` and ``seq`` are those of the store."""
        state = state_of(event)
        is_large = state is not None and len(state) > LARGE_BYTES
        body = encode_event(event, with_state=not is_large)
        blob = self._blobs.name(state) if state is not None and is_large else None
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
        return self._unpack(place, body, lambda opened: decode_event(opened, state))

    def pack_record(self, run_id: str, number: int, record: StepRecord) -> PackedRecord:
        """Return the row of a record.

        Raises:
            ValueError: A value in it cannot be kept.

        """
        body = encode_record(msgspec.structs.replace(record, state=b""))
        place = _place_of_record(run_id, number)
        sealed = self._seal.close(body, place)
        return PackedRecord(record.step_run_id, sealed, self._blobs.name(bytes(record.state)))

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
        record = self._unpack(_place_of_record(run_id, number), body, decode_record)
        return msgspec.structs.replace(record, state=state)

    def pack_result(self, run_id: str, result: RunResult) -> PackedResult:
        """Return the result for the row of a run."""
        body = self._seal.close(encode_result(result, with_state=False), _place_of_result(run_id))
        blob = None if result.state is None else self._blobs.name(encode_state(result.state))
        return PackedResult(body, blob)

    def unpack_result(self, run_id: str, body: bytes, state: bytes | None) -> RunResult:
        """Return the result in the row of a run.

        Args:
            run_id: As in the row.
            body: The column ``outcome``.
            state: The content of the blob whose key is in the row; None if the row has none.

        Raises:
            StoreDamagedError: The row was changed.

        """
        place = _place_of_result(run_id)
        return self._unpack(place, body, lambda opened: decode_result(opened, state))

    def _unpack(self, place: str, body: bytes, decode: Callable[[bytes], _T]) -> _T:
        opened = self._seal.open(bytes(body), place)
        try:
            return decode(opened)
        except (ValueError, TypeError) as error:
            raise StoreDamagedError(f"the store is damaged: {place}: {error}") from None


def _place_of_event(run_id: str, seq: int) -> str:
    return f"event {seq} of {run_id}"


def _place_of_record(run_id: str, number: int) -> str:
    return f"record {number} of {run_id}"


def _place_of_result(run_id: str) -> str:
    return f"result of {run_id}"
