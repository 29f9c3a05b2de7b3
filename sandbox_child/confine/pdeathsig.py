"""Layer: the child dies with the process that started it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import prctl

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "pdeathsig"
STOPS = "living on when the engine was killed"
REMEDY = "start children from a thread that lives as long as the engine"

PR_SET_PDEATHSIG: Final = 1
SIGKILL: Final = 9
"""The same on every machine; importing ``signal`` takes half a millisecond."""


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Ask for SIGKILL at the death of the thread that started this process.

    After `identity`: a change of the user id clears it.  Source: PR_SET_PDEATHSIG(2const).

    Raises:
        OSError: The parent is gone already; nobody would send the signal any more.

    """
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != task.parent_pid:
        raise ProcessLookupError(3, "getppid: the parent has gone")
    return None
