"""A control group for one run, where the engine may make one: the exact limit of memory.

It counts every page of the run, its kernel memory included, and the kernel says whether it killed.
Without one RLIMIT_DATA in the child holds the same limit a little less exactly.

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
    """The control group of one run.

    Made by `create`; `remove` it once the run's processes have been reaped.
    """

    def __init__(self, path: Path, *, unified: bool) -> None:
        self.path = path
        self.unified = unified
        """Version 2, where one group has all controllers."""

    @classmethod
    def create(cls, run_id: str, memory_bytes: int) -> Self | None:
        """Make a group with this limit, or return ``None`` where that is not possible.

        There is nothing to be done then and nothing wrong: an ordinary user without a delegated
        group, a container with a read-only file system, a machine without a memory controller.
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
        """Move a process in.  What it has already taken stays charged to where it was.

        Raises:
            OSError: It has gone, or may not be moved.

        """
        self._write("cgroup.procs", pid)

    def evict(self) -> None:
        """Move whatever is still in it back to where the group was made."""
        for pid in self._read("cgroup.procs").split():
            with contextlib.suppress(OSError):
                (self.path.parent / "cgroup.procs").write_text(pid)

    def oom_killed(self) -> bool:
        """Say whether the kernel has killed a process of the group at its limit."""
        name = "memory.events" if self.unified else "memory.oom_control"
        return any(
            line.startswith("oom_kill ") and line.split()[1] != "0"
            for line in self._read(name).splitlines()
        )

    def peak_bytes(self) -> int:
        """Return the most memory that the group has used at once; 0 where it is not counted."""
        text = self._read("memory.peak" if self.unified else "memory.max_usage_in_bytes")
        return int(text) if text.strip().isdecimal() else 0

    def reset_peak(self) -> bool:
        """Count the peak anew, for another run; return False where the kernel cannot do that.

        Version 2 cannot: there a reset only holds for who reads through the very descriptor that it
        was written to (cgroup-v2.rst on memory.peak).
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
        """Remove the group, and say whether it is gone: not while a process is in it."""
        try:
            self.path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _write(self, name: str, value: int) -> None:
        # One write, as the kernel wants it, and never a new file.
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
    """Remove the groups of engines that were killed before they could; for each process once."""
    for parent, _ in _parents():
        for path in parent.glob("jobcell-*-*"):
            pid = path.name.split("-")[1]
            if pid.isdecimal() and not Path("/proc", pid).exists():
                # One in which somebody still is stays: rmdir refuses.
                with contextlib.suppress(OSError):
                    path.rmdir()


def _parents() -> list[tuple[Path, bool]]:
    """Return where a group could be made: below the engine's own, or beside it."""
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
                # Version 2 keeps processes and groups apart, so that the engine's own group seldom
                # can have one below it; a manager that was delegated a tree leaves room beside it.
                candidates = [own] if own == mount else [own, own.parent]
                parents += [(group, True) for group in candidates if _has_memory(group)]
    return parents


def _has_memory(group: Path) -> bool:
    try:
        return "memory" in (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
