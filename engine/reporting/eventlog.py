"""The events of one run: appended by the supervisor, read by cursor from any thread.

Memory is bounded for any output of the child, even if the manager never polls.  Log events that
were polled make room first; without such events, new ones are dropped and counted.  Lifecycle
events are never dropped.  They only lose their states, and then say so (``redacted``).
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar, cast

import msgspec

from engine.reporting.decoded import DecodedStates
from protocol.codec import encode
from protocol.events import (
    REDACTED,
    AnyEvent,
    JobComplete,
    JobError,
    Log,
    WorkflowComplete,
    WorkflowError,
)
from protocol.limits import MAX_DETAILS_ITEMS, MAX_STATE_ITEMS
from protocol.report import ErrorReport
from protocol.state import decode_state

MAX_KEPT_LOGS: Final = 1 << 17
"""Most log events in memory, at about 400 bytes each."""

MAX_KEPT_STATE_BYTES: Final = 200_000_000
"""Most bytes of serialised states in events, and of errors of jobs."""

_SHORT_MESSAGE: Final = 1_000
_SHORT_STACK: Final = 5
"""Length of the message and of the stack that is kept of an error without room."""

_NOTHING: Final = sys.maxsize
"""The awaited number while no reader waits; an event never has this number."""

StateEvent = JobComplete | JobError | WorkflowComplete
TerminalEvent = WorkflowComplete | WorkflowError
_E = TypeVar("_E", bound=StateEvent)

_WITH_STATE: Final = frozenset({JobComplete, JobError, WorkflowComplete})
_TERMINAL: Final = frozenset({WorkflowComplete, WorkflowError})


class EventLog:
    """An append-only list of events, numbered from 1 without a gap."""

    def __init__(self, *, max_items: int = MAX_STATE_ITEMS) -> None:
        self.decoded = DecodedStates(max_items)
        lock = threading.Lock()
        self._lock = lock
        # A thread that is woken in vain takes time from the supervisor, because they share an
        # interpreter.
        self._came = threading.Condition(lock)
        self._over = threading.Condition(lock)
        self._awaited = _NOTHING
        """Readers wait only for events with a number above this."""
        self._events: list[AnyEvent | None] = []
        self._logs: deque[int] = deque()
        self._states: deque[tuple[int, int]] = deque()
        self._state_bytes = 0
        self._polled = 0
        self._ended = False
        self._closed = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def next_seq(self) -> int:
        """The number of the next event."""
        return len(self._events) + 1

    @property
    def ended(self) -> bool:
        """Whether the last event of the run is in the log."""
        return self._ended

    @property
    def closed(self) -> bool:
        """Whether the run is over and its child is gone."""
        return self._closed

    def append(self, event: AnyEvent, *, always: bool = False) -> bool:
        """Add an event; return False if it is a log event and the log is full.

        Args:
            event: An event with `next_seq` as its number.  Only the size of its state is counted,
                so the state must not keep other large objects alive.
            always: Add a log event in any case: for the few lines that report dropped lines.

        """
        with self._lock:
            kind = type(event)
            if kind is Log:
                if not always and not self._make_room_for_log():
                    return False
                self._logs.append(len(self._events))
            elif kind in _WITH_STATE:
                event = self._make_room_for_state(cast("StateEvent", event))
            self._events.append(event)
            self._ended = kind in _TERMINAL
            if len(self._events) > self._awaited or self._ended:
                self._wake_readers()
            if self._listeners:
                self._tell()
        return True

    def close(self) -> None:
        """Take note that the run is over, and wake all readers."""
        with self._lock:
            self._ended = self._closed = True
            self._wake_readers()
            self._over.notify_all()
            self._tell()

    def read(self, after: int | None, timeout_s: float | None) -> list[AnyEvent]:
        """Return the events with a number above *after* (None: above those read before).

        The call waits up to *timeout_s* seconds for the first of them, or for the end.
        """
        return [self._readable(event) for event in self.read_raw(after, timeout_s)]

    def read_raw(self, after: int | None, timeout_s: float | None) -> list[AnyEvent]:
        """Return events as `read` does, with their states as the child has encoded them."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            while True:
                # Computed again after each wait: another thread may have read meanwhile.
                start = self._polled if after is None else after
                if len(self._events) > start or self._ended:
                    break
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._awaited = min(self._awaited, start)
                self._came.wait(_bearable(left))
            events = [event for event in self._events[start:] if event is not None]
            if start < len(self._events):  # otherwise nothing was read
                self._polled = len(self._events)
        return events

    def peek_raw(self, after: int) -> list[AnyEvent]:
        """Return the events above *after* as `read_raw` does, but do not count them as read.

        An onlooker uses it: neither the reading nor the limits of the manager change.
        """
        with self._lock:
            return [event for event in self._events[after:] if event is not None]

    def _readable(self, event: AnyEvent) -> AnyEvent:
        """Return an event with its state and its details decoded from the bytes of the child."""
        if isinstance(event, JobError | WorkflowError) and event.error is not None:
            error = with_details(event.error)
            if error is not event.error:
                event = msgspec.structs.replace(event, error=error)
        if isinstance(event, StateEvent) and isinstance(event.state, msgspec.Raw):
            try:
                return self.decoded.into(event, event.state)
            except ValueError:  # too many items, or bytes that are not a state
                return without_state(event)
        return event

    def wait_closed(self, timeout_s: float | None) -> bool:
        """Wait until the run is over, up to *timeout_s* seconds; return whether it is over."""
        with self._lock:
            return self._over.wait_for(lambda: self._closed, _bearable(timeout_s))

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have *listener* called after every change; return a function that stops this."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return stop

    def _wake_readers(self) -> None:
        self._awaited = _NOTHING  # a reader that waits on sets it again
        self._came.notify_all()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _make_room_for_log(self) -> bool:
        if len(self._logs) < MAX_KEPT_LOGS:
            return True
        if self._logs[0] >= self._polled:
            return False
        self._events[self._logs.popleft()] = None
        return True

    def _make_room_for_state(self, event: StateEvent) -> StateEvent:
        size = _size_of(event)
        if not size:
            return event
        while self._states and self._state_bytes + size > MAX_KEPT_STATE_BYTES:
            index, freed = self._states[0]
            if index >= self._polled:
                # A final state stays, because it is kept for the result anyway.
                return event if isinstance(event, WorkflowComplete) else _lightened(event)
            self._states.popleft()
            self._state_bytes -= freed
            old = self._events[index]
            assert isinstance(old, StateEvent)
            if isinstance(old.state, msgspec.Raw):
                self.decoded.forget(old.state)
            self._events[index] = _lightened(old)
        self._states.append((len(self._events), size))
        self._state_bytes += size
        return event


