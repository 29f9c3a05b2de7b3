"""Three things a confined child must not be able to do, tried for real.

A layer is never believed to be on because no call failed while it was put on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from protocol.confinement import ProbeReport
from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.task import errno_name

AF_UNIX: Final = 1
SOCK_STREAM: Final = 1


def _open() -> None:
    # The root directory exists everywhere, so that ENOENT cannot pass for a refusal.
    os.close(os.open("/", os.O_RDONLY))


def _socket() -> None:
    os.close(syscall("socket", AF_UNIX, SOCK_STREAM, 0))


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


PROBES: Final[dict[str, tuple[str, Callable[[], None]]]] = {
    "open": ("landlock", _open),
    "socket": ("seccomp", _socket),
    "fork": ("seccomp", _fork),
}
"""Name of a probe to the layer that must stop it, and what it does."""


def probe() -> tuple[ProbeReport, ...]:
    """Try everything; nothing is left behind by what succeeds."""
    return tuple(_attempt(name, attempt) for name, (_, attempt) in PROBES.items())


def _attempt(name: str, attempt: Callable[[], None]) -> ProbeReport:
    try:
        attempt()
    except OSError as error:
        return ProbeReport(name, blocked=True, detail=errno_name(error))
    return ProbeReport(name, blocked=False, detail="done")
