"""Layer: only the paths of the request can be read, and files cannot be written.

Every right that the kernel can restrict is restricted; then the right to read is given back below
the paths of the request.  Paths do not get the right to execute: only execve needs it, and loading
a shared library does not.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from protocol.confinement import EVERYTHING, lies_below
from sandbox_child.confine.kernel import Call, Long, address_of, syscall
from sandbox_child.confine.task import SCRATCH_SHELTER, UNREADABLE, explain, make_all

if TYPE_CHECKING:
    from protocol.confinement import ConfinementRequest
    from sandbox_child.confine.task import Ready, Task

NAME = "landlock"
STOPS = "reading and listing files outside of what may be read, and writing anywhere"
REMEDY = "run on Linux 6.2 or newer with 'landlock' in the kernel's lsm= list"

MINIMUM_ABI: Final = 3
"""The first ABI that restricts truncate (Linux 6.2)."""

WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
SCRATCH_RIGHTS: Final = (
    WRITE_FILE | READ_FILE | READ_DIR
    | 1 << 4 | 1 << 5  # removing directories and files
    | 1 << 7 | 1 << 8  # making directories and regular files, and nothing else
    | 1 << 13 | 1 << 14  # moving between directories, truncating
)  # fmt: skip
"""The rights in the scratch directory: files and directories only, and nothing can be executed."""
FS_RIGHTS: Final = {3: (1 << 15) - 1, 5: (1 << 16) - 1, 9: (1 << 17) - 1}
"""For each ABI that added some, the rights over files: with truncate, ioctl on devices, and looking
up unix sockets."""
BIND_TCP: Final = 1
CONNECT_TCP: Final = 2
BIND_UDP: Final = 4
CONNECT_UDP: Final = 8
NET_RIGHTS: Final = {4: BIND_TCP | CONNECT_TCP, 10: BIND_TCP | CONNECT_TCP | BIND_UDP | CONNECT_UDP}
"""The same for rights over ports.  Sending binds a UDP socket, so a run with a permission keeps
that right; the filter refuses bind(2) itself."""
SCOPES: Final = {6: 3}
"""The same for scopes: signals to processes outside, and their abstract unix sockets, are
refused."""

CREATE_RULESET_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1
RULE_NET_PORT: Final = 2

WRITABLE_DEVICES: Final = frozenset(("/dev/null",))
"""Devices that drop all written data; libraries open them for writing to silence other code."""
DNS_PORT: Final = 53


def abi() -> int:
    """Return the kernel's version of Landlock, or 0 if it lacks Landlock.  Source: landlock(7)."""
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
    """Make the rulesets for *request* now; forks of this process that need no other one share them.

    The second one is for forks with a private network.
    """
    if unavailable() is not None:
        return
    paths, hidden, net = request.read_paths, request.hidden_paths, request.net
    _prepared[:] = [_Prepared(paths, hidden, net, _make(paths, hidden, net))]
    if request.root_paths:
        paths += request.root_paths
        _prepared.append(_Prepared(paths, hidden, _ANY_PORT, _make(paths, hidden, _ANY_PORT)))


def prepare_scratch(request: ConfinementRequest) -> None:
    """Make the ruleset for forks with a scratch directory now, unless there is one.

    Raises:
        OSError: The kernel refused.

    """
    paths, hidden = request.read_paths, request.hidden_paths
    net = _ANY_PORT if request.private_net else request.net
    if unavailable() is not None or any(
        one.scratch and (one.read_paths, one.hidden_paths, one.net) == (paths, hidden, net)
        for one in _prepared
    ):
        return
    others = [one for one in _prepared if one.scratch]
    if len(others) >= MOST_SCRATCH:
        _prepared.remove(others[0])
        os.close(others[0].ruleset)
    made = _make(paths, hidden, net, scratch=True)
    _prepared.append(_Prepared(paths, hidden, net, made, scratch=True))


def ready(task: Task) -> Ready | None:
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    for prepared in _prepared:
        if prepared.is_for(task):
            return _restricting(prepared.ruleset), f"ABI {abi()}"
    return None


def apply(task: Task) -> str | None:
    """Restrict this process until it ends.

    A fork of a prepared process uses the ruleset that it inherited, which covers the hidden paths.
    If its own request is narrower, a second ruleset with a rule for each path is added.  Two
    rulesets allow only the rights that both allow.

    Raises:
        OSError: A call was refused.  A path that cannot be opened is skipped, because it cannot be
            read either.

    """
    request, net = task.request, enforced_rules(task)
    hidden = request.hidden_paths
    for prepared in _prepared:
        if prepared.is_for(task):
            return make_all((_restricting(prepared.ruleset), f"ABI {abi()}"))
    for prepared in _prepared:
        if prepared.is_wider(request, net):
            make_all((_restricting(prepared.ruleset), None))
            hidden = ()
            break
    ruleset = _make(request.read_paths, hidden, net, scratch=bool(request.scratch_bytes))
    return make_all((_restricting(ruleset), f"ABI {abi()}"))


_ANY_PORT: Final = (EVERYTHING,)
MOST_SCRATCH: Final = 4
"""Most rulesets that are kept for forks with a scratch directory."""


