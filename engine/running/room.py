"""Decides whether the machine has room for another child, and handles a lack of room.

The descriptors of a manager are limited, and so are the processes and the memory of the machine.  A
run that meets such a limit is not at fault: it goes back to the queue and is started later.  Only a
run without other runs to wait for ends, with an error that names the limit.

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
"""Descriptors of a run: four pipes, two for the end of the child, and one to read its memory."""

RESERVE: Final = 32
"""Descriptors that are left to the manager and to running resolvers, which open connections.  It is
never more than a quarter of the limit."""

GIVE_UP_S: Final = 3.0
"""Time for which the start of a run is tried again if it has no other run to wait for."""

_FIRST_DELAY_S: Final = 0.01
_LONGEST_DELAY_S: Final = 0.5
_LOOK_AGAIN_S: Final = 0.05


class Limit(msgspec.Struct, frozen=True):
    """A limit that prevents the start of a child, and how to raise it."""

    name: str
    what: str
    fix: str


def limit_of(number: int | None) -> Limit | None:
    """Return the limit behind an error of starting a child; None if waiting does not help.

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
    """Decides when the next child may start.

    Args:
        wake_at: Makes the supervisor ask again at a time on the monotonic clock.

    """

    def __init__(self, wake_at: Callable[[float], None]) -> None:
        self._wake_at = wake_at
        self._highest = 0
        """The highest descriptor of the last started child."""
        self._since: float | None = None
        """The time of the first refused child since the last started one."""
        self._alone_since: float | None = None
        """The same, during a time without other runs."""
        self._delay_s = _FIRST_DELAY_S
        self._hold_until = 0.0
        self._hopeless_until = 0.0
        """Until this time, a run without other runs to wait for ends at once, because waiting has
        not helped."""
        self._said: set[str] = set()

    def may_start(self, running: int) -> bool:
        """Return whether to start a child now, besides the *running* ones."""
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
        self._hold(self._delay_s)  # start a single child at a time, until it works
        return True

    def started(self, descriptor: int) -> None:
        """Take note of a started child and of one of its descriptors."""
        self._highest = descriptor

    def lives(self) -> None:
        """Take note that a child was heard, so that it had enough room."""
        if self._since is not None:
            self._since = self._alone_since = None
            self._hold_until = self._hopeless_until = 0.0
            self._delay_s = _FIRST_DELAY_S

    def freed(self) -> None:
        """Take note that a run is over, so that a waiting run may start at once."""
        self._hold_until = min(self._hold_until, time.monotonic())

    def refused(self, number: int | None, running: int) -> bool:
        """Take note that a child could not be started; return whether its run must wait.

        Args:
            number: The error number.
            running: The number of other runs, whose end makes room.

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
            # The runs behind this one would each wait in vain as well.
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

        The kernel gives out the lowest free number.  So the last number shows, without a system
        call, about how many are taken.  They are counted only near the limit.
        """
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft == resource.RLIM_INFINITY:
            return True
        # Each run opens another one when its first job starts.
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
        """Warn once about the limit."""
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
