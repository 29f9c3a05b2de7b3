"""The services that the supervisor has for one child and its callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from engine.reporting import Run
from engine.running.cgroup import RunCgroup
from engine.running.cgroups import Entered
from engine.start import StartKind, Watcher

LaneT_contra = TypeVar("LaneT_contra", contravariant=True)


class Owning(Protocol):
    """The owner of a callback: the lane that ends if the callback raises."""

    @property
    def run(self) -> Run:
        """The run of the owner."""

    def abort(self, error: Exception) -> None:
        """End the run because of a bug of ours."""


Owner = Callable[[], Owning | None]
"""A weak reference to an owner, because a callback may outlive its run."""


class Host(Watcher, Protocol):
    """The services of the supervisor for one child."""

    def watch(
        self, fd: int, mask: int, callback: Callable[[int], None], owner: Owner | None = None
    ) -> None:
        """Call *callback* with the events of *fd*; call again to change the mask."""

    def call_at(
        self, when: float, callback: Callable[[], None], owner: Owner | None = None
    ) -> None:
        """Call *callback* at *when* on the monotonic clock."""

    def post(self, callback: Callable[[], None], owner: Owner | None = None) -> None:
        """Call *callback* in the supervisor's thread, later."""

    def again(self, callback: Callable[[], None], owner: Owner | None = None) -> None:
        """Call *callback* in the next round, after all children that have written."""

    def enter_cgroup(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        """Put a child into a control group; *entered* is called with the group, if it works."""

    def leave_cgroup(self, group: RunCgroup) -> None:
        """Give back a group without processes."""

    def started(self, descriptor: int) -> None:
        """Take note that a child was started, and of a descriptor that it took."""

    def lives(self) -> None:
        """Take note that a child was heard for the first time."""

    @property
    def turn(self) -> int:
        """The number of the round."""

    @property
    def crowded(self) -> bool:
        """Whether other runs are going on."""


class LaneHost(Host, Protocol[LaneT_contra]):
    """The services of the supervisor that a lane needs for its run."""

    def wait_for_room(self, lane: LaneT_contra, number: int | None) -> bool:
        """Queue a lane again after its child could not be started; return False if it must end."""

    def start_again(self, lane: LaneT_contra) -> None:
        """Queue a lane again, before all others, because its child died before it did anything."""

    def rest(self, lane: LaneT_contra) -> None:
        """Give the place of a lane to another run, until `start_again`."""

    def withdraw(self, lane: LaneT_contra) -> None:
        """Take a lane out of the queue, if it is there: its run ends before its next child starts."""

    def begins(self, kind: StartKind) -> None:
        """Take note how the child of a run came about."""

    def ended(self, lane: LaneT_contra) -> None:
        """Take note that the child is gone and the run is over."""
