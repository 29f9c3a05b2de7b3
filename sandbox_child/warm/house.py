"""The house of the warm zygotes: the clean zygote starts them in it, and asks them for forks."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

from protocol.confinement import ConfinementRequest
from protocol.zygote import Cooled, Fork, Warm
from sandbox_child.confine.warm import missing_for_warm
from sandbox_child.warm.networks import Networks
from sandbox_child.warm.roles import Ends, Host, Pipes
from sandbox_child.warm.scratches import Scratches
from sandbox_child.warm.seen import Proc
from sandbox_child.warm.warden import Warden


class House:
    """All warm zygotes of a clean one.

    Args:
        host: The clean zygote.
        request: The walls and limits of its forks.
        start: Forks a warm zygote, on its ends of a socket and a pipe; returns its pid, or the
            negative error number.
        proc: The directory ``/proc``; None if it cannot be used.

    """

    def __init__(
        self,
        host: Host,
        request: ConfinementRequest,
        start: Callable[[Warm, socket.socket, int], int],
        proc: Proc | None,
    ) -> None:
        self._host = host
        self._request = request
        self._start = start
        self._proc = proc
        self._networks: Networks | None = None
        self._scratches: Scratches | None = None
        self._wardens: dict[int, Warden] = {}
        self._of_child: dict[int, Warden] = {}

    def warm(self, wanted: Warm) -> None:
        """Start a warm zygote; report when it is ready, or why it cannot be."""
        reason = missing_for_warm(wanted.request)
        if reason is None and self._proc is None:
            reason = "it needs /proc, which is not there"
        if reason is not None:
            self._host.say(Cooled(wanted.number, reason))
            return
        assert self._proc is not None
        link, its_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report, its_report = os.pipe2(os.O_CLOEXEC)
        pid = self._start(wanted, its_link, its_report)
        its_link.close()
        os.close(its_report)
        if pid < 0:
            link.close()
            os.close(report)
            self._host.say(Cooled(wanted.number, f"the kernel refuses it ({os.strerror(-pid)})"))
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # its end could not be noticed
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            link.close()
            os.close(report)
            self._host.say(Cooled(wanted.number, f"the kernel refuses it ({error.strerror})"))
            return
        ends = Ends(pid, pidfd, link, report)
        self._wardens[wanted.number] = Warden(self, self._host, self._proc, wanted, ends)

    def cool(self, number: int) -> None:
        """End a warm zygote."""
        warden = self._wardens.get(number)
        if warden is not None:
            warden.cool("it was ended")

    def fork(self, wanted: Fork, pipes: Pipes) -> bool:
        """Have a warm zygote fork; return False if it has gone."""
        warden = self._wardens.get(wanted.warm)
        return warden is not None and warden.fork(wanted, pipes)

    def request_of(self, wanted: Fork) -> ConfinementRequest:
        """Return the walls and limits of a fork."""
        return wanted.request or self._request

    def networks(self) -> Networks:
        """Return what makes the private networks of forks.

        Raises:
            OSError: This process cannot find its own network.

        """
        if self._networks is None:
            assert self._proc is not None
            self._networks = Networks(self._proc)
        return self._networks

    def scratches(self) -> Scratches:
        """Return what mounts the scratch directories of forks.

        Raises:
            OSError: This process cannot find its own mounts.

        """
        if self._scratches is None:
            assert self._proc is not None
            self._scratches = Scratches(self._proc)
        return self._scratches

    def wait_s(self) -> float | None:
        """Return the time until `check` is due; None if there is nothing to wait for."""
        due = [warden.deadline for warden in self._wardens.values() if warden.deadline is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def check(self) -> None:
        """End warm zygotes that take too long."""
        now = time.monotonic()
        for warden in tuple(self._wardens.values()):
            if warden.deadline is not None and warden.deadline <= now:
                warden.too_late()

    def born(self, pid: int, warden: Warden) -> None:
        """Take note of a child of a warm zygote."""
        self._of_child[pid] = warden

    def ended(self, pid: int) -> None:
        """Take note that a child of this process has ended; it may have another parent."""
        warden = self._of_child.pop(pid, None)
        if warden is not None:
            warden.child_ended(pid)

    def forget(self, number: int) -> None:
        """Forget a warm zygote that has ended."""
        self._wardens.pop(number, None)
