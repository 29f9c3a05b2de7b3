"""The journal of a run that a worker has taken from a store."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from engine.api import Attempts, StepRecord
from jobcell.worker.beginning import Begun
from jobcell.worker.outbox import Outbox


class StoreJournal:
    """Keeps the records of one run in the store.

    Args:
        begun: The run, with the records of earlier workers.
        outbox: Writes the new ones.

    """

    keeps_events: Final = True
    """The end event of a step is written together with its record."""

    def __init__(self, begun: Begun, outbox: Outbox) -> None:
        self._begun = begun
        self._outbox = outbox

    def record(self, record: StepRecord) -> None:
        """Keep a record, and return when it is committed.

        Raises:
            StoreError: The run is not this worker's any more.

        """
        answered: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._outbox.record(record, answered.put)
        if (error := answered.get()) is not None:
            raise error

    def record_later(
        self, record: StepRecord, done: Callable[[BaseException | None], None]
    ) -> None:
        """Keep a record, and call *done* when it is committed; the engine prefers this to `record`."""
        self._outbox.record(record, done)

    def records(self) -> Iterable[StepRecord]:
        """Return the records of the workers before this one."""
        return self._begun.records

    def attempts(self) -> Mapping[str, Attempts]:
        """Return the attempts that earlier workers have begun."""
        return self._begun.attempts
