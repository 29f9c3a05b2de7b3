"""The share of the relay's time that one run can take by new connections and questions for names.

Each takes the relay some hundredths of a millisecond, and a job can make them faster than that.  A run
above its share waits in its own network: the kernel keeps connections and questions for it.
"""

from __future__ import annotations

import select
from typing import Final

from engine.network.relay.loop import Handler, Loop

UNITS_IN_A_SECOND: Final = 2_000
"""Connections and questions of a run in a second: the relay needs about a tenth of a second for them."""
MOST_UNITS: Final = 1_000
"""Most that a run can have at once, after it had few for some time."""
PAUSE_S: Final = 0.05


class Share:
    """The share of a run."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._left = float(MOST_UNITS)
        self._counted_at = loop.now
        self._paused: dict[int, Handler] = {}

    def take(self) -> bool:
        """Take a unit; return False if none is left."""
        gained = (self._loop.now - self._counted_at) * UNITS_IN_A_SECOND
        self._left = min(MOST_UNITS, self._left + gained)
        self._counted_at = self._loop.now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def pause(self, fd: int, handler: Handler) -> None:
        """Do not look whether there is something to read, for a moment."""
        self._loop.change(fd, 0, handler)
        if not self._paused:
            self._loop.call_in(PAUSE_S, self._go_on)
        self._paused[fd] = handler

    def _go_on(self) -> None:
        paused, self._paused = self._paused, {}
        for fd, handler in paused.items():
            if self._loop.is_handled_by(fd, handler):  # it may be closed by now
                self._loop.change(fd, select.EPOLLIN, handler)
