"""Control groups for runs that last: entered late, off the supervisor's thread, used again.

Making a group costs as much as a fork, and moving a process into one many times that: the kernel
waits until nobody forks or exits.  A run that is over before then is held by `RLIMIT_DATA` alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from engine.running.cgroup import RunCgroup

ENTER_AFTER_S: Final = 0.25
"""A run that has lasted so long gets a group."""

Entered = Callable[[RunCgroup], None]


class Cgroups:
    """Groups, idle and in use, and the one thread that does all that is slow with them."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._idle: dict[int, list[RunCgroup]] = {}
        self._limits: dict[RunCgroup, int] = {}
        self._possible = True

    def enter(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        """Move a process into a group; *entered* is called in the thread here, if it works."""
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="jobcell-cgroups", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # no thread can be had; the other limits of memory hold all the same
            self._thread = thread
        self._requests.put(lambda: self._enter(pid, memory_bytes, entered))

    def leave(self, group: RunCgroup) -> None:
        """Take back a group whose run is over and reaped."""
        self._requests.put(lambda: self._leave(group))

    def close(self) -> None:
        """Remove all groups; no run is left by then."""
        if self._thread is None:
            return
        self._requests.put(None)
        self._thread.join()
        for group in self._limits:
            group.remove()

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            request()

    def _enter(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        group = self._take(memory_bytes)
        if group is None:
            return
        try:
            group.add(pid)
        except OSError:  # it is gone already
            self._leave(group)
        else:
            entered(group)

    def _take(self, memory_bytes: int) -> RunCgroup | None:
        idle = self._idle.get(memory_bytes)
        if idle:
            return idle.pop()
        if not self._possible:
            return None
        group = RunCgroup.create("run", memory_bytes)
        if group is None:
            self._possible = False  # asking again for every run would only cost time
            return None
        self._limits[group] = memory_bytes
        return group

    def _leave(self, group: RunCgroup) -> None:
        # A child that was gone before it could enter has left its number to a stranger, perhaps.
        group.evict()
        # What the kernel counts in a group is never taken back, a kill least of all.
        if group.oom_killed() or not group.reset_peak():
            del self._limits[group]
            group.remove()
            return
        self._idle.setdefault(self._limits[group], []).append(group)
