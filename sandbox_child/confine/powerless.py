"""A fork with namespaces of its own gives up the capabilities over them.

It is a part of the layer `identity` for such forks.  The clean zygote looks whether it has been done,
before it gives the fork the pipes of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_child.confine import identity
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from sandbox_child.confine.task import Ready, Task

NAME: Final = "powerless"
STOPS: Final = identity.STOPS
REMEDY: Final = identity.REMEDY


def unavailable() -> str | None:
    """Return None: every kernel lets a process give up its capabilities."""
    return None


def apply(task: Task) -> str | None:
    """Give up every capability.

    Raises:
        OSError: The kernel refused.

    """
    return make_all(ready(task))


def ready(task: Task) -> Ready:  # noqa: ARG001 - all layers look alike
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    return [identity.capset_call()], None  # a new namespace gives no ambient ones
