"""The control group of a run, where the engine may make groups: the exact limit of memory.

It counts every page of the run, its kernel memory included, and the kernel reports whether it
killed a process.  Without a group, RLIMIT_DATA in the child enforces the same limit a little less
exactly.

Source: cgroups(7), the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import signal
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path("/sys/fs/cgroup")

_count = itertools.count(1)


class RunCgroup:
    """The control group of a run.

    `create` makes it; `remove` it once the run's processes have been reaped.
    """

    def __init__(self, path: Path, *, unified: bool) -> None:
        self.path = path
        self.unified = unified
        """Whether it is of version 2, where a group has all controllers."""

    @classmethod
    def create(cls, run_id: str, memory_bytes: int) -> Self | None:
        """Make a group with this limit, or return None if that is not possible.

        None is normal for an ordinary user without a delegated group, in a container with a
        read-only file system, and on a machine without a memory controller.
        """
        _sweep_once()
        printable = re.sub(r"[^A-Za-z0-9-]", "_", run_id)[:40]
        name = f"jobcell-{os.getpid()}-{next(_count)}-{printable}"
        for parent, unified in _parents():
            path = parent / name
            try:
                path.mkdir()
            except OSError:
                continue
            group = cls(path, unified=unified)
            try:
                group._limit(memory_bytes)
            except OSError:
                group.remove()
                continue
            return group
        return None

    def _limit(self, memory_bytes: int) -> None:
        if self.unified:
            self._write("memory.max", memory_bytes)
            self._write_if_there("memory.swap.max", 0)
            self._write_if_there("memory.oom.group", 1)
        else:
            self._write("memory.limit_in_bytes", memory_bytes)
            self._write_if_there("memory.memsw.limit_in_bytes", memory_bytes)

    def add(self, pid: int) -> None:
        """Move a process into the group.

        Memory that it has already taken stays charged to its old group.

        Raises:
            OSError: The process has gone, or may not be moved.

        """
        self._write("cgroup.procs", pid)

    def evict(self) -> None:
        """Move the remaining processes of the group back into its parent."""
        for pid in self._read("cgroup.procs").split():
            with contextlib.suppress(OSError):
                (self.path.parent / "cgroup.procs").write_text(pid)

    def oom_killed(self) -> bool:
        """Return whether the kernel has killed a process of the group at its limit."""
        name = "memory.events" if self.unified else "memory.oom_control"
        return any(
            line.startswith("oom_kill ") and line.split()[1] != "0"
            for line in self._read(name).splitlines()
        )

    def peak_bytes(self) -> int:
        """Return the largest memory of the group so far; 0 if the kernel does not count it."""
        text = self._read("memory.peak" if self.unified else "memory.max_usage_in_bytes")
        return int(text) if text.strip().isdecimal() else 0

    def reset_peak(self) -> bool:
        """Reset the peak for another run; return False if the kernel cannot do that.

        Version 2 cannot: there a reset only affects reads through the descriptor that it was
        written to (cgroup-v2.rst on memory.peak).
        """
        if self.unified:
            return False
        try:
            self._write("memory.max_usage_in_bytes", 0)
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Send SIGKILL to every process of the group."""
        if self.unified:
            try:
                self._write("cgroup.kill", 1)
            except OSError:
                pass  # before Linux 5.14
            else:
                return
        for pid in self._read("cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def remove(self) -> bool:
        """Remove the group; return False if a process is still in it."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _write(self, name: str, value: int) -> None:
        # A single write, as the kernel demands, and never a new file.
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)

    def _write_if_there(self, name: str, value: int) -> None:
        with contextlib.suppress(OSError):
            self._write(name, value)

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text()
        except OSError:
            return ""


@functools.cache
def _sweep_once() -> None:
    """Remove groups that killed engines have left; done once in each process."""
    for parent, _ in _parents():
        for path in parent.glob("jobcell-*-*"):
            pid = path.name.split("-")[1]
            if pid.isdecimal() and not Path("/proc", pid).exists():
                # rmdir refuses to remove a group with a process in it.
                with contextlib.suppress(OSError):
                    path.rmdir()


def _parents() -> list[tuple[Path, bool]]:
    """Return the directories that may have a new group: the engine's own group, or its parent."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    parents = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        below = path.lstrip("/")
        if "memory" in controllers.split(","):
            parents.append((ROOT / "memory" / below, False))
        elif not controllers:
            for mount in (ROOT, ROOT / "unified"):
                own = mount / below
                # Version 2 keeps processes and groups apart, so the engine's own group can seldom
                # have a group below it.  A manager with a delegated tree leaves room beside it.
                candidates = [own] if own == mount else [own, own.parent]
                parents += [(group, True) for group in candidates if _has_memory(group)]
    return parents


def _has_memory(group: Path) -> bool:
    try:
        return "memory" in (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
