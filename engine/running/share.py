"""Limits the share of the supervisor's time that a child may take from the others.

A child decides how much it writes.  It is heard in short turns.  While other runs are going on, a
child that has used more than its share is not heard until the share has grown again.  Such a wait
is not the child's own delay, but its limits of time still hold, because they are the engine's.
"""

from __future__ import annotations

import time
from typing import Final

SLICE_S: Final = 0.000_5
"""Processor time of a turn.  A single message may take more, which is charged."""

SHARE: Final = 0.1
"""Part of the supervisor's time that a child may take permanently while others run."""

_SAVED_S: Final = 0.01
"""Processor time that a child can save up.  An ordinary run of ten steps, or a state of 10 MB,
takes less."""

PARTING_S: Final = 0.03
"""Processor time for the remaining output of a stopped child: about ten thousand lines."""

LONG_PARTING_S: Final = 2.0
"""The same for a child that was not stopped.  It is limited because, without walls, a process that
it left behind may go on writing."""


class Share:
    """The share of a child."""

    def __init__(self) -> None:
        self._saved = _SAVED_S
        self._since = 0.0

    def charge(self, used_s: float, now: float) -> float:
        """Charge *used_s* of processor time; return how long the child must wait.

        Args:
            used_s: Seconds of processor time.
            now: The time on the monotonic clock.

        """
        saved = min(_SAVED_S, self._saved + SHARE * (now - self._since)) - used_s
        # A child that runs alone may take all the time, and must not wait long for that later.
        self._saved = max(saved, -_SAVED_S)
        self._since = now
        return max(0.0, -self._saved / SHARE)


class Turn:
    """Processor time that this thread may use for a child before it serves the others.

    The clock of a thread costs a system call of some microseconds, ten times as much as the
    monotonic clock.  Processor time cannot pass faster than time.  So the first clock is read only
    when the turn may be over by the second.

    Args:
        seconds: Seconds of processor time.

    """

    def __init__(self, seconds: float) -> None:
        self._began = time.thread_time()
        self._seconds = seconds
        self._look_at = time.monotonic() + seconds

    @property
    def used_s(self) -> float:
        """Seconds of processor time that this thread has used since the turn began."""
        return time.thread_time() - self._began

    @property
    def over(self) -> bool:
        """Whether the turn is used up."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        left = self._seconds - self.used_s
        self._look_at = now + left
        return left <= 0
