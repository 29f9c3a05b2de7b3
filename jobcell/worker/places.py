"""The places of a worker: which runs it has claimed, and when it looks for more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

SHORTEST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25
"""Pauses between two looks into an empty queue; each is longer than the one before."""

FEW: Final = 8
"""Number of workers that look that often.  More workers take turns, and together look no more often."""

RAREST_S: Final = 5.0
"""Longest pause between two looks, however many workers there are."""

SHORT_S: Final = 0.5
"""Average duration of runs below which a worker claims more runs than it has places, so that a place is never
empty while DBOS claims."""

AHEAD: Final = 2
"""Number of claimed runs for each place that wait.  If places become free together, each of them needs a run at once,
and the next claim takes some time."""

MOST_WAITING: Final = 16
"""Largest number of claimed runs that wait for a place."""

CALM: Final = 1 / 6
"""Share of the average duration of runs that a claim ahead waits after a turn, when the next runs take the processor
to begin."""

_GROWTH: Final = 1.5
_WEIGHT: Final = 0.2
"""Weight of the last run in the average."""


class Places:
    """Counts the claimed runs, and makes the thread that claims wait.  Any thread may use it.

    Args:
        number: Number of runs at once.
        ahead: Whether short runs are claimed ahead.

    """

    def __init__(self, number: int, *, ahead: bool = True) -> None:
        self.number = number
        self._ahead = ahead
        self._average_s: float | None = None
        self._workers = 1
        self._changed = threading.Condition()
        self._claimed: dict[str, None] = {}  # in the order of their claims
        self._turns: dict[str, None] = {}  # those whose child is not gone
        self._is_open = False
        self._woken = False
        self._pause_s = SHORTEST_PAUSE_S

    def open(self) -> None:
        """Let runs be claimed."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let no run be claimed."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def shared_by(self, workers: int) -> None:
        """Take note of the number of workers that look into the same queue."""
        self._workers = workers

    def share(self, pause_s: float) -> float:
        """Return a pause between two looks that is so long that all workers together do not look too often."""
        return min(max(RAREST_S, pause_s), pause_s * max(1.0, self._workers / FEW))

    @property
    def is_open(self) -> bool:
        """Whether runs may be claimed."""
        return self._is_open

    @property
    def free(self) -> int:
        """The number of runs that may be claimed now."""
        with self._changed:
            return self._free()

    @property
    def taken(self) -> int:
        """The number of claimed runs."""
        return len(self._claimed)

    def take(self, run_ids: Iterable[str]) -> None:
        """Take note of claimed runs."""
        with self._changed:
            before = len(self._claimed)
            claimed = dict.fromkeys(run_ids)
            self._claimed.update(claimed)
            self._turns.update(claimed)
            if len(self._claimed) > before:
                self._pause_s = SHORTEST_PAUSE_S
                self._woken = True

    def wait_turn(self, run_id: str, is_over: Callable[[], bool]) -> None:
        """Wait until a claimed run has a place, in the order of the claims.

        Args:
            run_id: The run.
            is_over: Returns whether not to wait any longer.

        """
        with self._changed:
            while not (is_over() or self._has_place(run_id)):
                self._changed.wait(LONGEST_PAUSE_S)

    def _has_place(self, run_id: str) -> bool:
        if run_id not in self._turns:
            return True
        return run_id in islice(self._turns, self.number)

    def has_place(self, run_id: str) -> bool:
        """Return whether a claimed run need not wait for its turn."""
        with self._changed:
            return self._has_place(run_id)

    def leave(self, run_id: str) -> bool:
        """Take note that the child of a run is gone: its place is free, while its end is written.

        Returns:
            Whether each place has another run, or gets it now.

        """
        with self._changed:
            if self._turns.pop(run_id, self) is None:
                self._changed.notify_all()
            return len(self._turns) >= self.number

    def measured(self, seconds: float) -> None:
        """Take note of the duration of a run that has ended."""
        with self._changed:
            before = seconds if self._average_s is None else self._average_s
            self._average_s = before + _WEIGHT * (seconds - before)

    def give_back(self, run_id: str) -> None:
        """Take note that a run is over, or is another worker's."""
        with self._changed:
            self._claimed.pop(run_id, None)
            self._turns.pop(run_id, None)
            self._woken = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Have the queue looked at now, because it has new runs."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def claimed(self) -> set[str]:
        """Return the ids of the claimed runs."""
        with self._changed:
            return set(self._claimed)

    def wait(self) -> int:
        """Wait until it is time to look into the queue; return the number of runs to claim at most.

        The call returns 0 after a while, so that its thread can notice that the worker ends.
        """
        with self._changed:
            if not self.has_room:
                if not self._changed.wait_for(lambda: self.has_room, LONGEST_PAUSE_S):
                    return 0
                self._wait_for_calm()
                return self._free()
            if not self._woken:
                # A place that becomes free while another one is waiting does not change anything.
                self._changed.wait_for(lambda: self._woken or not self._is_open, self._pause_s)
                self._pause_s = min(self.share(LONGEST_PAUSE_S), _GROWTH * self._pause_s)
            self._woken = False
            self._wait_for_calm()
            return self._free()

    def _wait_for_calm(self) -> None:
        """Wait while the runs begin that have just got a place, unless a place is empty."""
        if self._waiting() and self._average_s is not None:
            self._changed.wait_for(
                lambda: len(self._turns) < self.number or not self._is_open,
                CALM * self._average_s,
            )

    def _waiting(self) -> int:
        """Return the number of runs that may wait for a place."""
        is_short = self._average_s is not None and self._average_s < SHORT_S
        return min(AHEAD * self.number, MOST_WAITING) if self._ahead and is_short else 0

    def _free(self) -> int:
        room = self.number + self._waiting() - len(self._claimed)
        return max(0, room) if self._is_open else 0

    @property
    def has_room(self) -> bool:
        """Return whether to claim: of runs that wait, several at once."""
        return self._free() > self._waiting() // 2
