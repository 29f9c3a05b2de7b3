"""Network namespaces for tests: a process that lives in one, and makes sockets in it for others.

A socket belongs to the namespace in which it was made, for ever.  So a test asks a `Space` for a socket, and
uses it in its own process.  As root the namespace is made directly, and as an ordinary user through a user
namespace.  Every address is local in it (`AnyIP`), so that a server can have any address.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
LOCAL, UNREACHABLE = 2, 7
WAIT_S = 30
IPV6_FREEBIND = 78
"""Bind to any address: linux/in6.h; for IPv4 the route is enough."""
MOST_SOCKETS = 60
IPV4, STREAM = socket.AF_INET, socket.SOCK_STREAM
ORDINARY_UID = 54_321


class Space:
    """A process in a network namespace of its own.

    Args:
        user: The user id of the process; None keeps that of the test.  A program that it starts has no
            capability then, as that of an ordinary user, but it can read files of the test's user.
        files: For each file below `/etc`, the file in its place.
        congestion: How TCP sends, if not as the machine does: the name of a method.

    Raises:
        OSError: The machine does not allow it.

    """

    def __init__(
        self,
        *,
        user: int | None = None,
        files: dict[str, Path] | None = None,
        congestion: str = "",
    ) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._end.settimeout(WAIT_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        self.pid = self._process.pid
        self.user = user
        places = {place: str(file) for place, file in (files or {}).items()}
        try:
            self._ask("enter", user=user, files=places, congestion=congestion)
        except OSError:
            self.close()
            raise

    def inner(self) -> InnerSpace:
        """Return another network namespace, beside this one; it ends with this one."""
        pid, (end,) = self._ask("inner")
        return InnerSpace(self, pid, end)

    def _ask(
        self, what: str, fds: tuple[int, ...] = (), **values: object
    ) -> tuple[object, list[int]]:
        socket.send_fds(self._end, [json.dumps([what, values]).encode()], list(fds))
        answer, got, _, _ = socket.recv_fds(self._end, 1 << 16, 64)
        if not answer:
            raise OSError(errno.EPIPE, "the process of the namespace has ended")
        number, value = json.loads(answer)
        if number:
            raise OSError(number, value)
        return value, got

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """Return a new socket of this namespace."""
        return self.sockets(1, family, kind)[0]

    def sockets(self, count: int, family: int = IPV4, kind: int = STREAM) -> list[socket.socket]:
        """Return new sockets of this namespace; `MOST_SOCKETS` at most."""
        fds = self._ask("sockets", count=count, family=family, kind=kind)[1]
        return [socket.socket(fileno=fd) for fd in fds]

    def listener(self, address: str, port: int, backlog: int = 128) -> socket.socket:
        """Return a socket of this namespace that listens; ``::`` is for IPv4, too."""
        made = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        made.bind((address, port))
        made.listen(backlog)
        return made

    def unreachable(self, block: str) -> None:
        """Have connections to a block of IPv4 addresses fail at once."""
        self._ask("unreachable", block=block)

    def spawn(self, command: list[str], descriptors: dict[int, int], **options: object) -> int:
        """Start a program in this namespace with these descriptors (there: here); return its pid."""
        numbers = list(descriptors)
        value, _ = self._ask(
            "spawn", tuple(descriptors.values()), command=command, numbers=numbers, **options
        )
        assert isinstance(value, int)
        return value

    def wait(self, pid: int) -> int:
        """Wait for a program that was started; return its exit code, negative for a signal."""
        value, _ = self._ask("wait", pid=pid)
        assert isinstance(value, int)
        return value

    def close(self) -> None:
        """End the process; programs that it started get SIGKILL."""
        self._end.close()
        self._process.wait(30)

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait(30)


class InnerSpace(Space):
    """A namespace that was made by the process of another one."""

    def __init__(self, outer: Space, pid: int, end: int) -> None:
        self.pid = pid
        self.user = outer.user
        self._outer = outer
        self._end = socket.socket(fileno=end)
        self._end.settimeout(WAIT_S)

    def close(self) -> None:
        """End the process."""
        self._end.close()
        self._outer.wait(self.pid)


def enter(user: int | None, files: dict[str, str], congestion: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    uid, gid = os.getuid(), os.getgid()
    if uid or user is not None:
        call("unshare", NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user or uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{user or gid} {gid} 1")
    call("unshare", NEWNET | NEWNS)
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    for place, file in files.items():
        target = os.path.realpath(place)
        call("mount", file.encode(), target.encode(), None, MS_BIND, None)
    make_everything_local(congestion.encode())


def make_everything_local(congestion: bytes = b"") -> None:
    """Make every address local, with a method for congestion of TCP if it is not that of the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        fcntl.ioctl(end, 0x8914, struct.pack("16sH14s", b"lo", 0x1 | 0x40, b""))
    route(socket.AF_INET, b"", 0, congestion=congestion)
    route(socket.AF_INET6, b"", 0, congestion=congestion)
    if congestion:  # the kernel has made these when the device came up
        route(socket.AF_INET, bytes((127, 0, 0, 0)), 8, congestion=congestion)
        route(socket.AF_INET, bytes((127, 0, 0, 1)), 32, congestion=congestion)


