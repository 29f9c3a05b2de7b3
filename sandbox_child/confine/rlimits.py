"""Layer: resource limits.

``RLIMIT_DATA`` is the memory limit: it counts private writable memory when it is mapped, thread
stacks included.  The filter refuses memory that it does not count: shared anonymous memory, stacks
that grow by themselves, memory files.  ``RLIMIT_AS`` is only a backstop.  It also counts reserved
memory, so a tight limit would stop honest programs with a few threads.

The layer `identity` sets ``RLIMIT_NPROC``, because it gives this run a count of its own.
"""

from __future__ import annotations

import _thread
import resource
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import Call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.confinement import ConfinementRequest
    from sandbox_child.confine.task import Ready, Task

NAME = "rlimits"
STOPS = "taking all memory, all descriptors or all of the disk of the machine"
REMEDY = "raise the hard limits of the engine's process (ulimit -H) to those of the policy"

THREAD_STACK_BYTES: Final = 512 * 1024
SCRATCH_LEAVES_BYTES: Final = 64 * 1024 * 1024
"""The memory that even the largest scratch directory leaves to the code of a run."""
RESERVE_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Address space beyond the memory limit, for libraries, files and stacks that are only reserved."""


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    return None


def apply(task: Task) -> str | None:
    """Lower the soft and hard limits for good.  A limit that is already lower stays."""
    return make_all(ready(task))


def ready(task: Task) -> Ready:
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    _thread.stack_size(THREAD_STACK_BYTES)  # a fork inherits it
    return [limit_call(*one) for one in lowered(task.request)], None


def limit_call(limit: int, soft: int, hard: int) -> Call:
    """Prepare a call that sets a limit.

    Source: prlimit(2), with a struct of two 64-bit numbers.
    """
    wanted = soft.to_bytes(8, "little") + hard.to_bytes(8, "little")
    return Call("prlimit64", 0, limit, wanted, None)


def lowered(request: ConfinementRequest, pid: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield each limit, with the soft and hard values that may be set.

    Args:
        request: The request of the run.
        pid: The process that gets the limits; 0 is this one.

    Raises:
        OSError: The limits of the process cannot be read.

    """
    wanted = [
        (resource.RLIMIT_DATA, data_bytes(request)),
        (resource.RLIMIT_AS, request.memory_bytes + RESERVE_BYTES),
        (resource.RLIMIT_NOFILE, request.max_open_files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _file_bytes(request)),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    for limit, most in wanted:
        yield limit, *_within(pid, limit, most, most)
    if request.cpu_s is not None:
        # SIGXCPU at the soft limit shows the reason; a process that ignores it is killed a second
        # later.
        seconds = max(1, int(-(-request.cpu_s // 1)))  # rounded up, without loading math for it
        yield resource.RLIMIT_CPU, *_within(pid, resource.RLIMIT_CPU, seconds, seconds + 1)


def data_bytes(request: ConfinementRequest) -> int:
    """Return the memory without the scratch directory, whose pages are not data of the process."""
    memory = request.memory_bytes
    return max(memory - request.scratch_bytes, min(memory, SCRATCH_LEAVES_BYTES))


def _file_bytes(request: ConfinementRequest) -> int:
    """Return the size of the largest file.

    A file that fills the whole scratch directory has a page more to go, so that it meets the end of
    the directory (ENOSPC) before its own (EFBIG).
    """
    return request.scratch_bytes + resource.getpagesize() if request.scratch_bytes else 0


def _within(pid: int, limit: int, soft: int, hard: int) -> tuple[int, int]:
    allowed = resource.prlimit(pid, limit)[1]
    if allowed == resource.RLIM_INFINITY:
        return soft, hard
    return min(soft, allowed), min(hard, allowed)
