"""The thread for all children of an engine: it starts, feeds, reads, times and stops them.

It lives as long as the engine, because a child dies with the thread that started it
(PR_SET_PDEATHSIG, prctl(2)). It never waits for a single child: slow work is done by the child, by
the caller, or in a thread of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import heapq
import itertools
import logging
import os
import select
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Final

from engine.api import EngineError
from engine.running.cgroup import RunCgroup
from engine.running.cgroups import Cgroups, Entered
from engine.running.host import Owner, Owning
from engine.running.lane import Lane
from engine.running.places import Places
from engine.running.room import Room
from engine.start import Starter, StartKind

_log = logging.getLogger("jobcell")

CLOSED: Final = "the engine was closed"
_MAX_WAIT_S: Final = 3600.0


class Supervisor:
    """Runs at most *max_runs* lanes at once; the others wait, first in, first out."""

    def __init__(
        self, starter: Starter, *, max_runs: int, starts: Counter[StartKind] | None = None
    ) -> None:
        self._starter = starter
        self._places = Places(max_runs)
        self._starts: Counter[StartKind] = Counter() if starts is None else starts
        """The children of runs, by the way in which they came about.  Any thread may read it."""
        self._posted: deque[tuple[Callable[[], None], Owner | None]] = deque()
        self._callbacks: dict[int, tuple[Callable[[int], None], Owner | None]] = {}
        self._again: deque[tuple[Callable[[], None], Owner | None]] = deque()
        self.turn = 0
        """The number of the loop's round; in each round, every child is heard once."""
        self._timers: list[tuple[float, int, Callable[[], None], Owner | None]] = []
        self._numbers = itertools.count()
        self._closing = False
        self._retired = False
        self._ended = False
        """Whether the thread has ended; later callbacks may never be called."""
        self._pid = os.getpid()
        self._cgroups = Cgroups()
        self._room = Room(lambda when: self.call_at(when, _look_again))
        self._wake_fd = -1
        try:
            self._epoll = select.epoll()
            self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise EngineError(f"the engine could not be started: {error.strerror}") from error
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        self._thread = threading.Thread(
            target=self._supervise, name="jobcell-supervisor", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:
            raise EngineError(f"the engine could not be started: {error}") from error
        _living.add(self)

    def __del__(self) -> None:
        # Only now, because a later post would write to another file with the same number.
        if self._wake_fd >= 0:
            os.close(self._wake_fd)

    # --- from any thread ---

    def post(self, callback: Callable[[], None], owner: Owner | None = None) -> None:
        """Have *callback* called by the supervisor.

        It takes no lock, and so is safe in a signal handler.

        Args:
            callback: A callable.
            owner: The lane that ends if *callback* raises; without it the error is only logged.

        """
        self._posted.append((callback, owner))
        os.eventfd_write(self._wake_fd, 1)

    def submit(self, lane: Lane) -> bool:
        """Queue a run; return False if the engine was closed meanwhile."""
        queue = partial(self._submit, lane)
        self.post(queue)
        if not self._ended:
            return True
        try:
            self._posted.remove((queue, None))
        except ValueError:
            return True  # the thread has taken this run as one of the last, and ends it
        return False

    def cancel(self, lane: Lane, reason: str) -> None:
        """Cancel a queued or running run; harmless if it is over."""
        self.post(partial(self._cancel, lane, reason))

    def close(self) -> None:
        """Cancel all runs, wait until they are over, and end the thread."""
        self.begin_close()
        # Daemon threads do not run any more while the interpreter ends.
        if threading.current_thread() is not self._thread and not sys.is_finalizing():
            self._thread.join()
            with contextlib.suppress(ValueError):  # a late callback would keep this object
                self._posted.remove((self._close, None))

    def begin_close(self) -> None:
        """Cancel all runs, without waiting."""
        if not self._ended:
            self.post(self._close)

    def retire(self) -> None:
        """Have the thread end when the last run is over, because no more runs can be submitted.

        The call neither waits nor takes a lock, so that a finaliser can use it.
        """
        self.post(self._retire)

    # --- for lanes and starters ---

    def watch(
        self, fd: int, mask: int, callback: Callable[[int], None], owner: Owner | None = None
    ) -> None:
        """See `Host.watch`."""
        if fd in self._callbacks:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
        self._callbacks[fd] = (callback, owner)

    def unwatch(self, fd: int) -> None:
        """See `Host.unwatch`."""
        if self._callbacks.pop(fd, None) is not None:
            with contextlib.suppress(OSError):  # it was closed, which unregisters it
                self._epoll.unregister(fd)

    def call_at(
        self, when: float, callback: Callable[[], None], owner: Owner | None = None
    ) -> None:
        """See `Watcher.call_at`."""
        heapq.heappush(self._timers, (when, next(self._numbers), callback, owner))

    def again(self, callback: Callable[[], None], owner: Owner | None = None) -> None:
        """See `Host.again`."""
        self._again.append((callback, owner))

    @property
    def crowded(self) -> bool:
        """See `Host.crowded`."""
        return self._places.running > 1

    def load(self) -> tuple[int, int]:
        """Return the numbers of runs that wait and that go on, from any thread."""
        return self._places.waiting, self._places.running

    def begins(self, kind: StartKind) -> None:
        """See `LaneHost.begins`."""
        self._starts[kind] += 1

    def ended(self, lane: Lane) -> None:
        """See `LaneHost.ended`."""
        self._places.ended(lane)
        self._room.freed()
        if not self._closing:
            self.post(self._starter.run_ended)  # after the next run in the queue was started

    def started(self, descriptor: int) -> None:
        """See `Host.started`."""
        self._room.started(descriptor)

    def lives(self) -> None:
        """See `Host.lives`."""
        self._room.lives()

    def wait_for_room(self, lane: Lane, number: int | None) -> bool:
        """See `LaneHost.wait_for_room`."""
        if self._closing or not self._room.refused(number, self._places.beside(lane)):
            return False
        self._places.add_first(lane)
        return True

    def start_again(self, lane: Lane) -> None:
        """See `LaneHost.start_again`."""
        self._places.add_first(lane)
        if self._closing:
            self._cancel(lane, CLOSED)

    def rest(self, lane: Lane) -> None:
        """See `LaneHost.rest`."""
        self._places.rest(lane)
        self._room.freed()
        if self._closing:
            self._cancel(lane, CLOSED)

    def withdraw(self, lane: Lane) -> None:
        """See `LaneHost.withdraw`."""
        if lane in self._places:
            self._places.remove(lane)

    def enter_cgroup(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        """See `Host.enter_cgroup`."""
        self._cgroups.enter(pid, memory_bytes, lambda group: self.post(lambda: entered(group)))

    def leave_cgroup(self, group: RunCgroup) -> None:
        """See `Host.leave_cgroup`."""
        self._cgroups.leave(group)

    # --- the thread ---

    def _supervise(self) -> None:
        self._starter.attach(self)
        while self._places or not (self._closing or self._retired):
            self.turn += 1
            for fd, mask in self._epoll.poll(self._wait_s()):
                self._dispatch(fd, mask)
            for _ in range(len(self._again)):  # callbacks added meanwhile wait for the next round
                self._guard(*self._again.popleft())
            while self._posted:
                self._guard(*self._posted.popleft())
            self._check_timers()
            # Only here: a descriptor that is made while events are handled could get the number,
            # and the events, of one that was just closed.
            self._fill()
        self._starter.close()
        self._cgroups.close()
        self._ended = True
        while self._posted:  # a group or a run that came too late
            self._guard(*self._posted.popleft())
        self._epoll.close()
        # These refer to the supervisor. Without them it is freed with its last user, and so is its
        # descriptor.
        self._timers.clear()
        self._callbacks.clear()
        del self._starter, self._room

    def _dispatch(self, fd: int, mask: int) -> None:
        # A function of its own, because the loop's variables would keep the last run while it
        # waits.
        if fd == self._wake_fd:
            os.eventfd_read(self._wake_fd)
            return
        watched = self._callbacks.get(fd)
        if watched is not None:  # an earlier callback may have dropped it
            self._guard(*watched, mask)

    def _wait_s(self) -> float:
        if self._posted or self._again:
            return 0.0
        if not self._timers:
            return _MAX_WAIT_S
        # epoll_wait(2) takes milliseconds in an int: about 24 days.
        return min(max(0.0, self._timers[0][0] - time.monotonic()), _MAX_WAIT_S)

    def _check_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, callback, owner = heapq.heappop(self._timers)
            self._guard(callback, owner)

    def _guard(
        self, callback: Callable[..., None], owner: Owner | None, *arguments: int | str
    ) -> None:
        """Keep a bug in the handling of a run from affecting other runs."""
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - the other runs go on
            lane = None if owner is None else owner()
            if lane is not None:
                self._abort(lane, error)
            else:
                _log.exception("internal error in the supervisor")

    def _abort(self, lane: Owning, error: Exception) -> None:
        _log.exception("internal error while supervising run %s", lane.run.id)
        lane.abort(error)

    def _submit(self, lane: Lane) -> None:
        self._places.add(lane)
        if self._closing:
            self._cancel(lane, CLOSED)

    def _fill(self) -> None:
        while not self._closing:
            lane = self._places.next()
            if lane is None or not self._room.may_start(self._places.beside(lane)):
                return
            self._places.start(lane)
            try:
                lane.start(self._starter)
            except Exception as error:  # noqa: BLE001 - reported as an error of the run
                self._abort(lane, error)

    def _cancel(self, lane: Lane, reason: str) -> None:
        self._guard(lane.cancel, lane.reference, reason)
        if lane in self._places:
            # The run never had a child, and must not wait for a free place to end.
            self._places.remove(lane)
            lane.start(self._starter)

    def _retire(self) -> None:
        self._retired = True

    def _close(self) -> None:
        self._closing = True
        for lane in self._places.all():
            self._cancel(lane, CLOSED)


_living: Final[weakref.WeakSet[Supervisor]] = weakref.WeakSet()


def _close_all() -> None:
    """Close open supervisors while threads still run, because later their runs could never end."""
    pid = os.getpid()
    mine = [supervisor for supervisor in [*_living] if supervisor._pid == pid]  # noqa: SLF001
    for supervisor in mine:
        supervisor.begin_close()
    for supervisor in mine:
        supervisor.close()


atexit.register(_close_all)


def _look_again() -> None:
    """Wake the loop, which fills free places in every round."""
