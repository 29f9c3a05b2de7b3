"""The parties with which a warden works: the clean zygote, the house, and a new warm zygote."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from protocol.zygote import Fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.confinement import ConfinementRequest
    from sandbox_child.warm.networks import Networks
    from sandbox_child.warm.scratches import Scratches

Pipes = list[int]


class Host(Protocol):
    """The part of the clean zygote that this module uses."""

    def watch(self, fd: int, callback: Callable[[int], None]) -> None:
        """Have *callback* called with the events of *fd* once it is readable."""

    def unwatch(self, fd: int) -> None:
        """Forget *fd*, before it is closed."""

    def say(self, message: Any, *fds: int) -> None:
        """Send a message to the engine."""

    def fork_clean(self, wanted: Fork, pipes: Pipes) -> None:
        """Fork a child of the clean zygote."""

    def adopt(self, pid: int, pidfd: int) -> None:
        """Wait for the end of a new child, and report it."""


class Shared(Protocol):
    """The things that all warm zygotes of a house share."""

    def networks(self) -> Networks:
        """Return what makes the private networks of forks."""
        ...

    def scratches(self) -> Scratches:
        """Return what mounts the scratch directories of forks."""
        ...

    def request_of(self, wanted: Fork) -> ConfinementRequest:
        """Return the walls and limits of a fork."""
        ...


class Ends(NamedTuple):
    """A new warm zygote, and the ends that this process has of it."""

    pid: int
    pidfd: int
    link: socket.socket
    report: int
