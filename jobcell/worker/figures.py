"""Counts for monitoring."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from prometheus_client.metrics_core import HistogramMetricFamily

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the classes of transactions, in seconds."""


class Figures:
    """Counts the actions of a worker.  Any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ends: Counter[str] = Counter()
        """The runs that have ended here, by the reason of their result."""
        self.takeovers: int = 0
        """The runs that another worker had begun before."""
        self.beats = 0
        self.fences = 0
        """How often the worker has fenced itself off."""
        self._flushes = [0] * (len(BOUNDS_S) + 1)
        self._flush_s = 0.0

    def ended(self, reason: str) -> None:
        """Count a run that has ended."""
        with self._lock:
            self.ends[reason] += 1

    def took_over(self) -> None:
        """Count a run that another worker had begun."""
        with self._lock:
            self.takeovers += 1

    def flushed(self, seconds: float, _parts: int) -> None:
        """Count a transaction of events."""
        with self._lock:
            self._flushes[bisect_left(BOUNDS_S, seconds)] += 1
            self._flush_s += seconds

    @property
    def flushes(self) -> int:
        """The number of transactions of events."""
        return sum(self._flushes)

    def flush_histogram(self) -> HistogramMetricFamily:
        """Return the durations of transactions for a page of metrics."""
        from prometheus_client.core import HistogramMetricFamily

        with self._lock:
            counts, sum_s = list(accumulate(self._flushes)), self._flush_s
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        return HistogramMetricFamily(
            "jobcell_flush_seconds",
            "Seconds of a transaction that writes events and records.",
            buckets=list(zip(bounds, counts, strict=True)),
            sum_value=sum_s,
        )
