"""Calls a run when its next limit of time passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from engine.running.host import Host, Owning


class Sleeper(Owning, Protocol):
    """The run that is called."""

    def check(self) -> None:
        """Check the clock, the memory and the processor time."""

    def wake(self) -> None:
        """Have another child started, after a rest."""


class Alarm:
    """The timers of one run. They do not keep a run that is over. For the supervisor's thread."""

    def __init__(self, host: Host, reference: Callable[[], Sleeper | None]) -> None:
        self._host = host
        self._reference = reference
        self._armed_s = float("inf")

    def set(self, at_s: float) -> None:
        """Have `check` called at a time on the monotonic clock, unless it is called before that."""
        if at_s < self._armed_s:
            self._armed_s = at_s
            self._host.call_at(at_s, partial(_check, self._reference), self._reference)

    def clear(self) -> None:
        """Take note that earlier settings do not count: the next `set` does."""
        self._armed_s = float("inf")

    def wake_at(self, at_s: float) -> None:
        """Have `wake` called at a time on the monotonic clock."""
        self._host.call_at(at_s, partial(_wake, self._reference), self._reference)


def _check(reference: Callable[[], Sleeper | None]) -> None:
    sleeper = reference()
    if sleeper is not None:
        sleeper.check()


def _wake(reference: Callable[[], Sleeper | None]) -> None:
    sleeper = reference()
    if sleeper is not None:
        sleeper.wake()
