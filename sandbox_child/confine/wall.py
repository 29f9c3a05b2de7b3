"""Puts the layers on, in the one order that works, and reports what came of it.

The order, and why a layer cannot move:

- `environment` and the count of threads come first: nothing has been changed when they refuse.
- `namespaces`, `network`, `mounts` and `identity` need rights that the later layers take away; the paths of the
  request are resolved in the old root for the last time by `mounts`.
- `network` follows `namespaces`, which gives an ordinary user the rights for it, and comes before `rlimits`:
  the kernel refuses to pass on more descriptors than that layer allows.
- `no_new_privs` comes before Landlock and seccomp, which demand it of those without privilege.
- `landlock` opens the paths as the user that the child will be.
- `pdeathsig` and `dumpable` follow `identity`, which undoes both.
- `descriptors` comes when no layer needs a file of its own any more.
- `seccomp` is last: it refuses most of the above.

All of it is per thread, so it happens while there is only one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from protocol.confinement import (
    EVERYTHING,
    ConfinementReport,
    ConfinementRequest,
    LayerReport,
    LayerState,
    ProbeReport,
    missing_in_zygote,
)
from sandbox_child.confine import (
    authorities,
    descriptors,
    dumpable,
    environment,
    identity,
    landlock,
    mdwe,
    mounts,
    namespaces,
    network,
    no_new_privs,
    pdeathsig,
    rlimits,
    seccomp,
    session,
)
from sandbox_child.confine.probe import PROBES, probe
from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.task import ForkedLayer, Layer, PreparedLayer, Task, explain

if TYPE_CHECKING:
    from sandbox_child.confine.ready import ReadyWall, ReadyWalls

LAYERS: Final[tuple[Layer, ...]] = (
    environment,
    session,
    namespaces,
    network,
    rlimits,
    mounts,
    identity,
    no_new_privs,
    landlock,
    pdeathsig,
    dumpable,
    mdwe,
    descriptors,
    seccomp,
)
"""Every layer, in the order in which it goes on."""

ALWAYS: Final = frozenset((session.NAME, pdeathsig.NAME, descriptors.NAME))
"""Layers that level ``none`` puts on, too: they are housekeeping, and jobs do not notice them."""

FORKED: Final[tuple[ForkedLayer, ...]] = (
    session,
    network,
    rlimits,
    identity,
    landlock,
    pdeathsig,
    dumpable,
    descriptors,
    seccomp,
)
"""Layers that each fork of a zygote puts on, in the order in which they go on."""

SHARED: Final = frozenset(layer.NAME for layer in LAYERS if layer not in FORKED)
"""Layers that a zygote has put on for all its forks."""

ZYGOTE: Final = SHARED | {session.NAME, pdeathsig.NAME, dumpable.NAME}
"""Layers that a zygote puts on itself; a fork puts on again those that are not shared."""

PREPARED: Final[tuple[PreparedLayer, ...]] = (identity, landlock, seccomp)
"""Layers that a zygote prepares for its forks, with ``prepare(request)``."""


_NAMES: Final = tuple(layer.NAME for layer in LAYERS)


class ConfinedZygote:
    """The preparations that the forks of a zygote inherit."""

    __slots__ = ("_walls", "layers", "request")

    def __init__(
        self,
        request: ConfinementRequest,
        layers: dict[str, LayerReport],
        walls: ReadyWalls | None,
    ) -> None:
        self.request = request
        self.layers = layers
        self._walls = walls

    def prepare(self, request: ConfinementRequest | None) -> ReadyWall | None:
        """Return the prepared wall of a fork with *request*, or of one with the zygote's own request.

        A zygote calls this before the fork, so that the fork does not make the wall for itself.
        None: the layers cannot be prepared.
        """
        if self._walls is None or (
            request is not None and request.scratch_bytes and self.layers[mounts.NAME].state != "on"
        ):
            return None
        return self._walls.find(request)


def confine(
    request: ConfinementRequest,
    *,
    parent_pid: int,
    keep_fds: Collection[int],
    link_fd: int | None = None,
) -> ConfinementReport:
    """Confine this process for good, and say what is on.

    Args:
        request: The layers and what they need to know.
        parent_pid: The process that started this one; it must still live.
        keep_fds: The descriptors that stay open, standard streams included.
        link_fd: The link over which the sockets of a private network are passed on.

    Raises:
        ConfinementRefused: A required layer cannot be put on, or does not hold.

    """
    task = Task(request, parent_pid=parent_pid, keep_fds=keep_fds, link_fd=link_fd)
    _check(request)
    _refuse_threads()
    return finish(task, put_on(task, LAYERS))


def confine_zygote(
    request: ConfinementRequest,
    *,
    parent_pid: int,
    keep_fds: Collection[int],
    fork_fds: Collection[int],
    link_fd: int | None = None,
) -> ConfinedZygote:
    """Put on this process what its forks need not put on again, and prepare the rest.

    Args:
        request: With the paths that any run of the engine may read.
        parent_pid: The process that started this one.
        keep_fds: The descriptors that stay open here.
        fork_fds: Those that stay open in a fork.
        link_fd: The link of a fork with a private network.

    Raises:
        ConfinementRefused: A required layer cannot be put on.

    """
    # Only a zygote has a use for these: the second one is for its forks.
    from sandbox_child.confine import scratch  # noqa: F401
    from sandbox_child.confine.ready import ReadyWalls

    task = Task(request, parent_pid=parent_pid, keep_fds=keep_fds)
    _refuse_threads()
    own = tuple(layer for layer in LAYERS if layer.NAME in ZYGOTE)
    layers = put_on(task, own)
    for layer in PREPARED:
        if request.level != "none" and layer.NAME not in request.without:
            # A layer that fails here also fails when it is put on, and that is then reported.
            try:
                layer.prepare(request)
            except OSError:
                continue
    forks = Task(request, parent_pid=os.getpid(), keep_fds=fork_fds, link_fd=link_fd)
    forks.counts_alone = task.counts_alone
    wanted = [layer for layer in FORKED if not _left_out(request, layer.NAME)]
    off = {layer.NAME: _off(request, layer.NAME) for layer in FORKED if layer not in wanted}
    # A contradiction is for each fork to refuse.
    walls = None if off.keys() & set(request.required) else ReadyWalls(forks, wanted)
    return ConfinedZygote(request, off | layers, walls)


def confine_forked(
    zygote: ConfinedZygote,
    request: ConfinementRequest | None,
    *,
    parent_pid: int,
    keep_fds: Collection[int],
    link_fd: int | None = None,
) -> ConfinementReport:
    """Confine a fork of the zygote: what `confine` does, save what it has inherited.

    Without a *request* it gets what the zygote was prepared for.

    Raises:
        ConfinementRefused: A required layer cannot be put on, or does not hold; or the zygote lacks
            what *request* needs (see `protocol.confinement.missing_in_zygote`).

    """
    task = Task(
        request or zygote.request, parent_pid=parent_pid, keep_fds=keep_fds, link_fd=link_fd
    )
    wall = zygote.prepare(request)
    if wall is not None:
        made = wall.put_on()
        task.net = "by name" if task.request.private_net else task.net
        made |= _report_of_scratch(task, zygote.layers[mounts.NAME])
    else:
        reason = None if request is None else missing_in_zygote(zygote.request, request)
        if reason is not None:
            remedy = "start this run with start_mode='exec'"
            raise ConfinementRefused(mounts.NAME, reason, remedy)
        made = put_on_scratch(task, zygote.layers[mounts.NAME]) | put_on(task, FORKED)
    return finish(task, zygote.layers | made)


def put_on(task: Task, layers: Sequence[Layer]) -> dict[str, LayerReport]:
    """Put layers on this process; return their reports.

    Raises:
        ConfinementRefused: A required layer cannot be put on.

    """
    reports = {}
    for layer in layers:
        reports[layer.NAME] = _put_on_one(task, layer)
        if layer is mounts and task.request.scratch_bytes:
            from sandbox_child.confine import scratch  # most runs do not have one

            reports[layer.NAME] = scratch.put_on(task.request, reports[layer.NAME])
    return reports


def _check(request: ConfinementRequest) -> None:
    if request.scratch_bytes:
        from sandbox_child.confine import scratch

        scratch.check(request)


def put_on_scratch(task: Task, layer: LayerReport) -> dict[str, LayerReport]:
    """Give a fork of a zygote its scratch directory; return the report of its mounts.

    Raises:
        ConfinementRefused: The directory cannot be mounted.

    """
    if not task.request.scratch_bytes:
        return {}
    from sandbox_child.confine import scratch

    scratch.check(task.request)
    return {mounts.NAME: scratch.put_on(task.request, layer, forked=True)}


def _report_of_scratch(task: Task, layer: LayerReport) -> dict[str, LayerReport]:
    if not task.request.scratch_bytes:
        return {}
    from sandbox_child.confine import scratch

    return {mounts.NAME: scratch.report(task.request, layer)}


def _put_on_one(task: Task, layer: Layer) -> LayerReport:
    request, name = task.request, layer.NAME
    required = name in request.required
    if _left_out(request, name):
        if required:
            raise ConfinementRefused(name, "the request also leaves it out", "ask for one of both")
        return _off(request, name)
    state: LayerState = "on"
    detail: str | None = layer.unavailable()
    if detail is None:
        try:
            detail = layer.apply(task)
        except OSError as error:
            state, detail = "unavailable", explain(error)
    else:
        state = "unavailable"
    if required and state != "on":
        raise ConfinementRefused(name, str(detail), layer.REMEDY)
    return LayerReport(name, state, required, detail)


def _left_out(request: ConfinementRequest, name: str) -> bool:
    if name == network.NAME and EVERYTHING in request.net:
        return True
    return name in request.without or (request.level == "none" and name not in ALWAYS)


def _off(request: ConfinementRequest, name: str) -> LayerReport:
    """Return the report of a layer that is left out."""
    open_ = name == network.NAME and bool(request.net)
    return LayerReport(name, "off", detail="open" if open_ else None)


def finish(task: Task, layers: dict[str, LayerReport]) -> ConfinementReport:
    """Try the walls, and report; there is a report of every layer by now.

    Raises:
        ConfinementRefused: A required layer is on and does not hold.

    """
    request = task.request
    authorities.announce(request.ca_file)
    probes: tuple[ProbeReport, ...] = ()
    if request.level != "none":
        probes = probe(private_net=task.net == "by name")
        for result in probes:
            layer = PROBES[result.name][0]
            if not result.blocked and layer in request.required and "/" not in request.read_paths:
                raise ConfinementRefused(
                    layer, f"it is on and yet the probe {result.name!r} succeeded", "report this"
                )
    filtered = layers[seccomp.NAME].state == "on"
    return ConfinementReport(
        level=request.level,
        language=request.language,
        layers=tuple(map(layers.__getitem__, _NAMES)),
        probes=probes,
        net=task.net if request.private_net else "open" if request.net else "none",
        landlock_abi=_landlock_abi(layers[landlock.NAME]),
        filter_hash=seccomp.program_for(request).digest if filtered else None,
    )


def _landlock_abi(layer: LayerReport) -> int:
    # The filter refuses to ask again.
    return int(str(layer.detail).rpartition(" ")[2]) if layer.state == "on" else 0


def _refuse_threads() -> None:
    """Make sure that there is one thread: the others would stay outside of the wall."""
    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:
        return  # no /proc; the child's own start-up makes no thread
    if threads != 1:
        raise ConfinementRefused(
            seccomp.NAME, f"{threads} threads are running", "confine before a thread is started"
        )
