"""Waits for descriptors, times and threads, and calls what waits for them.  It runs in a single thread."""

from __future__ import annotations

import heapq
import os
import select
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

Handler = Callable[[int], None]
"""Called with the events of `select.epoll`."""

_FOREVER: Final = -1.0
_MOST_EVENTS: Final = 256
_TIDY_AFTER: Final = 1_024
"""Number of new timers after which those that were cancelled are removed."""


class Timer:
    """A call at a later time."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call any more."""
        self._callback = None

    @property
    def cancelled(self) -> bool:
        """Whether it will not call any more."""
        return self._callback is None

    def fire(self) -> None:
        """Make the call, unless it was cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Loop:
    """The loop of events."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        """The time at which the events that are handled now were found."""
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_made = 0
        self._soon: deque[Callable[[], None]] = deque()
        self._leaving: list[socket.socket] = []
        self._from_threads: deque[Callable[[], None]] = deque()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.add(self._woken, select.EPOLLIN, self._read_threads)

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Call *handler* for these events of a descriptor; errors of it are always events."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int, handler: Handler) -> None:
        """Replace events and handler of a descriptor."""
        self._handlers[fd] = handler
        self._epoll.modify(fd, events)

    def is_handled_by(self, fd: int, handler: Handler) -> bool:
        """Whether the descriptor still has this handler."""
        return self._handlers.get(fd) is handler

    def close(self, end: socket.socket) -> None:
        """Close a socket at the end of this turn; its handler is not called any more.

        Until then no other socket can get its number, for which an event may already lie here.
        """
        if self._handlers.pop(end.fileno(), None) is not None:
            self._epoll.unregister(end.fileno())
        self._leaving.append(end)

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call *callback* once, later."""
        timer = Timer(callback)
        self._timers_made += 1
        if self._timers_made % _TIDY_AFTER == 0:
            self._timers = [entry for entry in self._timers if not entry[2].cancelled]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (self.now + seconds, self._timers_made, timer))
        return timer

    def soon(self, callback: Callable[[], None]) -> None:
        """Call *callback* in the next turn, after the events that are there by then."""
        self._soon.append(callback)

    def from_thread(self, callback: Callable[[], None]) -> None:
        """Call *callback* in the thread of the loop; any thread may ask for it."""
        self._from_threads.append(callback)
        os.eventfd_write(self._woken, 1)

    def turn(self) -> None:
        """Wait for events, and handle them."""
        soon, self._soon = self._soon, deque()
        events = self._epoll.poll(0 if soon else self._wait_s(), _MOST_EVENTS)
        self.now = time.monotonic()
        for fd, event in events:
            handler = self._handlers.get(fd)
            if handler is None:
                continue
            try:
                handler(event)
            except Exception:  # noqa: BLE001 - see `_fault`
                self._fault(fd)
        for callback in soon:
            self._call(callback)
        while self._timers and self._timers[0][0] <= self.now:
            self._call(heapq.heappop(self._timers)[2].fire)
        for end in self._leaving:
            end.close()
        self._leaving.clear()

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001 - see `_fault`
            self._fault(None)

    def _fault(self, fd: int | None) -> None:
        """Report an error of ours, and go on: a job must not find a way to end all other connections.

        The descriptor gives no further events, so that the error does not come again at once.
        """
        traceback.print_exc()
        if fd is not None and self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _wait_s(self) -> float:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else _FOREVER

    def _read_threads(self, events: int) -> None:  # noqa: ARG002 - the signature of a handler
        os.eventfd_read(self._woken)
        while self._from_threads:
            self._call(self._from_threads.popleft())
