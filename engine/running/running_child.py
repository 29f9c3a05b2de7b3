"""A started child with all its resources: process, pipes, meter, control group."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from typing import Final

from engine.api import RunOptions
from engine.running.cgroup import RunCgroup
from engine.running.cgroups import ENTER_AFTER_S
from engine.running.hearing import Hearing, Listener
from engine.running.host import Host, Owner
from engine.running.session import Reading, Used
from engine.start import Exit, Meter, Started
from protocol.limits import FRAME_SLACK_BYTES, MEGABYTE
from protocol.relay import FromRelay

_MAX_CHARACTER_BYTES: Final = 4
"""Bytes of the longest character in UTF-8. The limit of a log line is in characters."""


class RunningChild:
    """The child of a run, from its start until its release. For the supervisor's thread.

    Args:
        started: The child and its pipes.
        options: The limits of its run.
        listener: Gets its messages and its output.
        host: The supervisor.
        owner: The lane that ends if the work for the child raises.
        now_s: The time on the monotonic clock.

    """

    def __init__(
        self,
        started: Started,
        options: RunOptions,
        listener: Listener,
        host: Host,
        owner: Owner,
        now_s: float,
    ) -> None:
        self._child, self.connection, self._network, _ = started
        self.line_bytes = int(options.log_payload_mb * MEGABYTE) * _MAX_CHARACTER_BYTES
        """The largest log line."""
        self.hearing = Hearing(self.connection, listener, host, owner, self.line_bytes)
        """Its turns."""
        self.dismissed = False
        """Whether the run ends once everything that was read from the child is taken."""
        self.killed = False
        self.exited: Exit | None = None
        """How the child ended, once it was reaped."""
        self._options = options
        self._host = host
        self._owner = owner
        self._meter = Meter(self._child)
        self._since_s = now_s
        self._cgroup: RunCgroup | None = None
        self._cgroup_asked = False
        self._let_go = False
        self._last_reading: Reading | None = None
        self._network_ended = self._network is None
        self.connection.before_close = host.unwatch
        largest = max(options.state_bytes, int(options.payload_mb * MEGABYTE), self.line_bytes)
        self.connection.allow(largest + FRAME_SLACK_BYTES)

    def watch(
        self,
        gone: Callable[[int], None],
        network: Callable[[RunningChild, FromRelay], None],
    ) -> None:
        """Have the child heard.

        Args:
            gone: Called once the child is gone; then call `reap`.
            network: Called with each message about the network of the child.

        """
        if self._network is not None:
            # Later, because messages of the child may have come before.
            self._network.listen(
                lambda message: self._host.again(partial(network, self, message), self._owner)
            )
        exit_fd = self._child.exit_fd
        if self._child.pid is None:
            # A fork can send its last message before its zygote has said which process it is. Its
            # memory could not be read then.
            self._child.when_known(partial(self._host.again, self.hearing.watch, self._owner))
        else:
            self.hearing.watch()
        self._host.watch(exit_fd, select.EPOLLIN, gone, self._owner)
        self._host.started(max(self.connection.stderr, exit_fd))

    def gone(self) -> bool:
        """Whether the child has ended."""
        return self._child.gone()

    def reap(self) -> Exit:
        """Take note of how the child ended; call it once, when it is gone."""
        self._host.unwatch(self._child.exit_fd)
        self.exited = exited = self._child.reap()
        return exited

    def kill(self) -> None:
        """Kill the child, with all processes that it may have started."""
        self.killed = True
        if self.exited is not None:
            return  # it was reaped, so its pid may belong to another process
        self._child.kill()
        if self._cgroup is not None:
            self._cgroup.kill()

    def ask_where(self) -> None:
        """Have the child write its stack to its standard error."""
        if self.exited is None:
            self._child.ask_where()

    def close_network(self) -> bool:
        """End the network of the child, which is gone or killed; return whether it has ended."""
        if self._network is not None:
            self._network.close()
        return self._network_ended

    def network_has_ended(self) -> None:
        """Take note of the last message about the network."""
        self._network_ended = True

    def leave(self) -> None:
        """Kill the child, which has sent its last message; later ones are ignored.

        How it ends does not count from now on, because it did not end by itself.
        """
        self._last_reading = self.reading()
        self.kill()
        self.connection.close()

    @property
    def leaving(self) -> bool:
        """Whether the child was killed after its last message."""
        return self._last_reading is not None

    def final_facts(self) -> tuple[Exit | None, bool, Reading]:
        """Return how the child ended, whether its memory was the reason, and its memory."""
        exited = None if self.leaving else self.exited
        resident, peak = self._last_reading or (0, 0)
        return exited, self.oom_killed(), (resident, max(peak, self.group_peak_bytes()))

    def let_go(self) -> None:
        """Release all resources, after the child was reaped."""
        self._let_go = True
        if self._network is not None:
            self._network.let_go()
        self.connection.close()
        self.hearing.stop()
        cgroup, self._cgroup = self._cgroup, None
        if cgroup is not None:
            self._host.leave_cgroup(cgroup)
        self._meter.close()

    # --- sending ---

    def send(self, body: bytes) -> None:
        """Send one frame. If the pipe is full, the rest is sent later."""
        self.connection.send(body)
        self._write()

    def _write(self) -> None:
        connection = self.connection
        waited = connection.wants_to_write
        connection.write()
        if connection.wants_to_write:
            self._host.watch(connection.requests, select.EPOLLOUT, self._on_writable, self._owner)
        elif waited:
            self._host.unwatch(connection.requests)

    def _on_writable(self, _events: int) -> None:
        self._write()

    # --- what it uses ---

    def reading(self) -> Reading:
        """Return its resident set and the largest one so far, in bytes; zeros if it is gone."""
        return self._meter.resident_bytes()

    def used(self) -> Used:
        """Return its use of the resources that have a limit."""
        cpu_s = self._meter.cpu_s() if self._options.cpu_s is not None else 0.0
        return Used(self._meter.private_bytes(), cpu_s)

    def oom_killed(self) -> bool:
        """Whether the kernel has killed a process of its control group for its memory."""
        return self._cgroup is not None and self._cgroup.oom_killed()

    def group_peak_bytes(self) -> int:
        """Return the largest memory of its control group; 0 without one."""
        return 0 if self._cgroup is None else self._cgroup.peak_bytes()

    def enter_cgroup_if_it_lasts(self, now_s: float) -> None:
        """Ask for a control group once the child has lived long enough for it to pay."""
        pid = self._child.pid
        if self._cgroup_asked or pid is None or now_s - self._since_s < ENTER_AFTER_S:
            return
        self._cgroup_asked = True
        self._host.enter_cgroup(pid, self._options.memory_bytes, self._entered)

    def _entered(self, cgroup: RunCgroup) -> None:
        if self._let_go:
            self._host.leave_cgroup(cgroup)
        else:
            self._cgroup = cgroup
