"""Reads the sockets that a child has made, and checks each of them."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from typing import Final

from protocol.link import LINK_END, LINK_MORE, MAX_LINK_DESCRIPTORS, NAME_PORT
from protocol.net_rules import MAX_PORTS

MAX_NAME_SOCKETS: Final = 16
"""Most sockets for names; a `resolv.conf` has three servers at most that count."""
MAX_LISTENERS: Final = 2 * MAX_PORTS + MAX_NAME_SOCKETS
"""Two for each port (IPv4 and IPv6), and those for names over TCP."""

_MAX_BODY_BYTES: Final = 16
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


class LinkError(Exception):
    """A link brought something that no child of ours sends."""


class Link:
    """The relay's end of a link."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.ended = False
        self._listeners = 0
        self._name_sockets = 0

    def read(self) -> Iterator[socket.socket]:
        """Yield the sockets that have come, until none is there or the link has ended.

        Raises:
            LinkError: The link brought something else; all of that message was closed.

        """
        while not self.ended:
            try:
                body, fds, cut = _receive(self.end)
            except BlockingIOError:
                return
            except OSError:
                body, fds, cut = b"", [], False
            sockets = _as_sockets(fds)
            try:
                if cut:
                    raise LinkError("descriptors of a message were cut off")
                self.ended = body in (b"", LINK_END)
                if body not in (b"", LINK_END, LINK_MORE):
                    raise LinkError("a message has an unknown text")
                if len(sockets) < len(fds):
                    raise LinkError("a descriptor is not a socket")
                for one in sockets:
                    self._check(one)
            except BaseException:
                for one in sockets:
                    one.close()
                raise
            yield from sockets

    def _check(self, made: socket.socket) -> None:
        """Check that a socket is a listener, or a socket for names.

        Raises:
            LinkError: It is neither.

        """
        if made.family not in _FAMILIES:
            raise LinkError("a socket is not of the family of IPv4 or IPv6")
        try:
            if made.proto not in (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP):
                raise LinkError("a socket has another protocol than TCP and UDP")
            made.setblocking(False)
            if made.type == socket.SOCK_DGRAM and made.getsockname()[1] == NAME_PORT:
                self._name_sockets += 1
            elif made.type == socket.SOCK_STREAM and made.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                self._listeners += 1
            else:
                raise LinkError("a socket neither listens nor is for names")
        except OSError as error:
            raise LinkError(f"a socket is not usable: {os.strerror(error.errno or 0)}") from None
        if self._name_sockets > MAX_NAME_SOCKETS or self._listeners > MAX_LISTENERS:
            raise LinkError("there are too many sockets")


def _receive(end: socket.socket) -> tuple[bytes, list[int], bool]:
    """Return the body of a message, its descriptors, and whether some of them were cut off."""
    room = socket.CMSG_SPACE(MAX_LINK_DESCRIPTORS * array.array("i").itemsize)
    body, ancillary, flags, _ = end.recvmsg(_MAX_BODY_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return body, list(fds), bool(flags & socket.MSG_CTRUNC)


def _as_sockets(fds: list[int]) -> list[socket.socket]:
    """Return the descriptors that are sockets; the others are closed."""
    sockets = []
    for fd in fds:
        try:
            sockets.append(socket.socket(fileno=fd))
        except OSError:
            os.close(fd)
    return sockets
