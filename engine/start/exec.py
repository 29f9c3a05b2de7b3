"""``start_mode="exec"``: a new interpreter for every run."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Final

from engine.confinement import CHILD_ENVIRONMENT, child_command
from engine.start.child import (
    Networks,
    Started,
    Watcher,
    ask_where,
    connect,
    exit_of,
    give_up,
    greet,
    is_readable,
    kill_group,
)
from engine.start.connection import lift
from engine.start.exit import Exit
from engine.start.warm_sets import WarmSets
from protocol.confinement import ConfinementRequest
from protocol.zygote import AdaptorSet


class ExecStarter:
    """Starts interpreters with posix_spawn.

    It does not fork.  Forking copies the page tables of the manager, in 24 ms for each GB of its
    memory, and the locks that its threads hold at that moment.

    Args:
        networks: Gives networks to children whose permissions need one.
        sets: Takes note of the adaptors that runs use.

    """

    def __init__(self, networks: Networks | None = None, sets: WarmSets | None = None) -> None:
        self._networks = networks
        self._sets = sets or WarmSets(0)

    def attach(self, watcher: Watcher) -> None:
        """See `Starter.attach`."""
        if self._networks is not None:
            self._networks.attach(watcher)

    def start(self, request: ConfinementRequest) -> Started:
        """See `Starter.start`."""
        connection, network = connect(self._networks, request)
        try:
            child = SpawnedChild(self._spawn(connection.child_ends.numbers()))
        except OSError:
            give_up(connection, network)
            raise
        connection.child_ends.close()
        greet(connection, request)
        return Started(child, connection, network)

    def _spawn(self, descriptors: dict[int, int]) -> int:
        return spawn(child_command(), descriptors)

    def find_warm(self, request: ConfinementRequest, adaptors: AdaptorSet) -> int:
        """See `Starter.find_warm`."""
        self._sets.use(request, adaptors)
        return 0

    def start_warm(self, request: ConfinementRequest, number: int) -> Started:  # noqa: ARG002 - as in `Starter`
        """See `Starter.start_warm`."""
        return self.start(request)

    def run_ended(self) -> None:
        """See `Starter.run_ended`."""

    def close(self) -> None:
        """See `Starter.close`."""
        if self._networks is not None:
            self._networks.close()


class SpawnedChild:
    """A child that this process has started, and whose end this process waits for.

    Raises:
        OSError: The child cannot be watched; it has been killed and reaped.

    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self.exit_fd = os.pidfd_open(pid)
        except OSError:
            kill_group(pid)
            with contextlib.suppress(ChildProcessError):  # other code has waited for it
                os.waitpid(pid, 0)
            raise
        # The peak of getrusage(2) survives exec: the child begins with that of this process.
        self._inherited_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def when_known(self, known: Callable[[], None]) -> None:
        """See `Child.when_known`."""
        known()

    def gone(self) -> bool:
        """See `Child.gone`."""
        return is_readable(self.exit_fd)

    def kill(self) -> None:
        """See `Child.kill`."""
        kill_group(self.pid)

    def ask_where(self) -> None:
        """See `Child.ask_where`."""
        ask_where(self.exit_fd)

    def reap(self) -> Exit:
        """See `Child.reap`."""
        try:
            os.waitid(os.P_PIDFD, self.exit_fd, os.WEXITED | os.WNOWAIT)
            # The child was not reaped yet, so its pid is still its own.  Processes that it has
            # started die first: its group must not outlive it.
            kill_group(self.pid)
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:
            # The manager ignores SIGCHLD or waits for all children.  The status of the child is
            # lost, and only its last message says how it ended.
            return Exit(code=0)
        finally:
            os.close(self.exit_fd)
        peak = usage.ru_maxrss if usage.ru_maxrss > self._inherited_peak else 0
        return exit_of(status, usage.ru_utime + usage.ru_stime, peak)


def spawn(
    command: list[str],
    descriptors: dict[int, int],
    environment: Mapping[str, str] = CHILD_ENVIRONMENT,
) -> int:
    """Start a program with only these descriptors (number there: number here); return its pid.

    The program has an empty standard input and the environment of a child.  All signals are reset
    in it: a signal that the manager ignores would stay ignored over exec.

    Raises:
        OSError: The program could not be started.

    """
    return os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *((os.POSIX_SPAWN_DUP2, ours, its) for its, ours in descriptors.items()),
        ],
        setsigmask=(),
        setsigdef=_CATCHABLE,
    )


def spawn_server(command: list[str], number: int, control: socket.socket) -> int:
    """Start a program that serves this process on a socket; close that end here, and return the pid.

    Args:
        command: The program.
        number: The descriptor on which it finds the socket.
        control: Its end of the socket.

    Raises:
        OSError: The program could not be started.

    """
    end = control.detach()
    try:
        end = lift(end)
        # A file that the program opens must not get the number of a standard stream.
        streams = {1: _NULL_DEVICE, 2: _standard_error()}
        return spawn(command, {**streams, number: end})
    finally:
        os.close(end)


_NULL_DEVICE: Final = 0
"""The standard input of a spawned process."""


def _standard_error() -> int:
    """Return the standard error of a server, for its crashes: ours, or its null device.

    A manager may have closed its own standard error.  A file that has taken the number since then
    is not inheritable.
    """
    try:
        return 2 if os.get_inheritable(2) else _NULL_DEVICE
    except OSError:
        return _NULL_DEVICE


_CATCHABLE = sorted(
    number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)
)
