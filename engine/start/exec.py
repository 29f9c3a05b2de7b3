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

    Never with fork: that would copy the page tables of the manager, 24 ms for each GB of its
    memory, and its threads' locks as they are.
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
    """A child that is our own: we wait for it ourselves.

    Raises:
        OSError: It cannot be watched; it is gone by then.

    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self.exit_fd = os.pidfd_open(pid)
        except OSError:
            kill_group(pid)
            with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
                os.waitpid(pid, 0)
            raise
        # getrusage(2) counts over exec: the child begins with our own peak.
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
            # Nobody else has waited for it, so its number is still its own.  What the leader has
            # started dies first: its group cannot outlive it.
            kill_group(self.pid)
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:
            # The manager ignores SIGCHLD or waits for everybody: how the child ended is lost,
            # and its last message has to do.
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
    """Start a program with nothing but these descriptors (its number: ours); return its pid.

    Its standard input is empty, its environment the child's, and no signal is ignored or blocked
    in it: what a manager ignores would stay ignored over exec.

    Raises:
        OSError: It could not be started.

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