def enforced_rules(task: Task) -> tuple[str, ...]:
    """Return the network rules whose ports this layer enforces.

    A private network has a socket for no other port, so that this layer need not know the ports.
    """
    request = task.request
    return _ANY_PORT if request.private_net and task.net != "by port" else request.net


class _Prepared(NamedTuple):
    """A ruleset that was made before this process was forked."""

    read_paths: tuple[str, ...]
    hidden_paths: tuple[str, ...]
    net: tuple[str, ...]
    ruleset: int
    scratch: bool = False

    def is_for(self, task: Task) -> bool:
        """Whether this is just the ruleset that a fork needs."""
        request = task.request
        return (
            self.scratch == bool(request.scratch_bytes)
            and (enforced_rules(task), request.hidden_paths) == (self.net, self.hidden_paths)
            and len(request.read_paths) == len(self.read_paths)
            and set(request.read_paths) == set(self.read_paths)
        )

    def is_wider(self, request: ConfinementRequest, net: tuple[str, ...]) -> bool:
        """Whether this ruleset allows more than a fork needs, and less than no ruleset."""
        return (
            (net, request.hidden_paths) == (self.net, self.hidden_paths)
            and not (request.scratch_bytes or self.scratch)
            and all(lies_below(path, self.read_paths) for path in request.read_paths)
        )


_prepared: list[_Prepared] = []
"""The rulesets that were made before this process was forked, if any."""


def _restricting(ruleset: int) -> list[Call]:
    return [Call("landlock_restrict_self", ruleset, 0), Call("close", ruleset)]


def _make(
    paths: tuple[str, ...],
    hidden: tuple[str, ...],
    net: tuple[str, ...],
    *,
    scratch: bool = False,
) -> int:
    version = abi()
    ports = _ports(net)
    # struct landlock_ruleset_attr has grown: a kernel accepts the fields that it knows, or zeros.
    fields = (
        _known(FS_RIGHTS, version),
        handled_net(version, net),
        _known(SCOPES, version),
    )
    attributes = b"".join(field.to_bytes(8, "little") for field in fields)
    length = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall("landlock_create_ruleset", attributes, length, 0)
    try:
        reading = _Reading(ruleset, hidden)
        for path in paths:
            reading.allow(path)
        if scratch:
            reading.allow_scratch()
        if rights := handled_net(version, net) & (CONNECT_TCP | CONNECT_UDP):
            for port in ports or ():
                # struct landlock_net_port_attr: allowed_access, port
                rule = rights.to_bytes(8, "little") + port.to_bytes(8, "little")
                syscall("landlock_add_rule", ruleset, RULE_NET_PORT, rule, 0)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def handled_net(version: int, net: tuple[str, ...]) -> int:
    """Return the rights over ports that are taken away, except for the ports that *net* names."""
    rights = _known(NET_RIGHTS, version)
    if net:
        rights &= ~BIND_UDP
    if _ports(net) is None:
        rights &= ~(CONNECT_TCP | CONNECT_UDP)
    return rights


def _known(rights: dict[int, int], version: int) -> int:
    return max((mask for since, mask in rights.items() if since <= version), default=0)


class _Reading:
    """Gives back the right to read, path by path, in a ruleset."""

    def __init__(self, ruleset: int, hidden: tuple[str, ...]) -> None:
        self._hidden = frozenset(hidden)
        self._above_hidden = {path[:at] for path in hidden for at, c in enumerate(path) if c == "/"}
        # struct landlock_path_beneath_attr, packed: allowed_access, parent_fd
        self._rule = bytearray(12)
        # Prepared once, because a standard library has two hundred entries.
        address = Long(address_of(self._rule))
        self._add_rule = Call("landlock_add_rule", ruleset, RULE_PATH_BENEATH, address, 0)

    def allow(self, path: str) -> None:
        """Give back the right to read *path* and all below it, except hidden paths.

        Landlock can only add rights below a directory.  So a directory with hidden paths is opened
        entry by entry.  Its list of names stays readable, because the import system reads it.
        """
        if path in self._hidden:
            return
        if path not in self._above_hidden:
            self._add(path)
            return
        self._add(path, READ_DIR)
        for entry in os.scandir(path):
            # The entries of scandir answer these questions without a further system call.
            if entry.path in self._hidden or entry.path in self._above_hidden or entry.is_symlink():
                self.allow(entry.path)
            else:
                self._add(entry.path, READ_FILE | READ_DIR if entry.is_dir() else READ_FILE)

    def allow_scratch(self) -> None:
        """Give back the right to use the scratch directory, which may be mounted later."""
        self._add(SCRATCH_SHELTER, SCRATCH_RIGHTS)

    def _add(self, path: str, rights: int | None = None) -> None:
        """Add a rule for a path; without *rights*, the right to read the file or the directory."""
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
            self._rule[:] = rights.to_bytes(8, "little") + descriptor.to_bytes(4, "little")
            self._add_rule.make()
        finally:
            os.close(descriptor)


def _ports(net: tuple[str, ...]) -> set[int] | None:
    """Return the ports that a run may connect to; None means every port.

    Landlock knows ports but not hosts, so it does not enforce the host of a permission.
    """
    if not net:
        return set()
    from protocol.net_rules import parse_net_rules, ports_of  # most runs have no network

    ports = ports_of(parse_net_rules(net))
    if ports is not None:
        ports.add(DNS_PORT)
    return ports
