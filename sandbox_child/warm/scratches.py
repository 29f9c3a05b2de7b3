"""Scratch directories for the forks of warm zygotes, which have no right to mount.

A warm zygote has a directory of its own while it imports adaptors, as a run would have.  After that it
must be empty, and it becomes read-only, so that it connects no runs.  Each fork begins in a mount
namespace of its own, and the clean zygote enters it for the time of the mount.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox_child.confine import scratch
from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.mounts import NEW_NS
from sandbox_child.confine.task import SCRATCH_PLACE
from sandbox_child.confine.trees import RDONLY, restrict

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.warm.seen import Proc


class Scratches:
    """Mounts directories in the mount namespaces of other processes.

    Raises:
        OSError: This process cannot find its own mounts.

    """

    def __init__(self, proc: Proc) -> None:
        self._own = proc.mounts()

    def settle(self, pidfd: int, request: ConfinementRequest) -> str | None:
        """Make the directory of a warm zygote read-only; return why it cannot be, or nothing.

        Raises:
            OSError: The process is gone.

        """
        with self._inside(pidfd):
            if os.statvfs(SCRATCH_PLACE).f_ffree != scratch.most_files(request):
                return "it keeps files in its scratch directory while it is imported"
            place = os.open(SCRATCH_PLACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                restrict(place, RDONLY, recursive=False)
            finally:
                os.close(place)
        return None

    def mount(self, pidfd: int, request: ConfinementRequest) -> None:
        """Mount the directory of a fork.

        Raises:
            OSError: The fork is gone, or the kernel refused.

        """
        with self._inside(pidfd):
            scratch.mount(request)

    @contextmanager
    def _inside(self, pidfd: int) -> Iterator[None]:
        syscall("setns", pidfd, NEW_NS)
        try:
            yield
        finally:
            try:
                syscall("setns", self._own, NEW_NS)
            except OSError:
                os._exit(1)  # forks of this process must not begin among the mounts of another
