"""Layer: a session and a process group of its own, without a terminal, at the root directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox_child.confine.kernel import Call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from sandbox_child.confine.task import Ready, Task

NAME = "session"
STOPS = "typing into the engine's terminal, and signals meant for its process group"
REMEDY = "none is known to be needed: every kernel has it"


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Leave the engine's session, terminal and working directory.

    Source: setsid(2).  It fails for a process that leads a group.  Such a process is already the
        leader of its own session, through posix_spawn(3) with POSIX_SPAWN_SETSID.
    """
    if os.getsid(0) != os.getpid():
        make_all(ready(task))
    os.umask(0o022)  # `mounts` makes directories that others must be able to enter
    os.chdir("/")
    return None


def ready(task: Task) -> Ready:  # noqa: ARG001 - all layers look alike
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    return [Call("setsid")], None  # a fork inherits the rest
