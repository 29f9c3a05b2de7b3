"""The walls of a warm zygote: all of a run's walls, with a gate in the place where it forks.

A warm zygote runs code of adaptors, and its forks begin with the memory that this code has left.  So
nothing depends on what they do.  They inherit every wall that must hold, and the gate is closed
before an adaptor is imported.  The layers that a fork puts on itself only make it equal to any other
run: a session of its own, and the filter with its own number.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from protocol.confinement import ConfinementReport, ConfinementRequest, LayerReport
from sandbox_child.confine import (
    authorities,
    descriptors,
    dumpable,
    identity,
    landlock,
    mounts,
    network,
    pdeathsig,
    powerless,
    rlimits,
    seccomp,
    session,
)
from sandbox_child.confine.gate import close_gate
from sandbox_child.confine.kernel import MACHINE, Call, prctl
from sandbox_child.confine.ready import ReadyWall
from sandbox_child.confine.syscalls import FORK_FLAGS, FORK_FLAGS_WITH_SCRATCH
from sandbox_child.confine.task import ForkedLayer, Layer, Ready, Task
from sandbox_child.confine.waiting import Waiting
from sandbox_child.confine.wall import ConfinedZygote, finish, put_on, put_on_scratch

OWN: Final[tuple[Layer, ...]] = (
    session,
    network,
    rlimits,
    identity,
    landlock,
    pdeathsig,
    dumpable,
    descriptors,
)
"""Layers that a warm zygote puts on before its filters, in this order."""

FORKS: Final[tuple[ForkedLayer, ...]] = (session, pdeathsig, dumpable, descriptors, seccomp)
"""Layers that a fork of a warm zygote puts on, in this order.  After `pdeathsig` it waits for the pipes
of a run: see `sandbox_child.confine.waiting`."""

FORKS_WITH_SCRATCH: Final[tuple[ForkedLayer, ...]] = (FORKS[0], powerless, *FORKS[1:])
"""The same for a fork with a scratch directory, which begins with all capabilities over its own
namespaces.  It gets its pipes only if it has given them up."""

PROCESSES: Final = 64
"""Number of runs for whose threads a warm zygote's user id has room.  The gate limits each of them."""


class WarmWall:
    """The walls that the forks of a warm zygote put on."""

    def __init__(self, task: Task, layers: dict[str, LayerReport], ready: ReadyWall) -> None:
        self._task = task
        self._layers = layers
        self._ready = ready

    def put_on(self) -> ConfinementReport:
        """Put the layers of a fork on this process, for good; report all of its layers.

        Raises:
            ConfinementRefused: A layer cannot be put on, or does not hold.

        """
        made = self._ready.put_on()
        return finish(self._task, self._layers | made)


def missing_for_warm(request: ConfinementRequest) -> str | None:
    """Return why a zygote with these walls cannot have warm ones, or nothing."""
    if request.level == "none":
        return "it needs the kernel wall, and Policy(level='none') leaves that out"
    if request.scratch_bytes and mounts.NAME in request.without:
        return (
            "a scratch directory needs the layer 'mounts', and Policy(without=...) leaves that out"
        )
    for layer in (*OWN, seccomp):
        if layer is not network and layer.NAME in request.without:
            return f"it needs the layer {layer.NAME!r}, and Policy(without=...) leaves that out"
    if MACHINE not in seccomp.MACHINES:
        return f"there is no table of system calls for {MACHINE}"
    return None


def confine_warm(
    zygote: ConfinedZygote,
    request: ConfinementRequest,
    *,
    parent_pid: int,
    keep_fds: Collection[int],
    fork_fds: Collection[int],
    send: Callable[[int], object],
    rehearse: Callable[[], object],
) -> WarmWall:
    """Put on this fork of a zygote the walls of a warm zygote; return those of its forks.

    Args:
        zygote: The zygote that it was forked from.
        request: The layers and limits of its runs.
        parent_pid: The process of that zygote.
        keep_fds: The descriptors that stay open here.
        fork_fds: Those that stay open in a fork.
        send: Sends the other end of the gate to that zygote.
        rehearse: Called in a fork that is made before a run needs it.

    Raises:
        ConfinementRefused: A required layer cannot be put on.
        OSError: The kernel lacks something that only a warm zygote needs.

    """
    visible = os.geteuid() != 0
    scratch = bool(request.scratch_bytes)
    shared = msgspec.structs.replace(request, max_processes=PROCESSES * request.max_processes)
    task = Task(shared, parent_pid=parent_pid, keep_fds=keep_fds)
    layers = put_on_scratch(task, zygote.layers[mounts.NAME])
    # A user namespace for its own count would have no user ids, and then its forks could not make
    # theirs.  The gate counts threads, and each fork has a namespace of its own.
    task.counts_alone = visible and scratch
    layers |= put_on(task, OWN)
    if visible:
        # The zygote has the same user id and no rights of root; it looks at the descriptors here.
        prctl(dumpable.PR_SET_DUMPABLE, 1)
    if request.private_net and task.net != "by name":
        raise OSError(errno.ENOTSUP, "network: it cannot be private")
    forks = Task(request, parent_pid=parent_pid, keep_fds=fork_fds)
    forks.net = task.net
    made: list[tuple[ForkedLayer, Ready]] = []
    for layer in FORKS_WITH_SCRATCH if scratch else FORKS:
        ready = layer.ready(forks)
        if ready is None:
            raise OSError(errno.ENOSYS, f"{layer.NAME}: cannot be prepared")
        made.append((layer, ready))
        if layer is pdeathsig:
            waiting = Waiting(rehearse)
            made.append((waiting, waiting.ready(forks)))
    if scratch:
        _try_namespaces()
    close_gate(bool(request.net), send, sockets=request.private_net, scratch=scratch)
    authorities.announce(request.ca_file)  # adaptors may read them while they are imported
    return WarmWall(forks, zygote.layers | layers, ReadyWall(made, forks))


def _try_namespaces() -> None:
    """Make sure that this process can fork with namespaces of its own.

    Raises:
        OSError: The kernel refuses it.

    """
    flags = FORK_FLAGS_WITH_SCRATCH & ~FORK_FLAGS | signal.SIGCHLD
    pid = Call("clone", flags, 0, 0, 0, 0).make()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
