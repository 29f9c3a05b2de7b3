"""Counts for monitoring."""

from __future__ import annotations

import threading
from collections import Counter


class Figures:
    """What a worker has done since it was started.  Any thread may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ends: Counter[str] = Counter()
        """The runs that have ended here, by the reason of their result."""
        self.takeovers = 0
        """The runs that another worker had begun before."""
        self.beats = 0
        self.fences = 0
        """How often the worker has fenced itself off."""
        self.flushes = 0
        self.flush_s = 0.0
        """Seconds that transactions took, together."""

    def ended(self, reason: str) -> None:
        """Count a run that has ended."""
        with self._lock:
            self.ends[reason] += 1

    def flushed(self, seconds: float, _parts: int) -> None:
        """Count a transaction."""
        self.flushes += 1
        self.flush_s += seconds
