"""Control groups for long runs: entered late, by another thread than the supervisor's, and reused.

Making a group costs as much as a fork, and moving a process into it many times more, because the
kernel waits until no process forks or exits.  For a run that is over before, `RLIMIT_DATA` alone is
the limit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from engine.running.cgroup import RunCgroup

ENTER_AFTER_S: Final = 0.25
"""Age at which a run gets a group."""

Entered = Callable[[RunCgroup], None]


class Cgroups:
    """Groups, idle and in use, and the thread that does the slow work with them."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._idle: dict[int, list[RunCgroup]] = {}
        self._limits: dict[RunCgroup, int] = {}
        self._possible = True

    def enter(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        """Move a process into a group.

        If it works, *entered* is called in the thread of this object.
        """
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="jobcell-cgroups", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # a thread cannot be started; the other limits of memory still hold
            self._thread = thread
        self._requests.put(lambda: self._enter(pid, memory_bytes, entered))

    def leave(self, group: RunCgroup) -> None:
        """Take back the group of a run that is over and reaped."""
        self._requests.put(lambda: self._leave(group))

    def close(self) -> None:
        """Remove all groups; runs are over by then."""
        if self._thread is None:
            return
        self._requests.put(None)
        self._thread.join()
        for group in self._limits:
            group.remove()

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            request()
            del request  # it refers to a run, and the next one may be long in coming

    def _enter(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        group = self._take(memory_bytes)
        if group is None:
            return
        try:
            group.add(pid)
        except OSError:  # the process is already gone
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
        # If a child was gone before it could enter, another process may have its pid by now.
        group.evict()
        # The kernel never resets the counts of a group, such as that of kills.
        if group.oom_killed() or not group.reset_peak():
            del self._limits[group]
            group.remove()
            return
        self._idle.setdefault(self._limits[group], []).append(group)
