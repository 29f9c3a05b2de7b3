"""Limits of a run that are lower than those of its warm zygote.

A fork of a warm zygote begins with the limits of that zygote.  It is hostile, so it is not asked to lower
them: the clean zygote does it, while the fork waits at the gate.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox_child.confine import rlimits

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.warm.seen import Proc


def limit(proc: Proc, pid: int, request: ConfinementRequest) -> None:
    """Lower the limits of another process to those of *request*, for good.

    Source: prlimit(2).

    Raises:
        OSError: The process is gone, or it has already more memory than the run may have.

    """
    with _as_user(*proc.user(pid)):
        for one, soft, hard in rlimits.lowered(request, pid):
            resource.prlimit(pid, one, (soft, hard))
    # A limit stops new memory only.  In a cold run the import itself would have met it.
    if proc.data_bytes(pid) > rlimits.data_bytes(request):
        raise OSError(errno.ENOMEM, "the import takes more memory than the run may have")


@contextmanager
def _as_user(uid: int, gid: int) -> Iterator[None]:
    """Have the real ids of a user for a moment.

    The kernel then lets this process set that user's limits also without CAP_SYS_RESOURCE, which root
    often lacks in a container.  The effective ids stay, and with them all rights, the signal of the
    parent, and who may look at this process.
    """
    own = os.getuid(), os.getgid()
    if own == (uid, gid):
        yield
        return
    try:
        os.setresgid(gid, -1, -1)
        os.setresuid(uid, -1, -1)
        yield
    finally:
        os.setresuid(own[0], -1, -1)
        os.setresgid(own[1], -1, -1)
