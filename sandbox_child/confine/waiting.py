"""A fork of a warm zygote waits at the gate for the pipes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_child.confine import pdeathsig
from sandbox_child.confine.kernel import prctl_call
from sandbox_child.confine.task import make_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_child.confine.task import Ready, Task


class Waiting:
    """Takes the place of a layer, after `pdeathsig`.

    The fork asks a second time for the signal at its parent's death.  The clean zygote answers once the
    pipes are there, or says EAGAIN at first if there is no run yet.

    Args:
        rehearse: Called if there is no run yet.

    """

    NAME: Final = "waiting"
    STOPS: Final = pdeathsig.STOPS
    REMEDY: Final = pdeathsig.REMEDY

    def __init__(self, rehearse: Callable[[], object]) -> None:
        self._rehearse = rehearse

    def unavailable(self) -> str | None:
        """Return None: the gate is there."""
        return None

    def apply(self, task: Task) -> str | None:
        """Wait for the pipes.

        Raises:
            OSError: The clean zygote has gone.

        """
        return make_all(self.ready(task))

    def ready(self, task: Task) -> Ready:  # noqa: ARG002 - all layers look alike
        """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
        return [_Waiting(self._rehearse)], None


class _Waiting:
    def __init__(self, rehearse: Callable[[], object]) -> None:
        self._rehearse = rehearse
        self._call = prctl_call(pdeathsig.PR_SET_PDEATHSIG, pdeathsig.SIGKILL)
        self.name = self._call.name

    def make(self) -> int:
        if self._call.attempt() == 0:
            return 0
        self._rehearse()
        return self._call.make()
