"""The facts that the layers of a child share."""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from protocol.confinement import ConfinementRequest, NetReach


class ReadyCall(Protocol):
    """A system call, or a row of them, that is prepared before a fork and made in it."""

    @property
    def name(self) -> str:
        """The name of the call."""

    def make(self) -> int:
        """Make the call.

        Raises:
            OSError: The kernel refused it.

        """


Ready = tuple[Sequence[ReadyCall], str | None]
"""The system calls that put a layer on a fork, and the detail of the layer's report."""


SCRATCH_DIRECTORY: Final = "/tmp"  # noqa: S108 - a mount of the child's own
"""The directory in which a run with the permission may write.  In a root of its own it is a link to
`SCRATCH_PLACE`."""
SCRATCH_SHELTER: Final = "/.scratch"
"""An empty read-only file system that has the place of the scratch directory, and nothing else."""
SCRATCH_PLACE: Final = "/.scratch/tmp"
"""The place at which the scratch directory is mounted."""


class Task:
    """A child that is being confined; every layer gets this object."""

    __slots__ = ("counts_alone", "empty_net", "keep_fds", "link_fd", "net", "parent_pid", "request")

    def __init__(
        self,
        request: ConfinementRequest,
        *,
        parent_pid: int,
        keep_fds: Collection[int],
        link_fd: int | None = None,
    ) -> None:
        self.request = request
        self.link_fd = link_fd
        """The link over which the sockets of a private network are passed on; None: nobody gets them."""
        self.net: NetReach = "none"
        """How the network of the run is enforced, as the layer `network` has found out."""
        self.parent_pid = parent_pid
        self.keep_fds = keep_fds
        self.empty_net = False
        """Whether this process itself is in a network namespace that nobody else uses."""
        self.counts_alone = False
        """Whether RLIMIT_NPROC of this process counts processes of this run only."""


class Layer(Protocol):
    """A mechanism of the kernel that confines a child; each layer is a module of this room."""

    @property
    def NAME(self) -> str:  # noqa: N802 - constants of a module
        """The name of the layer in requests and reports."""

    @property
    def STOPS(self) -> str:  # noqa: N802 - as above
        """The attack that the layer stops, for the doctor."""

    @property
    def REMEDY(self) -> str:  # noqa: N802 - as above
        """The way to get the layer on a machine that lacks it."""

    def unavailable(self) -> str | None:
        """Return why the layer cannot be put on here, or nothing."""

    def apply(self, task: Task, /) -> str | None:
        """Put the layer on this process for good; return the detail of its report.

        Raises:
            OSError: The kernel refused.

        """


class ForkedLayer(Layer, Protocol):
    """A layer that each fork of a zygote puts on."""

    def ready(self, task: Task, /) -> Ready | None:
        """Return the calls of `apply`, to be made later in a fork; None if they depend on each other."""


class PreparedLayer(ForkedLayer, Protocol):
    """A layer for which a zygote does work that each of its forks would have to do."""

    def prepare(self, request: ConfinementRequest, /) -> None:
        """Do this work in the zygote, before it forks.

        Raises:
            OSError: The kernel refused.

        """


def make_all(ready: Ready) -> str | None:
    """Make the calls that put a layer on; return the detail of its report.

    Raises:
        OSError: The kernel refused a call.

    """
    calls, detail = ready
    for call in calls:
        call.make()
    return detail


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
