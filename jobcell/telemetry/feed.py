"""Follows the runs of an engine in a thread of its own, and passes their events to sinks.

The supervisor only notes that a run has changed. A sink that is slow, or that waits for a collector, delays
no run. Events carry their times, so it does not matter when they are read.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from engine import AnyEvent, Beginning, Engine, Run, Trace
from engine.reporting import Ending, on_change, outcome_of, peek_events

log: logging.Logger = logging.getLogger("jobcell.telemetry")

PAUSE_S: Final = 0.1
"""Seconds for which changes are collected: a thread that wakes for each event takes time from runs."""

MOST_BEHIND: Final = 10_000
"""Most runs that are over and wait to be read; further runs are not followed."""

CLOSE_S: Final = 5.0


class RunSink(Protocol):
    """Takes the events of one run, in the thread of the feed."""

    @property
    def trace(self) -> Trace | None:
        """The trace for the jobs of the run; None: that of the caller."""

    def take(self, event: AnyEvent) -> None:
        """Take an event.  Its state is not decoded, and is nobody's business here."""

    def end(self, ending: Ending | None, duration_ms: int) -> None:
        """Take note of the end; without an ending, the run is not followed any longer."""


class Sink(Protocol):
    """Makes a sink for each run."""

    def begin(self, beginning: Beginning, begun_s: float) -> RunSink:
        """Return the sink of a run that is about to be queued."""


class Feed:
    """An observer of an engine: add it with `Engine.observe`.

    Args:
        sinks: They get the events.
        pause_s: See `PAUSE_S`.

    """

    def __init__(self, sinks: Sequence[Sink], *, pause_s: float = PAUSE_S) -> None:
        self._sinks = sinks
        self._pause_s = pause_s
        self._changed: deque[_Followed] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._followed: set[_Followed] = set()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stop_observing: list[Callable[[], None]] = []
        self.dropped: int = 0
        """The number of runs that were not followed, because too many waited to be read."""

    def observe(self, engine: Engine) -> None:
        """Follow the runs of an engine from now on."""
        self._stop_observing.append(engine.observe(self))

    # --- in the thread of `Engine.execute` ---

    def begin(self, beginning: Beginning) -> _Followed | None:
        """See `engine.Observer`."""
        if self._closed:
            return None
        if len(self._changed) >= MOST_BEHIND:
            if not self.dropped:
                log.warning("telemetry is too slow; runs are not followed until it has caught up")
            self.dropped += 1
            return None
        begun_s = time.time()
        sinks = [sink.begin(beginning, begun_s) for sink in self._sinks]
        return _Followed(self, sinks)

    def add(self, followed: _Followed) -> None:
        """Take a run that was queued."""
        with self._lock:
            self._followed.add(followed)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="jobcell-telemetry", daemon=True
                )
                self._thread.start()
                _living.add(self)

    # --- in the supervisor's thread ---

    def note(self, followed: _Followed) -> None:
        """Take note that a run has changed; this returns at once."""
        self._changed.append(followed)
        self._wake.set()

    # --- its own thread ---

    def _work(self) -> None:
        while True:
            self._wake.wait()
            if not self._closed:
                self._hurry.wait(self._pause_s)
            self._wake.clear()
            self._read_all()
            with self._lock:
                if not self._changed:
                    self._hurry.clear()
                    self._idle.notify_all()
                    if self._closed:
                        break
        with self._lock:
            left, self._followed = self._followed, set()
        for followed in left:
            followed.leave()

    def _read_all(self) -> None:
        for _ in range(len(self._changed)):
            followed = self._changed.popleft()
            if followed.read():
                with self._lock:
                    self._followed.discard(followed)

    # --- any thread ---

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until the sinks have all events that there are now; return whether they have."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                return True
            self._hurry.set()
            self._wake.set()
            return self._idle.wait_for(lambda: not self._hurry.is_set(), timeout_s)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Pass on all events that there are, and end; runs that go on are not followed any longer."""
        for stop in self._stop_observing:
            stop()
        self._stop_observing.clear()
        self._closed = True
        with self._lock:
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        self._hurry.set()
        self._wake.set()
        thread.join(timeout_s)


class _Followed:
    """A run that a feed follows."""

    def __init__(self, feed: Feed, sinks: Sequence[RunSink]) -> None:
        self._feed = feed
        self._sinks = [*sinks]
        self._run: Run | None = None
        self._cursor = 0
        self._last: AnyEvent | None = None
        self._noted = False
        self._stop: Callable[[], None] | None = None

    @property
    def trace(self) -> Trace | None:
        """See `engine.Watch`."""
        return next((sink.trace for sink in self._sinks if sink.trace is not None), None)

    def follow(self, run: Run) -> None:
        """See `engine.Watch`."""
        self._run = run
        self._feed.add(self)
        self._stop = on_change(run, self._change)
        self._change()

    def drop(self) -> None:
        """See `engine.Watch`."""
        self._each(lambda sink: sink.end(None, 0))

    def _change(self) -> None:
        if not self._noted:
            self._noted = True
            self._feed.note(self)

    def read(self) -> bool:
        """Pass on the new events; return whether the run is over."""
        run = self._run
        if run is None:
            return True
        self._noted = False
        outcome = outcome_of(run)  # before the events: afterwards no event comes
        for event in peek_events(run, self._cursor):
            self._cursor = event.seq
            self._each(lambda sink, event=event: sink.take(event))  # type: ignore[misc]
        if outcome is None:
            return False
        self._each(lambda sink: sink.end(outcome.ending, outcome.duration_ms))
        self._let_go()
        return True

    def leave(self) -> None:
        """Follow the run no longer, although it goes on."""
        self._each(lambda sink: sink.end(None, 0))
        self._let_go()

    def _let_go(self) -> None:
        if self._stop is not None:
            self._stop()
        self._stop = self._run = None

    def _each(self, call: Callable[[RunSink], None]) -> None:
        """Call each sink; one that raises gets nothing more of this run."""
        for sink in [*self._sinks]:
            try:
                call(sink)
            except Exception:
                log.exception("telemetry of a run has failed")
                self._sinks.remove(sink)


_living: Final[weakref.WeakSet[Feed]] = weakref.WeakSet()


def _close_all() -> None:
    for feed in [*_living]:
        feed.close()


atexit.register(_close_all)
