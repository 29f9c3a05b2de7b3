"""Layer: only what the request names can be read, and nothing can be written.

Every right that the kernel can restrict is restricted; then the right to read is given back below
the paths of the request.  No path gets the right to execute: loading a shared library does not need
it, only execve does.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.task import UNREADABLE, explain, lies_below

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.confine.task import Task

NAME = "landlock"
STOPS = "reading and listing files outside of what may be read, and writing anywhere"
REMEDY = "run on Linux 6.2 or newer with 'landlock' in the kernel's lsm= list"

MINIMUM_ABI: Final = 3
"""The first that restricts truncate (Linux 6.2)."""

WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
FS_RIGHTS: Final = {3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""ABI to all rights over files that it knows: 3 with truncate, 5 with ioctl on devices."""
NET_BIND_TCP: Final = 1
NET_CONNECT_TCP: Final = 2
SCOPES: Final = 3
"""ABI 6: no signals to, no abstract unix sockets of, processes outside."""

CREATE_RULESET_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1
RULE_NET_PORT: Final = 2

WRITABLE_DEVICES: Final = frozenset(("/dev/null",))
"""What is written there is gone; libraries open it for writing to silence others."""
DNS_PORT: Final = 53


def abi() -> int:
    """Return the version of Landlock that the kernel has; 0: none.  Source: landlock(7)."""
    try:
        return syscall("landlock_create_ruleset", None, 0, CREATE_RULESET_VERSION)
    except OSError:
        return 0


def unavailable() -> str | None:
    """Return why the layer cannot be put on here, or nothing."""
    try:
        version = syscall("landlock_create_ruleset", None, 0, CREATE_RULESET_VERSION)
    except OSError as error:
        return f"this kernel lacks it, or was started without it ({explain(error)})"
    if version < MINIMUM_ABI:
        return f"this kernel has ABI {version}, which cannot restrict truncate; needed: 3"
    return None


def prepare(request: ConfinementRequest) -> None:
    """Make the ruleset for *request* now; forks of this process that want no more share it."""
    if unavailable() is None:
        _prepared[:] = [(request, _make(request, request.hidden_paths))]


def apply(task: Task) -> str | None:
    """Restrict this process for good.

    A fork of a prepared process takes the ruleset that it inherited, which knows what is hidden.  If
    its own request is narrower, a second one goes on top with a rule for each path: what two
    rulesets allow is what both allow.

    Raises:
        OSError: A call was refused.  A path that cannot be opened is none: nothing is there to read.

    """
    request = task.request
    hidden = request.hidden_paths
    for base, ruleset in _prepared:
        if _within(request, base):
            _restrict(ruleset)
            if request.read_paths == base.read_paths:
                return f"ABI {abi()}"
            hidden = ()
    _restrict(_make(request, hidden))
    return f"ABI {abi()}"


_prepared: list[tuple[ConfinementRequest, int]] = []
"""At most one: what was made before this process was forked."""


def _within(request: ConfinementRequest, base: ConfinementRequest) -> bool:
    return (request.net, request.hidden_paths) == (base.net, base.hidden_paths) and all(
        lies_below(path, base.read_paths) for path in request.read_paths
    )


def _restrict(ruleset: int) -> None:
    syscall("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def _make(request: ConfinementRequest, hidden: tuple[str, ...]) -> int:
    version = abi()
    ports = _ports(request.net)
    ruleset = _make_ruleset(version, connect=ports is not None)
    above_hidden = {path[:at] for path in hidden for at, c in enumerate(path) if c == "/"}
    try:
        for path in request.read_paths:
            _allow_reading(ruleset, path, frozenset(hidden), above_hidden)
        if version >= 4:
            for port in ports or ():
                _add_port(ruleset, port)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def _make_ruleset(version: int, *, connect: bool) -> int:
    files = FS_RIGHTS[min(version, max(FS_RIGHTS))]
    net = NET_BIND_TCP | (NET_CONNECT_TCP if connect else 0)
    # struct landlock_ruleset_attr has grown: an older kernel takes its own, shorter beginning.
    fields = [files]
    if version >= 4:
        fields.append(net)
    if version >= 6:
        fields.append(SCOPES)
    attributes = b"".join(field.to_bytes(8, "little") for field in fields)
    return syscall("landlock_create_ruleset", attributes, len(attributes), 0)


def _allow_reading(ruleset: int, path: str, hidden: frozenset[str], above_hidden: set[str]) -> None:
    """Give back the right to read *path* and what is below it, save what is hidden.

    Landlock only ever adds rights below a directory.  So one that holds something hidden is opened
    entry by entry; its list of names stays readable, because the import system wants it.
    """
    if path in hidden:
        return
    if path not in above_hidden:
        _add_path(ruleset, path)
        return
    _add_path(ruleset, path, READ_DIR)
    # A standard library has two hundred entries, so nothing is asked that the directory has told.
    for entry in os.scandir(path):
        if entry.path in hidden or entry.path in above_hidden or entry.is_symlink():
            _allow_reading(ruleset, entry.path, hidden, above_hidden)
        else:
            _add_path(ruleset, entry.path, READ_FILE | READ_DIR if entry.is_dir() else READ_FILE)


def _add_path(ruleset: int, path: str, rights: int | None = None) -> None:
    """Add a rule for one path; without rights: to read it, whatever it is."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in UNREADABLE:
            return
        raise
    try:
        if rights is None:
            directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            rights = READ_FILE | (READ_DIR if directory else 0)
            if path in WRITABLE_DEVICES:
                rights |= WRITE_FILE
        # struct landlock_path_beneath_attr, packed: allowed_access, parent_fd
        rule = rights.to_bytes(8, "little") + descriptor.to_bytes(4, "little")
        syscall("landlock_add_rule", ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _add_port(ruleset: int, port: int) -> None:
    rule = NET_CONNECT_TCP.to_bytes(8, "little") + port.to_bytes(8, "little")
    syscall("landlock_add_rule", ruleset, RULE_NET_PORT, rule, 0)


def _ports(net: tuple[str, ...]) -> set[int] | None:
    """Return the TCP ports that may be connected to; ``None``: every port.

    Landlock knows ports and no hosts: the host of a permission is not enforced here.
    """
    ports = set()
    for permission in net:
        port = permission.rpartition(":")[2] if ":" in permission else ""
        if not port.isdecimal():
            return None
        ports.add(int(port))
    if ports:
        ports.add(DNS_PORT)
    return ports