def fork_inner() -> tuple[int, int]:
    """Return pid and socket of a fork of this process in a network namespace of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours.detach()
    os.closerange(0, theirs.fileno())
    os.closerange(theirs.fileno() + 1, 1_000)
    if ctypes.CDLL(None).unshare(NEWNET):
        os._exit(1)
    make_everything_local(b"reno")  # as in the network of a run
    serve(theirs)
    os._exit(0)


def route(
    family: int, block: bytes, length: int, kind: int = LOCAL, congestion: bytes = b""
) -> None:
    """Add a route to the table of local addresses: RTM_NEWROUTE of rtnetlink(7)."""
    scope = 254 if family == socket.AF_INET and kind == LOCAL else 0
    body = struct.pack("BBBBBBBBI", family, length, 0, 0, 255, 3, scope, kind, 0)
    if block:
        body += struct.pack("HH", 4 + len(block), 1) + block
    if kind == LOCAL:
        body += struct.pack("HHI", 8, 4, 1)
    if congestion:
        body += struct.pack("HHHH8s", 16, 8, 4 + len(congestion) + 1, 16, congestion)
    head = struct.pack("IHHII", 16 + len(body), 24, 0x1 | 0x4 | 0x400 | 0x100, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as end:
        end.send(head + body)
        code = struct.unpack("i", end.recv(4096)[16:20])[0]
    if code:
        raise OSError(-code, f"netlink: {os.strerror(-code)}")


def unreachable(block: str) -> None:
    address, _, length = block.partition("/")
    route(socket.AF_INET, socket.inet_aton(address), int(length), UNREACHABLE)


def spawn(
    command: list[str], numbers: list[int], fds: list[int], environment: dict | None = None
) -> int:
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
    try:
        return os.posix_spawn(
            command[0],
            command,
            os.environ if environment is None else environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, fd, to) for fd, to in zip(high, numbers, strict=True)
            ],
        )
    finally:
        for fd in high:
            os.close(fd)


def serve(end: socket.socket) -> None:
    started: set[int] = set()
    while True:
        request, fds, _, _ = socket.recv_fds(end, 1 << 16, 64)
        if not request:
            break
        what, values = json.loads(request)
        reply: list[int] = []
        value: object = None
        number = 0
        try:
            if what == "enter":
                enter(**values)
            elif what == "sockets":
                family, kind = values["family"], values["kind"]
                reply = [socket.socket(family, kind).detach() for _ in range(values["count"])]
            elif what == "inner":
                value, end_of_inner = fork_inner()
                reply = [end_of_inner]
                started.add(value)
            elif what == "unreachable":
                unreachable(**values)
            elif what == "spawn":
                value = spawn(fds=fds, **values)
                started.add(value)
            elif what == "wait":
                value = os.waitstatus_to_exitcode(os.waitpid(values["pid"], 0)[1])
                started.discard(values["pid"])
        except OSError as error:
            number, value = error.errno or errno.EIO, str(error)
        socket.send_fds(end, [json.dumps([number, value]).encode()], reply)
        for fd in (*fds, *reply):
            os.close(fd)
    for pid in started:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
