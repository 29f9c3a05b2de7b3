"""Layer: resource limits.

``RLIMIT_DATA`` is the memory limit: it counts private writable memory when it is mapped, thread
stacks included.  What it does not count (shared anonymous memory, stacks that grow by themselves,
memory files) the filter refuses to make.  ``RLIMIT_AS`` is only a backstop: it also counts what is
merely reserved, so that a tight one stops honest programs with a few threads.

``RLIMIT_NPROC`` is set by the layer that makes the count of this run its own: `identity`.
"""

from __future__ import annotations

import _thread
import math
import resource
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "rlimits"
STOPS = "taking all memory, all descriptors or all of the disk of the machine"
REMEDY = "raise the hard limits of the engine's process (ulimit -H) to those of the policy"

THREAD_STACK_BYTES: Final = 512 * 1024
RESERVE_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Address space beyond the memory limit: libraries, files and stacks that are only reserved."""


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Lower the limits for good: soft and hard.  A lower one that is already there stays."""
    request = task.request
    _lower(resource.RLIMIT_DATA, request.memory_bytes)
    _lower(resource.RLIMIT_AS, request.memory_bytes + RESERVE_BYTES)
    _lower(resource.RLIMIT_NOFILE, request.max_open_files)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_MEMLOCK, 0)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    if request.cpu_s is not None:
        # SIGXCPU at the soft limit names the reason; whoever ignores it is killed a second later.
        seconds = max(1, math.ceil(request.cpu_s))
        _lower(resource.RLIMIT_CPU, seconds, seconds + 1)
    _thread.stack_size(THREAD_STACK_BYTES)
    return None


def _lower(limit: int, soft: int, hard: int | None = None) -> None:
    allowed = resource.getrlimit(limit)[1]
    wanted = soft if hard is None else hard
    if allowed != resource.RLIM_INFINITY:
        soft, wanted = min(soft, allowed), min(wanted, allowed)
    resource.setrlimit(limit, (soft, wanted))
