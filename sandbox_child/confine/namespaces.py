"""Layer: new namespaces for network, System V objects, host name and, if needed, users."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import syscall

if TYPE_CHECKING:
    from sandbox_child.confine.task import Task

NAME = "namespaces"
STOPS = "seeing the machine's network interfaces, abstract sockets, shared memory and host name"
REMEDY = "allow user namespaces (user.max_user_namespaces > 0, no filter that denies unshare)"

NEW_UTS: Final = 0x04000000
NEW_IPC: Final = 0x08000000
NEW_USER: Final = 0x10000000
NEW_NET: Final = 0x40000000
HOST_NAME: Final = b"jobcell"
"""The host name that `uname` gives to every run."""


def unavailable() -> str | None:
    """Return None: only `apply` can find out whether the layer can be put on here."""
    return None


def apply(task: Task) -> str | None:
    """Leave the namespaces of the engine.

    Source: unshare(2), user_namespaces(7).

    Raises:
        OSError: It is not possible as root, nor through a user namespace.

    """
    wanted = NEW_UTS | NEW_IPC
    names = "ipc uts"
    request = task.request
    if not request.net or (request.private_net and not request.net_by_port):
        wanted |= NEW_NET
        names = "net ipc uts"
    if os.geteuid() == 0:
        try:
            syscall("unshare", wanted)
        except PermissionError:
            pass  # root without rights, as in a container
        else:
            task.empty_net = bool(wanted & NEW_NET)
            _forget_host_name()
            return names
    uid, gid = os.geteuid(), os.getegid()
    syscall("unshare", wanted | NEW_USER)
    # User and group ids stay the same, so that files keep the same owners.  The kernel lets a
    # process map its group only after it has given up setgroups.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    task.counts_alone = True
    task.empty_net = bool(wanted & NEW_NET)
    _forget_host_name()
    return f"user {names}"


def _forget_host_name() -> None:
    """Replace the names in the new namespace, which begins with a copy of the machine's.

    Source: uts_namespaces(7), sethostname(2).
    """
    syscall("sethostname", HOST_NAME, len(HOST_NAME))
    syscall("setdomainname", b"(none)", 6)


def _write(path: str, text: str) -> None:
    # Not open(): the kernel needs the whole text in one write.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
