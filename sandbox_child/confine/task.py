"""The facts that the layers of a child share."""

from __future__ import annotations

import errno
from collections.abc import Collection

from protocol.confinement import ConfinementRequest
from sandbox_child.confine.kernel import Call

Ready = tuple[list[Call], str | None]
"""The calls that put a layer on a fork, and the detail of its report."""


class Task:
    """A child that is being confined; every layer gets this object."""

    __slots__ = ("counts_alone", "keep_fds", "parent_pid", "request")

    def __init__(
        self, request: ConfinementRequest, *, parent_pid: int, keep_fds: Collection[int]
    ) -> None:
        self.request = request
        self.parent_pid = parent_pid
        self.keep_fds = keep_fds
        self.counts_alone = False
        """Whether RLIMIT_NPROC of this process counts processes of this run only."""


UNREADABLE = frozenset((errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP))
"""Errors of opening a path that only mean that this user cannot read it."""


def errno_name(number: int | None) -> str:
    """Return the name of an error number, such as ``EPERM``."""
    if number == errno.EOPNOTSUPP:  # which has two names on Linux, and manuals use this one
        return "EOPNOTSUPP"
    return errno.errorcode.get(number or 0, str(number))


def explain(error: OSError) -> str:
    """Return the call that failed and its error, without a path: ``mount: EPERM``."""
    call = str(error.strerror).partition(":")[0]
    return f"{call}: {errno_name(error.errno)}"
