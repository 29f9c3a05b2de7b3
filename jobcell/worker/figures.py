"""Counts for monitoring."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from jobcell.telemetry import Sample, Tally, measures

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Record = Callable[[Iterable[Sample]], None]


class Figures:
    """Counts the actions of a worker.  Any thread may count.

    Args:
        record: Gets the values of a histogram as they come; None: nothing does.

    """

    def __init__(self, record: Callable[[], Record | None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._record = record
        self._tally = Tally((measures.RUNS, measures.FLUSH))
        self.takeovers: int = 0
        """The runs that another worker had begun before."""
        self.beats: int = 0
        self.fences: int = 0
        """How often the worker has fenced itself off."""

    def ended(self, reason: str) -> None:
        """Count a run that has ended."""
        self._tally.add(measures.RUNS, 1, reason)

    def took_over(self) -> None:
        """Count a run that another worker had begun."""
        with self._lock:
            self.takeovers += 1

    def flushed(self, seconds: float, _parts: int) -> None:
        """Count a transaction of events."""
        self._tally.add(measures.FLUSH, seconds)
        record = self._record()
        if record is not None:
            record([Sample(measures.FLUSH, seconds)])

    @property
    def flushes(self) -> int:
        """The number of transactions of events."""
        return self._tally.count(measures.FLUSH)

    def samples(self) -> Iterable[Sample]:
        """Return the counts."""
        for reason in measures.REASONS:
            yield Sample(
                measures.RUNS, self._tally.total(measures.RUNS, reason), {"reason": reason}
            )
        yield Sample(measures.TAKEOVERS, self.takeovers)
        yield Sample(measures.BEATS, self.beats)
        yield Sample(measures.FENCES, self.fences)

    def families(self) -> Iterable[Metric]:
        """Return the histograms for a page of metrics."""
        return self._tally.families((measures.FLUSH,))
