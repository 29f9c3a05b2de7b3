"""Whether the machine has room for one more child, and what to do while it has not.

A manager has a limited number of descriptors, the machine one of processes and of memory.  A run that
meets such a limit is not at fault: it goes back to the queue and is started when there is room.  Only
a run that has nobody to wait for ends, with an error that names the limit.

For the supervisor's thread.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import time
from collections.abc import Callable
from typing import Final

import msgspec

from protocol.report import ErrorReport, make_report

_log = logging.getLogger("jobcell")

DESCRIPTORS_PER_RUN: Final = 7
"""Four pipes, two that say when the child has ended, and one to read its memory."""

RESERVE: Final = 32
"""Descriptors that are left to the manager and to the runs that are going on: their resolvers open
connections.  Never more than a quarter of the limit."""

GIVE_UP_S: Final = 3.0
"""Time for which a run with no other run to wait for is tried again."""

_FIRST_DELAY_S: Final = 0.01
_LONGEST_DELAY_S: Final = 0.5
_LOOK_AGAIN_S: Final = 0.05


class Limit(msgspec.Struct, frozen=True):
    """A limit that keeps a child from being started, and how to raise it."""

    name: str
    what: str
    fix: str


def limit_of(number: int | None) -> Limit | None:
    """Return the limit behind an error of starting a child; None: waiting will not help.

    Source: pipe(2), fork(2), posix_spawn(3), unix(7) on ETOOMANYREFS.
    """
    if number in (errno.EMFILE, errno.ETOOMANYREFS):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Limit(
            "descriptors",
            f"this process may have {soft} open files (RLIMIT_NOFILE); a run takes about"
            f" {DESCRIPTORS_PER_RUN}",
            f"raise the limit (now {soft}, at most {hard}): `ulimit -n`, LimitNOFILE= of a systemd"
            " service, or resource.setrlimit; or lower max_runs",
        )
    if number == errno.ENFILE:
        return Limit(
            "files",
            "the machine has no more open files to give (fs.file-max)",
            "raise it with `sysctl fs.file-max=...`, or close files of other programs",
        )
    if number == errno.EAGAIN:
        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        processes = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
        return Limit(
            "processes",
            f"no more processes may be started (RLIMIT_NPROC is {processes}; a control group may have"
            " a lower pids.max)",
            "raise the limit: `ulimit -u`, LimitNPROC= and TasksMax= of a systemd service, or"
            " --pids-limit of a container; or lower max_runs",
        )
    if number in (errno.ENOMEM, errno.ENOBUFS):
        return Limit(
            "memory",
            "the machine has no memory left for another process",
            "give the machine or its control group (memory.max) more memory, or lower max_runs",
        )
    return None


class Room:
    """Decides when the next child may be started.

    Args:
        wake_at: Has the supervisor ask again at a time on the monotonic clock.

    """

    def __init__(self, wake_at: Callable[[float], None]) -> None:
        self._wake_at = wake_at
        self._highest = 0
        """The highest descriptor of the child that was started last."""
        self._since: float | None = None
        """When a child was refused first, if none was started since."""
        self._alone_since: float | None = None
        """The same, while no other run was going on."""
        self._delay_s = _FIRST_DELAY_S
        self._hold_until = 0.0
        self._hopeless_until = 0.0
        """Until then a run that has no other run to wait for ends at once: waiting has not helped."""
        self._said: set[str] = set()

    def may_start(self, running: int) -> bool:
        """Return whether to start a child now, beside those that are running."""
        if self._since is None and self._hold_until == 0.0:
            return not running or self._has_descriptors(running)
        now = time.monotonic()
        if now < self._hopeless_until:
            return True
        if now < self._hold_until:
            return False
        if self._since is None:
            self._hold_until = 0.0
            return not running or self._has_descriptors(running)
        self._hold(self._delay_s)  # one child at a time, until one was started
        return True

    def started(self, descriptor: int) -> None:
        """Take note of a child, and of one of the descriptors that it took."""
        self._highest = descriptor

    def lives(self) -> None:
        """Take note that a child was heard: there was room for it."""
        if self._since is not None:
            self._since = self._alone_since = None
            self._hold_until = self._hopeless_until = 0.0
            self._delay_s = _FIRST_DELAY_S

    def freed(self) -> None:
        """Take note that a run is over: whoever waits may be started at once."""
        self._hold_until = min(self._hold_until, time.monotonic())

    def refused(self, number: int | None, running: int) -> bool:
        """Take note that a child could not be started; return whether its run is to wait.

        Args:
            number: The error.
            running: The other runs that are going on: their end makes room.

        """
        limit = limit_of(number)
        if limit is None:
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if running:
            self._alone_since = None
            self._hopeless_until = 0.0
            self._say(limit, running)
        elif now < self._hopeless_until or (
            self._alone_since is not None and now - self._alone_since >= GIVE_UP_S
        ):
            # The runs behind this one would wait in vain as well, each for itself.
            self._alone_since = None
            self._hopeless_until = now + GIVE_UP_S
            return False
        elif self._alone_since is None:
            self._alone_since = now
        self._hold(self._delay_s)
        self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
        return True

    def _has_descriptors(self, running: int) -> bool:
        """Return whether the manager would keep some descriptors.

        The kernel gives out the lowest free number, so the last one that it gave says about how many
        are taken, at no cost.  Only near the limit are they counted.
        """
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft == resource.RLIM_INFINITY:
            return True
        # Each run opens one more when its first job starts.
        reserve = min(RESERVE, soft // 4) + running
        if self._highest + reserve < soft:
            return True
        try:
            taken = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
        except OSError:
            taken = soft
        if taken + DESCRIPTORS_PER_RUN + reserve <= soft:
            self._highest = taken
            return True
        limit = limit_of(errno.EMFILE)
        assert limit is not None
        self._say(limit, running)
        self._hold(_LOOK_AGAIN_S)
        return False

    def _hold(self, seconds: float) -> None:
        self._hold_until = time.monotonic() + seconds
        self._wake_at(self._hold_until)

    def _say(self, limit: Limit, running: int) -> None:
        """Say once which limit it is."""
        if limit.name not in self._said:
            self._said.add(limit.name)
            _log.warning(
                "runs wait beside %d others: %s; to run more at once, %s",
                running,
                limit.what,
                limit.fix,
            )


def spawn_error(number: int | None, reason: str) -> ErrorReport:
    """Return the report of a child that could not be started."""
    limit = limit_of(number)
    if limit is None:
        return make_report("SpawnError", f"the child could not be started: {reason}")
    message = f"the child could not be started: {limit.what}: {reason}"
    return make_report("SpawnError", message, fix=limit.fix)
