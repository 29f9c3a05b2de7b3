"""The walls of a warm zygote: all of a run's walls, with a gate in the place where it forks.

A warm zygote runs code of adaptors, and its forks begin with the memory that this code has left.  So
nothing depends on what they do.  They inherit every wall that must hold, and the gate is closed
before an adaptor is imported.  The layers that a fork puts on itself only make it equal to any other
run: a session of its own, and the filter with its own number.
"""

from __future__ import annotations

import errno
import os
import struct
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
    network,
    pdeathsig,
    rlimits,
    seccomp,
    session,
)
from sandbox_child.confine.gate import close_gate
from sandbox_child.confine.kernel import MACHINE, prctl
from sandbox_child.confine.ready import ReadyWall
from sandbox_child.confine.task import ForkedLayer, Layer, Ready, Task
from sandbox_child.confine.wall import ConfinedZygote, finish, put_on

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
"""Layers that a fork of a warm zygote puts on, in this order.  The pipes of the run come with the
second one."""

LIMITS_FD: Final = 14
"""The descriptor from which a fork reads its limits, if they are not those of its warm zygote."""

PROCESSES: Final = 64
"""Number of runs for whose threads a warm zygote's user id has room.  The gate limits each of them."""

_LIMITS: Final = struct.Struct("qd")


def pack_limits(request: ConfinementRequest) -> bytes:
    """Return the limits of a run as a fork reads them."""
    return _LIMITS.pack(request.memory_bytes, -1.0 if request.cpu_s is None else request.cpu_s)


def _take_limits(request: ConfinementRequest) -> None:
    """Lower the limits of this fork to those of its run."""
    try:
        packed = os.read(LIMITS_FD, _LIMITS.size)
    except OSError:
        return  # its run has the same
    os.close(LIMITS_FD)
    memory_bytes, cpu_s = _LIMITS.unpack(packed)
    rlimits.lower(
        msgspec.structs.replace(
            request, memory_bytes=memory_bytes, cpu_s=None if cpu_s < 0 else cpu_s
        )
    )


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
    if request.scratch_bytes:
        return "each of its runs has a scratch directory, which only a cold run can mount"
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
) -> WarmWall:
    """Put on this fork of a zygote the walls of a warm zygote; return those of its forks.

    Args:
        zygote: The zygote that it was forked from.
        request: The layers and limits of its runs.
        parent_pid: The process of that zygote.
        keep_fds: The descriptors that stay open here.
        fork_fds: Those that stay open in a fork.
        send: Sends the other end of the gate to that zygote.

    Raises:
        ConfinementRefused: A required layer cannot be put on.
        OSError: The kernel lacks something that only a warm zygote needs.

    """
    visible = os.geteuid() != 0
    shared = msgspec.structs.replace(request, max_processes=PROCESSES * request.max_processes)
    task = Task(shared, parent_pid=parent_pid, keep_fds=keep_fds)
    layers = put_on(task, OWN)
    if visible:
        # The zygote has the same user id and no rights of root; it looks at the descriptors here.
        prctl(dumpable.PR_SET_DUMPABLE, 1)
    if request.private_net and task.net != "by name":
        raise OSError(errno.ENOTSUP, "network: it cannot be private")
    forks = Task(request, parent_pid=parent_pid, keep_fds=fork_fds)
    forks.net = task.net
    made: list[tuple[ForkedLayer, Ready]] = []
    for layer in FORKS:
        ready = layer.ready(forks)
        if ready is None:
            raise OSError(errno.ENOSYS, f"{layer.NAME}: cannot be prepared")
        made.append((layer, ready))
    close_gate(bool(request.net), send, sockets=request.private_net)
    authorities.announce(request.ca_file)  # adaptors may read them while they are imported
    return WarmWall(
        forks, zygote.layers | layers, ReadyWall(made, forks, lambda: _take_limits(request))
    )
