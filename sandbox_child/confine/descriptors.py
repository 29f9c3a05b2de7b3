"""Layer: no descriptor is open but those of the protocol and the standard streams."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "descriptors"
STOPS = "using files, sockets and pipes that the engine has open"
REMEDY = "none is known to be needed: every kernel has it"

PAST_THE_LAST: Final = 2**31 - 1


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Close all others.  Source: close_range(2), which os.closerange uses."""
    first = 0
    for kept in sorted(task.keep_fds):
        # An empty range would be handed to the kernel as one without end (CPython 3.11 to 3.13).
        if first < kept:
            os.closerange(first, kept)
        first = kept + 1
    os.closerange(first, PAST_THE_LAST)
    return f"open: {len(task.keep_fds)}"
