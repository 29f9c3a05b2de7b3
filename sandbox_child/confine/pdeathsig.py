"""Layer: the child dies with the process that started it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import prctl_call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from sandbox_child.confine.task import Ready, Task

NAME = "pdeathsig"
STOPS = "living on when the engine was killed"
REMEDY = "start children from a thread that lives as long as the engine"

PR_SET_PDEATHSIG: Final = 1
SIGKILL: Final = 9
"""The same number on every machine; importing ``signal`` would take half a millisecond."""


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Ask for SIGKILL at the death of the thread that started this process.

    This comes after `identity`, because a change of the user id clears it.  Source:
    PR_SET_PDEATHSIG(2const).

    Raises:
        OSError: The parent is gone already, so the signal would never come.

    """
    detail = make_all(ready(task))
    check_parent(task.parent_pid)
    return detail


def ready(task: Task) -> Ready:  # noqa: ARG001 - all layers look alike
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    return [prctl_call(PR_SET_PDEATHSIG, SIGKILL)], None


def check_parent(pid: int) -> None:
    """Check that the parent still lived when the signal was asked for.

    Raises:
        OSError: The parent is gone.

    """
    if os.getppid() != pid:
        raise ProcessLookupError(3, "getppid: the parent has gone")
