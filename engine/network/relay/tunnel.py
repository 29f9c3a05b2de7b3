"""Asks an HTTP proxy for a connection to a host: the method CONNECT (RFC 9110, 9.3.6)."""

from __future__ import annotations

import re
import socket
from typing import Final

from protocol.net_proxy import NetProxy

_MAX_HEAD_BYTES: Final = 16 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]{0,100}))?[^\r\n]*\r?\n")
_END: Final = re.compile(rb"\r?\n\r?\n")


def request(proxy: NetProxy, host: str, port: int) -> bytes:
    """Return the request for a connection to *host*, which is a name or an address."""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def read_head(end: socket.socket) -> str | None:
    """Read the proxy's answer, and none of the bytes behind it.

    Returns:
        None if the answer is not complete yet; empty if the proxy has connected; otherwise the reason
        why it has not.

    Raises:
        OSError: The proxy has ended the connection with an error.

    """
    try:
        head = end.recv(_MAX_HEAD_BYTES, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    if not head:
        return "the proxy closed the connection"
    stop = _END.search(head)
    if stop is None:
        if len(head) == _MAX_HEAD_BYTES or b"HTTP/1."[: len(head)] != head[:7]:
            return "the proxy sent something other than an answer of HTTP"
        return None
    status = _STATUS.match(head)
    if status is None:
        return "the proxy sent something other than an answer of HTTP"
    end.recv(stop.end())
    if status[1].startswith(b"2"):
        return ""
    text = (status[2] or b"").decode("ascii", "replace").strip()
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return f"the proxy answered {status[1].decode()} {shown}".rstrip()
