"""How much of the supervisor's time one child may take, so that the others have theirs.

A child decides how much it writes.  It is heard in short turns; and while other runs are going on, a child
that has used more than its share is not heard until the share has grown again.  A child that waits this
way is not late by its own fault, but its limits of time hold all the same: they are the engine's.
"""

from __future__ import annotations

import time
from typing import Final

SLICE_S: Final = 0.000_5
"""Processor time of one turn.  A single message may take more; it is charged."""

SHARE: Final = 0.1
"""Part of the supervisor's time that one child may take for long while others run."""

_SAVED_S: Final = 0.01
"""Processor time that a child may have saved up: an ordinary run of ten steps, or a state of 10 MB, takes less."""

PARTING_S: Final = 0.03
"""Processor time for what a child has left behind that was stopped: some ten thousand lines."""

LONG_PARTING_S: Final = 2.0
"""The same of a child that was not stopped.  Without walls it may have left a process behind that writes on."""


class Share:
    """Of one child."""

    def __init__(self) -> None:
        self._saved = _SAVED_S
        self._since = 0.0

    def charge(self, used_s: float, now: float) -> float:
        """Take note that *used_s* of processor time was used; return how long the child must wait.

        Args:
            used_s: Seconds.
            now: On the monotonic clock.

        """
        saved = min(_SAVED_S, self._saved + SHARE * (now - self._since)) - used_s
        # While it runs alone a child may take all the time: it is not to wait long for that later.
        self._saved = max(saved, -_SAVED_S)
        self._since = now
        return max(0.0, -self._saved / SHARE)


class Turn:
    """Processor time that this thread may use for one child before the others have theirs.

    The clock of a thread costs a system call, some microseconds; the monotonic clock costs a tenth of
    that.  No more processor time than time can pass, so the first is read only when the second says
    that the turn may be over.

    Args:
        seconds: Of processor time.

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
        """Whether all of the turn is used."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        left = self._seconds - self.used_s
        self._look_at = now + left
        return left <= 0
