"""Layer: a private network in which every address belongs to the run itself.

The run gets a network namespace of its own.  There all addresses are local, so that a connection to any
address ends at a socket inside.  Only the ports that the rules name have one, and there is one for names at
each address that `resolv.conf` names.  The child passes these sockets to the relay of the engine and closes
them.  The relay sees which address and port a job has meant, and decides.

No packet can leave the namespace: its only device is the loopback.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Final

from protocol.link import BACKLOG, LINK_END, LINK_MORE, MAX_LINK_DESCRIPTORS, NAME_PORT
from sandbox_child.confine import landlock
from sandbox_child.confine.kernel import syscall
from sandbox_child.confine.namespaces import NEW_NET
from sandbox_child.confine.refusal import ConfinementRefused
from sandbox_child.confine.task import explain

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator

    from protocol.confinement import ConfinementRequest
    from sandbox_child.confine.task import Ready, Task

NAME = "network"
STOPS = "reaching hosts that no rule names, and sending packets of any other kind"
REMEDY = (
    "allow user namespaces (user.max_user_namespaces > 0, no filter that denies unshare),"
    " or accept that rules hold by port alone with Policy(net='ports')"
)

PORTS_ABI: Final = 4
"""The first ABI of Landlock that knows ports (Linux 6.7)."""

RESOLVER_FILE: Final = "/etc/resolv.conf"
DEFAULT_SERVER: Final = "127.0.0.1"
"""The address that the C library asks if the file does not name one: resolv.conf(5)."""
_MAX_SERVERS: Final = 3

_AF_INET: Final = 2
_AF_INET6: Final = 10
_AF_NETLINK: Final = 16
_SOCK_STREAM: Final = 1
_SOCK_DGRAM: Final = 2
_SOCK_RAW: Final = 3
_SOL_SOCKET: Final = 1
_SCM_RIGHTS: Final = 1
_IPPROTO_IPV6: Final = 41
_IPV6_V6ONLY: Final = 26
_IPV6_FREEBIND: Final = 78
"""Bind to any address, as the route allows it for IPv4: linux/in6.h."""
_SIOCSIFFLAGS: Final = 0x8914
_UP_AND_RUNNING: Final = 0x41
_INTERFACE: Final = b"lo".ljust(16, b"\0") + _UP_AND_RUNNING.to_bytes(2, "little") + bytes(22)
"""struct ifreq: name, flags."""

_METRICS: Final = b"\x10\0\x08\0\x09\0\x10\0reno\0\0\0\0"
"""RTA_METRICS with RTAX_CC_ALGO: nothing is lost inside, so that senders need not wait between packets, as
those of other methods do (ADR 0121).  Every kernel has this method."""

_NOBODY_READS: Final = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED)
_NO_RELAY: Final = "the relay of the engine has ended before it could serve the run"
_START_AGAIN: Final = (
    "start the run again; if that does not help, look at the standard error of the engine's process"
)

_TRY_AGAIN_S: Final = 0.005
_TRIES: Final = 2_000
"""The relay reads at once, unless it is only starting: the kernel limits descriptors on their way."""

TRIAL_ADDRESS: Final = "203.0.113.77"
"""An address for documentation (RFC 5737), which belongs to nobody: see `is_private`."""


def unavailable() -> str | None:
    """Return None: only `apply` can find out whether the layer can be put on here."""
    return None


def apply(task: Task) -> str | None:
    """Move into a private network, and pass its sockets on; return how the rules are enforced.

    Raises:
        OSError: The network could not be made, and the policy does not accept less.

    """
    request = task.request
    if not request.private_net:
        return None
    try:
        if not task.empty_net:
            _Unsharing().make()
    except OSError as error:
        if not request.net_by_port:
            raise
        if landlock.abi() < PORTS_ABI:
            raise OSError(error.errno, "landlock: this kernel cannot restrict ports") from None
        if request.net_bytes is not None:
            reason = f"net_mb can only be counted in a private network ({explain(error)})"
            raise ConfinementRefused(NAME, reason, REMEDY) from None
        _send(task.link_fd, ())
        task.net = "by port"
        return f"{task.net}, because of {explain(error)}"
    _Making(request, task.link_fd).make()
    task.net = "by name"
    return task.net


def ready(task: Task) -> Ready | None:
    """Return the calls of `apply`: see `sandbox_child.confine.ready`."""
    request = task.request
    if not request.private_net:
        return [], None
    if request.net_by_port:
        return None  # Landlock needs to know the outcome
    return [_Unsharing(), _Making(request, task.link_fd)], "by name"


def make(request: ConfinementRequest, link_fd: int | None) -> None:
    """Make the network of this process, which has just left that of others, a private one.

    Raises:
        OSError: The kernel refused.

    """
    _Making(request, link_fd).make()


class _Unsharing:
    """Leaves the network namespace of the process."""

    name: Final = "unshare"

    def make(self) -> int:
        return syscall("unshare", NEW_NET)


class _Making:
    """Makes every address local in a new network namespace, and passes its sockets on.

    Source: netdevice(7), rtnetlink(7), ip(7), ipv6(7).
    """

    name: Final = "sendmsg"

    def __init__(self, request: ConfinementRequest, link_fd: int | None) -> None:
        from protocol.net_rules import parse_net_rules, ports_of  # most runs have no network

        self._ports = sorted(ports_of(parse_net_rules(request.net)) or ())
        self._servers = name_servers()
        self._link_fd = link_fd

    def make(self) -> int:
        from _socket import socket

        _bring_up(socket)
        for route in _IPV4_ROUTES:
            _make_local(socket, route)
        with_ipv6 = _can_ipv6(socket)
        _send(self._link_fd, _sockets(socket, self._ports, self._servers, with_ipv6=with_ipv6))
        return 0


def _bring_up(socket: type[_socket.socket]) -> None:
    from fcntl import ioctl

    end = socket(_AF_INET, _SOCK_DGRAM)
    try:
        ioctl(end.fileno(), _SIOCSIFFLAGS, _INTERFACE)
    except OSError as error:
        raise OSError(error.errno, "ioctl: the loopback device") from None
    finally:
        end.close()


def _can_ipv6(socket: type[_socket.socket]) -> bool:
    """Make the addresses of IPv6 local; return False on a machine without IPv6."""
    try:
        _make_local(socket, _IPV6_ROUTE)
        socket(_AF_INET6, _SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _make_local(socket: type[_socket.socket], route: bytes) -> None:
    """Add a route, or replace the one of the kernel."""
    end = socket(_AF_NETLINK, _SOCK_RAW, 0)
    try:
        end.sendall(route)
        answer = end.recv(4096)
    finally:
        end.close()
    code = int.from_bytes(answer[16:20], "little", signed=True)
    if code:
        raise OSError(-code, f"netlink: {os.strerror(-code)}")


def _local_route(family: int, block: bytes = b"", length: int = 0) -> bytes:
    """Return the message for ``local 0.0.0.0/0 dev lo congctl reno``, or another block.

    It is a struct nlmsghdr, a struct rtmsg and the attributes RTA_DST, RTA_OIF and RTA_METRICS.
    """
    host_scope = 254 if family == _AF_INET else 0
    # family, lengths of destination and source, tos, table local, protocol boot, scope, type local
    route = bytes((family, length, 0, 0, 255, 3, host_scope, 2)) + bytes(4)
    by_loopback = b"\x08\0\x04\0\x01\0\0\0"  # RTA_OIF: interface 1
    destination = b"\x08\0\x01\0" + block if block else b""
    body = route + destination + by_loopback + _METRICS
    # length, RTM_NEWROUTE, REQUEST ACK CREATE REPLACE, sequence, port
    head = (16 + len(body)).to_bytes(4, "little") + b"\x18\0\x05\x05\x01\0\0\0" + bytes(4)
    return head + body


_IPV4_ROUTES: Final = (
    _local_route(_AF_INET),
    # The kernel has made these when the device came up; ours are used for congestion control.
    _local_route(_AF_INET, bytes((127, 0, 0, 0)), 8),
    _local_route(_AF_INET, bytes((127, 0, 0, 1)), 32),
)
_IPV6_ROUTE: Final = _local_route(_AF_INET6)


def resolver_version(path: str = RESOLVER_FILE) -> int:
    """Return a number that changes with the file of `name_servers`."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def name_servers(path: str = RESOLVER_FILE) -> list[str]:
    """Return the addresses at which the C library asks for names: resolv.conf(5)."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return [DEFAULT_SERVER]
    found = []
    for line in lines:
        words = line.split(None, 2)
        if line[:1].strip() and len(words) > 1 and words[0] == "nameserver":
            found.append(words[1])
    return found[:_MAX_SERVERS] or [DEFAULT_SERVER]


def _sockets(
    socket: type[_socket.socket], ports: Iterable[int], servers: Iterable[str], *, with_ipv6: bool
) -> Iterator[_socket.socket]:
    """Yield the sockets of the network: one for each port, and two for each server of names."""
    anywhere = "::" if with_ipv6 else ""
    with_names = True
    for port in ports:
        with_names = with_names and port != NAME_PORT  # that socket takes names, too
        yield _listening(socket(_AF_INET6 if with_ipv6 else _AF_INET, _SOCK_STREAM), anywhere, port)
    for server in dict.fromkeys(servers):
        family = _AF_INET6 if ":" in server else _AF_INET
        if family == _AF_INET6 and not with_ipv6:
            continue
        try:
            yield _bound(socket(family, _SOCK_DGRAM), server, NAME_PORT)
            if with_names:
                yield _listening(socket(family, _SOCK_STREAM), server, NAME_PORT)
        except OSError as error:
            if error.errno not in (errno.EINVAL, None):  # such as fe80::1%eth0
                raise


def _listening(made: _socket.socket, address: str, port: int) -> _socket.socket:
    made = _bound(made, address, port)
    made.listen(BACKLOG)
    return made


def _bound(made: _socket.socket, address: str, port: int) -> _socket.socket:
    if made.family == _AF_INET6:
        made.setsockopt(_IPPROTO_IPV6, _IPV6_V6ONLY, int(address != "::"))
        made.setsockopt(_IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    made.bind((address, port))
    return made


def _send(link_fd: int | None, sockets: Iterable[_socket.socket]) -> None:
    """Pass the sockets on, close them here, and close the link.

    Without a link they are only closed: nobody serves the network, so every connection is refused.
    """
    from _socket import socket

    link = None if link_fd is None else socket(fileno=link_fd)
    batch: list[_socket.socket] = []
    for made in sockets:
        batch.append(made)
        if len(batch) == MAX_LINK_DESCRIPTORS:
            _pass_on(link, LINK_MORE, batch)
            batch = []
    _pass_on(link, LINK_END, batch)
    if link is not None:
        link.close()


def _pass_on(link: _socket.socket | None, body: bytes, batch: list[_socket.socket]) -> None:
    descriptors = b"".join(made.fileno().to_bytes(4, "little") for made in batch)
    ancillary = [(_SOL_SOCKET, _SCM_RIGHTS, descriptors)] if batch else []
    for left in range(_TRIES if link is not None else 0, 0, -1):
        assert link is not None
        try:
            link.sendmsg([body], ancillary)
            break
        except OSError as error:
            if error.errno in _NOBODY_READS:
                raise ConfinementRefused(NAME, _NO_RELAY, _START_AGAIN) from None
            if error.errno != errno.ETOOMANYREFS or left == 1:
                raise OSError(error.errno, f"sendmsg: {error.strerror}") from None
            time.sleep(_TRY_AGAIN_S)
    for made in batch:
        made.close()


def is_private() -> bool:
    """Return whether this process is in a network where every address is its own.

    A datagram socket that is connected to an address of this machine has that address itself.  No packet
    is sent.
    """
    from _socket import socket

    end = socket(_AF_INET, _SOCK_DGRAM)
    try:
        end.connect((TRIAL_ADDRESS, NAME_PORT))
        return bool(end.getsockname()[0] == TRIAL_ADDRESS)
    except OSError:
        return False
    finally:
        end.close()
