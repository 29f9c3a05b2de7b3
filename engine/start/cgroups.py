"""Control groups for runs, made once and used again: making one costs as much as a fork."""

from __future__ import annotations

from engine.confinement.cgroup import RunCgroup


class CgroupPool:
    """Control groups that no run is in, by memory limit.  For the supervisor's thread."""

    def __init__(self) -> None:
        self._idle: dict[int, list[RunCgroup]] = {}
        self._limits: dict[RunCgroup, int] = {}
        self._possible = True

    def take(self, memory_bytes: int) -> RunCgroup | None:
        """Return an empty group with this limit, or None where none can be made."""
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

    def give_back(self, group: RunCgroup) -> None:
        """Take back a group whose run is over and reaped."""
        # What the kernel counts in a group is never taken back, a kill least of all.
        if group.oom_killed() or not group.reset_peak():
            del self._limits[group]
            group.remove()
            return
        self._idle.setdefault(self._limits[group], []).append(group)

    def close(self) -> None:
        """Remove all groups."""
        for group in self._limits:
            group.remove()
        self._limits.clear()
        self._idle.clear()
