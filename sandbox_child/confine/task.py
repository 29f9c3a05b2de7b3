"""What the layers of one child know of each other."""

from __future__ import annotations

import errno
from collections.abc import Collection

from protocol.confinement import ConfinementRequest
from sandbox_child.confine.kernel import Call

Ready = tuple[list[Call], str | None]
"""What a fork has to call to put a layer on, and the detail of its report."""


class Task:
    """One child that is being confined; every layer is handed it."""

    __slots__ = ("counts_alone", "keep_fds", "parent_pid", "request")

    def __init__(
        self, request: ConfinementRequest, *, parent_pid: int, keep_fds: Collection[int]
    ) -> None:
        self.request = request
        self.parent_pid = parent_pid
        self.keep_fds = keep_fds
        self.counts_alone = False
        """No process outside of this run counts towards this process's RLIMIT_NPROC."""


UNREADABLE = frozenset((errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP))
"""Errors of opening a path that only say that there is nothing to be read by this user."""


def errno_name(number: int | None) -> str:
    """Return ``EPERM`` for the number of that error."""
    if number == errno.EOPNOTSUPP:  # which has two names on Linux, and manuals use this one
        return "EOPNOTSUPP"
    return errno.errorcode.get(number or 0, str(number))


def explain(error: OSError) -> str:
    """Say which call failed and how, without a path: ``mount: EPERM``."""
    call = str(error.strerror).partition(":")[0]
    return f"{call}: {errno_name(error.errno)}"
