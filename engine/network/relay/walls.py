"""The kernel wall of the relay: the layers of a child, with other paths and another filter.

The relay keeps the machine's network, and it may look up names.  It cannot make a listener, execute a
program, write a file, or read other files than those below.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import protocol.net_rules  # noqa: F401 - Landlock imports it when its file cannot be read any more
from protocol.confinement import ConfinementRequest, LayerReport
from sandbox_child.confine import bpf, seccomp
from sandbox_child.confine.kernel import AUDIT_ARCH, NUMBERS, address_of, syscall
from sandbox_child.confine.syscalls import CLOEXEC, EITHER, EITHER_WITH_NET, NONBLOCK, verdicts
from sandbox_child.confine.task import Task, explain
from sandbox_child.confine.wall import LAYERS

WANTED: Final = frozenset(
    (
        "session",
        "rlimits",
        "namespaces",
        "mounts",
        "identity",
        "no_new_privs",
        "landlock",
        "pdeathsig",
        "dumpable",
        "mdwe",
        "descriptors",
    )
)
"""Layers of a child that the relay puts on, besides the filter of system calls."""

MEMORY_BYTES: Final = 512 * 1024 * 1024
MAX_OPEN_FILES: Final = 1 << 20
"""More than any machine allows by default: the hard limit of the engine counts."""

SETTINGS: Final = "/etc"
"""The directory of the files that `getaddrinfo` reads.  It is given as a whole: a file that a rule names
is another file after it was replaced, as `resolv.conf` is on each change of the network."""
SETTINGS_FILES: Final = ("gai.conf", "host.conf", "hosts", "nsswitch.conf", "resolv.conf")
LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
"""Directories of the libraries that the C library loads for a service in `nsswitch.conf`."""
DEVICES: Final = ("/dev/null", "/dev/urandom")

SPLICE_FLAGS: Final = 3
"""MOVE and NONBLOCK."""
_CONGESTION: Final = bpf.Question(2, socket.TCP_CONGESTION)
"""Without rights a process can only choose among the methods that the machine allows: tcp(7)."""


def put_on(
    *, parent_pid: int, keep_fds: Collection[int], without: Collection[str] = ()
) -> tuple[LayerReport, ...]:
    """Confine this process as far as the machine allows, for good, and say what is on.

    Args:
        parent_pid: The engine's process, which must live.
        keep_fds: The descriptors that stay open.
        without: Layers that are left out; tests use it to show what each layer stops.

    """
    request = ConfinementRequest(
        read_paths=tuple(_paths()),
        net=("*",),  # the layers leave the network as it is
        memory_bytes=MEMORY_BYTES,
        max_open_files=MAX_OPEN_FILES,
    )
    task = Task(request, parent_pid=parent_pid, keep_fds=keep_fds)
    layers = []
    for layer in LAYERS:
        if layer.NAME in without:
            layers.append(LayerReport(layer.NAME, "off"))
        elif layer.NAME in WANTED:
            layers.append(_attempt(layer.NAME, layer.unavailable(), lambda: layer.apply(task)))  # noqa: B023
    if seccomp.NAME in without:
        return (*layers, LayerReport(seccomp.NAME, "off"))
    return (*layers, _attempt(seccomp.NAME, seccomp.unavailable(), _filter))


def _attempt(name: str, unavailable: str | None, apply: Callable[[], str | None]) -> LayerReport:
    if unavailable is not None:
        return LayerReport(name, "unavailable", detail=unavailable)
    try:
        return LayerReport(name, "on", detail=apply())
    except ProcessLookupError:
        raise  # the engine is gone
    except OSError as error:
        return LayerReport(name, "unavailable", detail=explain(error))


def _paths() -> Iterator[str]:
    yield SETTINGS
    yield from filter(os.path.exists, (*LIBRARIES, *DEVICES))
    # systemd-resolved, resolvconf and NetworkManager keep the file in a directory below /run.
    for name in SETTINGS_FILES:
        path = Path(SETTINGS, name)
        if path.is_symlink() and path.exists():
            yield str(path.resolve().parent)


def _filter() -> str:
    """Install the filter of system calls.

    It is that of a job with network, with a few calls more, and without those that only jobs need.
    """
    table = verdicts(NUMBERS, net=True)
    more: dict[str, bpf.Code] = {
        "accept4": bpf.checked((bpf.flags(3, CLOEXEC, NONBLOCK),), bpf.refuse(errno.EPERM)),
        "splice": bpf.checked((bpf.flags(5, SPLICE_FLAGS),), bpf.refuse(errno.EPERM)),
        "fcntl": bpf.either(
            (*EITHER["fcntl"], (bpf.Question(1, fcntl.F_SETPIPE_SZ),)), bpf.refuse(errno.EPERM)
        ),
        "setsockopt": bpf.either(
            (*EITHER_WITH_NET["setsockopt"], (bpf.Question(1, socket.IPPROTO_TCP), _CONGESTION)),
            bpf.refuse(errno.EPERM),
        ),
        "socketpair": bpf.verdict(bpf.refuse(errno.EPERM)),
    }
    table |= {NUMBERS[name]: code for name, code in more.items() if name in NUMBERS}
    code = bpf.assemble(
        AUDIT_ARCH,
        table.items(),
        otherwise=bpf.refuse(errno.ENOSYS),
        past_the_end=seccomp.X32_BIT,
    )
    program = seccomp.Program(code)
    filled = program.blank()
    program.fill(filled, os.getpid())
    length = len(filled) // 8
    # struct sock_fprog: unsigned short len, struct sock_filter *filter
    where = length.to_bytes(8, "little") + address_of(filled).to_bytes(8, "little")
    syscall("seccomp", seccomp.SET_MODE_FILTER, 0, where)
    return f"{length} instructions"
