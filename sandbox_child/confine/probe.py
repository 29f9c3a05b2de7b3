"""Tries actions that a confined child must not be able to take.

The success of the calls that put a layer on is not enough to believe that it is on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from protocol.confinement import ProbeReport
from sandbox_child.confine.kernel import Call, fork
from sandbox_child.confine.network import is_private
from sandbox_child.confine.task import errno_name

AT_FDCWD: Final = -100
AF_UNIX: Final = 1
SOCK_STREAM: Final = 1

# The root directory exists everywhere, so that ENOENT cannot pass for a refusal.
_open = Call("openat", AT_FDCWD, b"/", os.O_RDONLY | os.O_CLOEXEC, 0)
_socket = Call("socket", AF_UNIX, SOCK_STREAM, 0)


def _try_open() -> int:
    return _closed(_open.attempt())


def _try_socket() -> int:
    return _closed(_socket.attempt())


def _closed(descriptor: int) -> int:
    if descriptor < 0:
        return -descriptor
    os.close(descriptor)
    return 0


def _try_fork() -> int:
    pid = fork()
    if pid == 0:
        os._exit(0)
    if pid < 0:
        return -pid
    os.waitpid(pid, 0)
    return 0


def _try_network() -> int:
    return errno.EHOSTUNREACH if is_private() else 0


NETWORK_PROBE: Final = "network"

PROBES: Final[dict[str, tuple[str, Callable[[], int]]]] = {
    "open": ("landlock", _try_open),
    "socket": ("seccomp", _try_socket),
    "fork": ("seccomp", _try_fork),
    NETWORK_PROBE: ("network", _try_network),
}
"""For each probe, the layer that must stop it, and a function that tries it. The function returns
the number of the error, or 0."""


def probe(*, private_net: bool = False) -> tuple[ProbeReport, ...]:
    """Run all probes; a probe that succeeds cleans up after itself.

    Args:
        private_net: Whether the run is in a network of its own, as it believes.

    """
    left_out = () if private_net else (NETWORK_PROBE,)
    return tuple(
        [_attempt(name, attempt()) for name, (_, attempt) in PROBES.items() if name not in left_out]
    )


def _attempt(name: str, error: int) -> ProbeReport:
    if error:
        return ProbeReport(name, blocked=True, detail=errno_name(error))
    return ProbeReport(name, blocked=False, detail="done")
