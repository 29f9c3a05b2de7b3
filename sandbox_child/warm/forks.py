"""The forks of a warm zygote, and all that the clean zygote gives them at the gate.

A fork gets its pipes, its limits, its scratch directory, its sockets and its threads from here, because
nothing may come from the warm zygote.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from protocol.limits import ANSWERS_FD, REQUESTS_FD
from sandbox_child.confine.gate import is_own_thread
from sandbox_child.warm.limits import limit
from sandbox_child.warm.networks import CLOEXEC

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from protocol.zygote import Fork, Warm
    from sandbox_child.confine.gate import Asked, Gate
    from sandbox_child.warm.roles import Pipes, Shared
    from sandbox_child.warm.seen import Proc

PIPES: Final = 4
"""Number of pipe ends of a run; the link of a private network follows."""


class Forks:
    """The forks that have pipes.

    Args:
        shared: What all warm zygotes share.
        proc: The directory ``/proc``.
        wanted: The request for the warm zygote.
        zygote_pid: The warm zygote, which asks for sockets as well.

    """

    def __init__(self, shared: Shared, proc: Proc, wanted: Warm, zygote_pid: int) -> None:
        self._shared = shared
        self._proc = proc
        self._zygote_pid = zygote_pid
        self._most_threads = wanted.request.max_processes
        self._limits = (wanted.request.memory_bytes, wanted.request.cpu_s)
        self._networks: dict[int, int | None] = {}
        """For each fork by its pid, its private network."""

    def __contains__(self, pid: int) -> bool:
        return pid in self._networks

    def furnish(self, gate: Gate, asked: Asked, pidfd: int, wanted: Fork, pipes: Pipes) -> None:
        """Give a new fork, which waits in the call *asked*, all that its run needs.

        Raises:
            OSError: The fork is gone, has rights that it should have given up, or takes more memory
                than its run may have; or something of its run cannot be made.

        """
        request = self._shared.request_of(wanted)
        if (request.memory_bytes, request.cpu_s) != self._limits:
            limit(self._proc, asked.thread, request)
        if request.scratch_bytes:
            self._give_scratch(asked.thread, pidfd, request)
        made = None
        if request.private_net:
            made = self._shared.networks().make(request, *pipes[PIPES:])
        try:
            _give_pipes(gate, asked, pipes)
        except OSError:
            if made is not None:
                os.close(made)
            raise
        self._networks[asked.thread] = made

    def _give_scratch(self, pid: int, pidfd: int, request: ConfinementRequest) -> None:
        if not self._proc.is_powerless(pid):
            raise OSError(errno.EPERM, "the fork keeps capabilities or has threads")
        self._shared.scratches().mount(pidfd, request)
        # Only now: with capabilities, it would have power over the files of these users.
        self._proc.map_ids(pid)

    def make_thread(self, gate: Gate, asked: Asked) -> None:
        """Let a process have another thread, up to the limit of a run.

        The kernel counts threads by user id, and here several runs have the same one.
        """
        try:
            threads = self._proc.threads(asked.thread)
        except OSError:
            threads = self._most_threads
        if threads < self._most_threads:
            gate.let_pass(asked)
        else:
            gate.refuse(asked, errno.EAGAIN)

    def make_socket(self, gate: Gate, asked: Asked) -> None:
        """Make a socket in the network of the run that asks for it."""
        made = self._network_of(asked.thread)
        if made is None:
            # The warm zygote has a network of its own, in which nobody listens.
            gate.let_pass(asked)
            return
        try:
            ours = self._shared.networks().socket(made, asked.first, asked.second, asked.third)
            try:
                gate.answer_with(asked, ours, asked.second & CLOEXEC)
            finally:
                os.close(ours)
        except OSError as error:
            gate.refuse(asked, error.errno or errno.EPERM)

    def _network_of(self, thread: int) -> int | None:
        made = self._networks.get(thread)
        if made is not None or thread == self._zygote_pid:
            return made
        for pid, made in self._networks.items():
            if is_own_thread(pid, thread):
                return made
        return None

    def ended(self, pid: int) -> None:
        """Take note that a fork has ended."""
        made = self._networks.pop(pid, None)
        if made is not None:
            os.close(made)


def _give_pipes(gate: Gate, asked: Asked, pipes: Pipes) -> None:
    requests, answers, stdout, stderr = pipes[:PIPES]
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        places = (
            (null, 0),
            (stdout, 1),
            (stderr, 2),
            (requests, REQUESTS_FD),
            (answers, ANSWERS_FD),
        )
        for ours, its in places:
            gate.give(asked, ours, its)
    finally:
        os.close(null)
