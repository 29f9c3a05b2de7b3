"""Layer: other processes of the same user cannot look into this one, and it leaves no core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import prctl_call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from sandbox_child.confine.task import Ready, Task

NAME = "dumpable"
STOPS = "ptrace and /proc/<pid>/mem of this run from any other process of the same user"
REMEDY = "none is known to be needed: every kernel has it"

PR_SET_DUMPABLE: Final = 4


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Clear the flag.

    This comes after `identity`, because a change of the user id sets the flag again.  Source:
    prctl(2).
    """
    return make_all(ready(task))


def ready(task: Task) -> Ready:  # noqa: ARG001 - all layers look alike
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    return [prctl_call(PR_SET_DUMPABLE, 0)], None
