"""The layers of a zygote's forks, prepared before the fork.

A fork shares the memory of its zygote until one of them writes to it, and Python writes to every
object that it uses.  So the walls of a fork with the zygote's own request are a prepared list of
system calls with their arguments.  These calls do the same as `apply`.  The same holds for forks that
also have a private network or a scratch directory.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

import msgspec

from protocol.confinement import ConfinementRequest, LayerReport, missing_in_zygote
from sandbox_child.confine import (
    identity,
    landlock,
    mounts,
    network,
    pdeathsig,
    rlimits,
    scratch,
    seccomp,
)
from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.task import ForkedLayer, Ready, Task, explain

MOST_PRIVATE: Final = 32
"""Most walls for private networks and scratch directories that are kept; each takes a few kB."""


class ReadyWall:
    """The prepared layers, for any number of forks of this process.

    Args:
        layers: The layers, each with its prepared calls.
        task: The facts that they need.

    """

    def __init__(
        self,
        layers: Collection[tuple[ForkedLayer, Ready]],
        task: Task,
    ) -> None:
        self._calls = tuple((layer, tuple(calls)) for layer, (calls, _) in layers)
        self._reports = {
            layer.NAME: LayerReport(layer.NAME, "on", layer.NAME in task.request.required, detail)
            for layer, (_, detail) in layers
        }
        self._parent_pid = task.parent_pid
        self._request = task.request

    def put_on(self) -> dict[str, LayerReport]:
        """Put all layers on this process, a fork, for good; return their reports.

        Raises:
            ConfinementRefused: A layer, required or not, cannot be put on, which was not expected.

        """
        pid = os.getpid()
        uid = identity.set_own(pid)
        seccomp.set_own(pid, self._request)
        for layer, calls in self._calls:
            try:
                for call in calls:
                    call.make()
                if layer is pdeathsig:
                    pdeathsig.check_parent(self._parent_pid)
            except OSError as error:
                raise ConfinementRefused(layer.NAME, explain(error), layer.REMEDY) from None
        reports = dict(self._reports)
        if identity.NAME in reports:
            own = reports[identity.NAME]
            detail = str(own.detail).format(uid)
            reports[identity.NAME] = LayerReport(own.name, own.state, own.required, detail)
        return reports

    def works(self) -> bool:
        """Try the layers on a fork that only exits; they fail where root lacks its rights."""
        try:
            pid = os.fork()
        except OSError:
            return False
        if pid == 0:
            try:
                self.put_on()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitpid(pid, 0)[1] == 0


class ReadyWalls:
    """The prepared walls of a zygote, for any number of forks.

    Forks with a private network or a scratch directory share all other walls with the rest, so that
    a wall for each set of permissions is made when it is needed first.

    Args:
        task: The confinement that the zygote was made for.
        layers: The layers that each fork puts on.

    """

    def __init__(self, task: Task, layers: Collection[ForkedLayer]) -> None:
        self._task = task
        self._layers = layers
        self._own = _make_wall(task, layers)
        if self._own is not None and not self._own.works():
            self._own = None
        self._private: dict[ConfinementRequest, ReadyWall | None] = {}
        self._resolver_version = 0
        self._last: tuple[ConfinementRequest, ReadyWall | None] | None = None

    def find(self, request: ConfinementRequest | None) -> ReadyWall | None:
        """Return the wall for a request; None if a fork itself has to find out which layers work.

        Without a *request* it is the wall that the zygote was made for.
        """
        own = self._task.request
        if request is None or self._own is None:
            return self._own
        if self._last is not None and self._last[0] is request:
            return self._last[1]
        wall = self._own if request == own else None
        if wall is None and _differs_little(own, request):
            wall = self._find_private(request)
        self._last = (request, wall)
        return wall

    def _find_private(self, request: ConfinementRequest) -> ReadyWall | None:
        version = network.resolver_version()
        if version != self._resolver_version or len(self._private) >= MOST_PRIVATE:
            self._resolver_version = version
            self._private.clear()
        if request not in self._private:
            own = self._task
            task = Task(
                request, parent_pid=own.parent_pid, keep_fds=own.keep_fds, link_fd=own.link_fd
            )
            identity.prepare(request)
            self._private[request] = self._make_private(task)
        return self._private[request]

    def _make_private(self, task: Task) -> ReadyWall | None:
        layers = list(self._layers)
        if task.request.scratch_bytes:
            try:
                scratch.check(task.request)
                landlock.prepare_scratch(task.request)
            except (ConfinementRefused, OSError):
                return None  # the fork itself reports it
            layers.insert(layers.index(rlimits), scratch)
        return _make_wall(task, layers)


def _differs_little(own: ConfinementRequest, request: ConfinementRequest) -> bool:
    """Whether a request differs from the zygote's in its private network and scratch directory alone."""
    own_walls = {
        name
        for name, wanted in (
            (network.NAME, request.private_net),
            (mounts.NAME, request.scratch_bytes),
        )
        if wanted
    }
    if not own_walls or missing_in_zygote(own, request) is not None:
        return False
    plain = msgspec.structs.replace(
        request,
        required=own.required,
        read_paths=own.read_paths,
        root_paths=own.root_paths,
        net=own.net,
        max_connections=own.max_connections,
        net_bytes=own.net_bytes,
        max_open_files=own.max_open_files,
        scratch_bytes=own.scratch_bytes,
    )
    required, least = set(request.required), set(own.required)
    return plain == own and least <= required <= least | own_walls


def _make_wall(task: Task, layers: Collection[ForkedLayer]) -> ReadyWall | None:
    """Return the prepared layers, or None if a layer cannot be prepared."""
    if task.counts_alone:
        return None  # a user namespace does not have another user id
    made: list[tuple[ForkedLayer, Ready]] = []
    for layer in layers:
        try:
            one = layer.ready(task) if layer.unavailable() is None else None
        except OSError:
            return None
        if one is None:
            return None
        made.append((layer, one))
    return ReadyWall(made, task)
