"""``start_mode="exec"``: a new interpreter for every run."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Mapping

from engine.confinement import CHILD_ENVIRONMENT, child_command
from engine.start.child import Started, Watcher, exit_of, greet, is_readable, kill_group
from engine.start.connection import Connection
from engine.start.exit import Exit
from protocol.confinement import ConfinementRequest
from protocol.limits import ANSWERS_FD, REQUESTS_FD


class ExecStarter:
    """Starts interpreters with posix_spawn.

    It does not fork.  Forking copies the page tables of the manager, in 24 ms for each GB of its
    memory, and the locks that its threads hold at that moment.
    """

    def attach(self, watcher: Watcher) -> None:
        """See `Starter.attach`."""

    def start(self, request: ConfinementRequest) -> Started:
        """See `Starter.start`."""
        connection = Connection()
        ends = connection.child_ends
        try:
            pid = spawn(
                child_command(),
                {
                    1: ends.stdout,
                    2: ends.stderr,
                    REQUESTS_FD: ends.requests,
                    ANSWERS_FD: ends.answers,
                },
            )
        except OSError:
            connection.close()
            raise
        finally:
            ends.close()
        try:
            child = SpawnedChild(pid)
        except OSError:
            connection.close()
            raise
        greet(connection, request)
        return Started(child, connection)

    def run_ended(self) -> None:
        """See `Starter.run_ended`."""

    def close(self) -> None:
        """See `Starter.close`."""


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

    def gone(self) -> bool:
        """See `Child.gone`."""
        return is_readable(self.exit_fd)

    def kill(self) -> None:
        """See `Child.kill`."""
        kill_group(self.pid)

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


_CATCHABLE = sorted(
    number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)
)
