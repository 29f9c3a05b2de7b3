"""How long a worker may go on without its store, and which other workers are dead.

Both are pure: each method takes the time from its caller. The clocks of different machines are never
compared.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

FENCE: Final = 0.7
"""Share of the dead-time after which a worker without its store kills its own children."""

GAP: Final = 0.5
"""Share of the dead-time.  After a longer pause of its own beats, a worker observes all others anew: the
store may have been away for all of them."""


def clock_s() -> float:
    """Return seconds of a clock that never goes back, and goes on while the machine is suspended.

    See clock_gettime(2): ``CLOCK_MONOTONIC`` stops during a suspension, so a worker would not notice
    that others have taken its runs.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """The right of a worker to go on with its runs, which each successful beat renews.

    Args:
        dead_s: Seconds without a beat after which other workers take this one for dead.
        now_s: The time.

    """

    def __init__(self, dead_s: float, now_s: float) -> None:
        self._fence_s = FENCE * dead_s
        self._renewed_s = now_s

    def renew(self, started_s: float) -> None:
        """Take note of a beat that has succeeded.

        Args:
            started_s: When the beat began: the others may have seen it at once.

        """
        self._renewed_s = max(self._renewed_s, started_s)

    @property
    def ends_s(self) -> float:
        """When the worker must fence itself off."""
        return self._renewed_s + self._fence_s

    def is_over(self, now_s: float) -> bool:
        """Return whether the worker must fence itself off."""
        return now_s >= self.ends_s


class Watch:
    """Finds the workers whose number of beats has not changed for the dead-time.

    Args:
        dead_s: The dead-time in seconds.

    """

    def __init__(self, dead_s: float) -> None:
        self._dead_s = dead_s
        self._seen: dict[str, tuple[int, float]] = {}
        """For each worker its beats, and when this number was seen first."""
        self._last_s: float | None = None

    def observe(self, started_s: float, ended_s: float, beats: Mapping[str, int]) -> dict[str, int]:
        """Take note of the beats of the other workers; return the dead ones with their beats.

        Args:
            started_s: When the own beat that has read them began.
            ended_s: When it ended.
            beats: The number of beats of each worker except this one.

        """
        if self._last_s is None or started_s - self._last_s > GAP * self._dead_s:
            self._seen.clear()
        self._last_s = ended_s
        before = self._seen
        self._seen = {
            worker: before[worker]
            if worker in before and before[worker][0] == number
            else (number, ended_s)
            for worker, number in beats.items()
        }
        return {
            worker: number
            for worker, (number, since_s) in self._seen.items()
            if started_s - since_s >= self._dead_s
        }

    def reset(self) -> None:
        """Forget everything: the store was away, or this worker did not run."""
        self._seen.clear()
        self._last_s = None

    @property
    def next_death_s(self) -> float | None:
        """When the first of the others would be dead; None without others."""
        if not self._seen:
            return None
        return min(since_s for _number, since_s in self._seen.values()) + self._dead_s
