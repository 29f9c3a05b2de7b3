"""Private networks for the forks of warm zygotes, which have no right to make or enter one.

The clean zygote makes the network of a run, and stays outside of it.  A fork asks for each socket at
the gate.  The clean zygote enters the network, makes the socket, leaves again, and puts the socket into
the fork.  A socket belongs to the network in which it was made, wherever its owner is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_child.confine import network
from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.namespaces import NEW_NET

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.warm.seen import Proc

CLOEXEC: Final = 0x80000
"""SOCK_CLOEXEC, which is also O_CLOEXEC."""


class Networks:
    """Makes networks, and sockets in them.

    Raises:
        OSError: This process cannot find its own network.

    """

    def __init__(self, proc: Proc) -> None:
        self._proc = proc
        self._own = proc.network()

    def make(self, request: ConfinementRequest, link: int | None = None) -> int:
        """Return a descriptor of a new private network; its sockets go over *link*, which is closed.

        Raises:
            OSError: The network could not be made.

        """
        syscall("unshare", NEW_NET)
        try:
            network.make(request, link)
            return self._proc.network()
        finally:
            syscall("setns", self._own, NEW_NET)

    def socket(self, made: int, family: int, kind: int, protocol: int) -> int:
        """Return a new socket in a network.

        Raises:
            OSError: The socket could not be made.

        """
        syscall("setns", made, NEW_NET)
        try:
            return syscall("socket", family, kind | CLOEXEC, protocol)
        finally:
            syscall("setns", self._own, NEW_NET)
