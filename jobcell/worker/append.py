"""The things that a run writes, packed for the store."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from engine.api import StepRecord
from jobcell.store.blobs import Blob
from jobcell.store.contents import PackedEvent, PackedRecord


class Last(msgspec.Struct, frozen=True):
    """The end of a run, as its row keeps it."""

    reason: str
    outcome: bytes
    """The result, without the final state."""
    final_state: Blob | None = None


class Append(msgspec.Struct, frozen=True):
    """New events, records and the end of a run."""

    run_id: str
    owner: str
    last_seq: int
    """The number of the last event that is written then."""
    events: tuple[tuple[int, PackedEvent], ...] = ()
    records: tuple[tuple[int, StepRecord, PackedRecord], ...] = ()
    was_lost: bool = False
    """Whether the run has lost workers since its last record."""
    last: Last | None = None

    def blobs(self) -> Iterable[Blob]:
        """Return the contents that its rows need."""
        for _seq, event in self.events:
            if event.blob is not None:
                yield event.blob
        for _number, _record, packed in self.records:
            yield packed.blob
        if self.last is not None and self.last.final_state is not None:
            yield self.last.final_state
