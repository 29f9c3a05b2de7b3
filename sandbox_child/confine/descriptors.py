"""Layer: only the descriptors of the protocol and the standard streams stay open."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import Call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sandbox_child.confine.task import Ready, Task

NAME = "descriptors"
STOPS = "using files, sockets and pipes that the engine has open"
REMEDY = "none is known to be needed: every kernel has it"

PAST_THE_LAST: Final = 2**31 - 1


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Close all other descriptors.

    Source: close_range(2).  Kernels before Linux 5.9 lack it; os.closerange closes one by one there.
    """
    calls, detail = ready(task)
    try:
        return make_all((calls, detail))
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
    for first, last in _ranges(task.keep_fds):
        os.closerange(first, last + 1)
    return detail


def ready(task: Task) -> Ready:
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    calls = [Call("close_range", first, last, 0) for first, last in _ranges(task.keep_fds)]
    return calls, f"open: {len(task.keep_fds)}"


def _ranges(keep_fds: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of each range between the kept descriptors."""
    first = 0
    for kept in sorted(keep_fds):
        # CPython 3.11 to 3.13 would pass an empty range to the kernel as a range without end.
        if first < kept:
            yield first, kept - 1
        first = kept + 1
    yield first, PAST_THE_LAST - 1
