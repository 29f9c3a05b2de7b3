"""The layers of a zygote's forks, prepared before the fork.

A fork shares the memory of its zygote until one of them writes to it, and Python writes to every
object that it uses.  So the walls of a fork with the zygote's own request are a prepared list of
system calls with their arguments.  These calls do the same as `apply`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from protocol.confinement import LayerReport
from sandbox_child.confine import identity, pdeathsig, seccomp
from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.task import ForkedLayer, Ready, Task, explain


class ReadyWall:
    """The prepared layers, for any number of forks of this process.

    Args:
        layers: The layers, each with its prepared calls.
        task: What they need to know.
        then: Called in a fork once it dies with its parent, and still has all its descriptors.

    """

    def __init__(
        self,
        layers: Collection[tuple[ForkedLayer, Ready]],
        task: Task,
        then: Callable[[], object] | None = None,
    ) -> None:
        self._then = then
        self._calls = tuple((layer, tuple(calls)) for layer, (calls, _) in layers)
        self._reports = {
            layer.NAME: LayerReport(layer.NAME, "on", layer.NAME in task.request.required, detail)
            for layer, (_, detail) in layers
        }
        self._parent_pid = task.parent_pid

    def put_on(self) -> dict[str, LayerReport]:
        """Put all layers on this process, a fork, for good; return their reports.

        Raises:
            ConfinementRefused: A layer, required or not, cannot be put on, which was not expected.

        """
        pid = os.getpid()
        uid = identity.set_own(pid)
        seccomp.set_own(pid)
        for layer, calls in self._calls:
            try:
                for call in calls:
                    call.make()
                if layer is pdeathsig:
                    pdeathsig.check_parent(self._parent_pid)
                    if self._then is not None:
                        self._then()
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


def make_ready(task: Task, layers: Collection[ForkedLayer]) -> ReadyWall | None:
    """Return the prepared layers, or None if a fork itself has to find out which work."""
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
    wall = ReadyWall(made, task)
    return wall if wall.works() else None