def _bearable(timeout_s: float | None) -> float | None:
    """Return a timeout that a lock accepts: at most about 292 years."""
    return None if timeout_s is None else min(timeout_s, threading.TIMEOUT_MAX)


def without_state(event: _E) -> _E:
    """Return the event with its state replaced and `redacted` set."""
    return msgspec.structs.replace(event, state=REDACTED, redacted=True)


def _size_of(event: StateEvent) -> int:
    """Return the number of bytes that an event keeps of a child's message."""
    size = len(memoryview(event.state)) if isinstance(event.state, msgspec.Raw) else 0
    return size + len(encode(event.error)) if isinstance(event, JobError) else size


def _lightened(event: StateEvent) -> StateEvent:
    """Return an event without its state, and without the large parts of its error."""
    if isinstance(event.state, msgspec.Raw):
        event = without_state(event)
    if isinstance(event, JobError):
        error = event.error
        short = msgspec.structs.replace(
            error,
            message=error.message[:_SHORT_MESSAGE],
            stack=error.stack[:_SHORT_STACK],
            details=None,
        )
        return msgspec.structs.replace(event, error=short)
    return event


def with_details(report: ErrorReport | None) -> ErrorReport | None:
    """Return a report with its details decoded; they are kept as the bytes that the child sent."""
    if report is None or not isinstance(report.details, msgspec.Raw):
        return report
    try:
        details = decode_state(report.details, max_items=MAX_DETAILS_ITEMS)
    except ValueError:
        details = None
    return msgspec.structs.replace(report, details=details)
