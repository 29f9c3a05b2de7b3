"""A small server that says how a worker is: ``/livez``, ``/readyz`` and ``/metrics``.

The names are those of Kubernetes.  A worker that is fenced off or drains is alive and not ready.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

log: logging.Logger = logging.getLogger("jobcell.worker")


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


def read_address(text: object) -> Address:
    """Return the address in ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT``, which means all addresses.

    Raises:
        TypeError: It is not text.
        ValueError: It is not an address.

    """
    if not isinstance(text, str):
        raise TypeError(f"health must be text such as '127.0.0.1:8080', not {text!r}")
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"health must be HOST:PORT, such as 127.0.0.1:8080, not {text!r}")
    return Address(host, int(port))


class Condition(NamedTuple):
    """The condition of a worker."""

    is_alive: bool
    problems: tuple[str, ...]
    """Why it is not ready; empty if it is."""


class Health:
    """Answers requests in threads of its own, until it is closed.

    Args:
        address: Where it listens; port 0 takes a free one.
        condition: Returns the condition of the worker.
        metrics: Returns the page of metrics, and its content type.

    Raises:
        OSError: It cannot listen there.

    """

    def __init__(
        self,
        address: Address,
        condition: Callable[[], Condition],
        metrics: Callable[[], tuple[bytes, str]],
    ) -> None:
        class Handler(_Handler):
            pages = staticmethod(_pages(condition, metrics))

        kind = _Server6 if _is_ipv6(address.host) else _Server
        self._server = kind(address, Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="jobcell-health", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of the server."""
        host, port = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{shown}:{port}"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A worker that starts again finds its port free, see SO_REUSEADDR in socket(7).
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address  # a client that hangs up is not worth a traceback


class _Server6(_Server):
    import socket as _socket

    address_family = _socket.AF_INET6


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


Page = tuple[int, bytes, str]
_TEXT = "text/plain; charset=utf-8"


def _pages(
    condition: Callable[[], Condition], metrics: Callable[[], tuple[bytes, str]]
) -> Callable[[str], Page]:
    def page(path: str) -> Page:
        if path == "/livez":
            is_alive = condition().is_alive
            return (200, b"ok\n", _TEXT) if is_alive else (503, b"the worker hangs\n", _TEXT)
        if path == "/readyz":
            problems = condition().problems
            if not problems:
                return 200, b"ok\n", _TEXT
            return 503, "".join(f"{problem}\n" for problem in problems).encode(), _TEXT
        if path == "/metrics":
            body, kind = metrics()
            return 200, body, kind
        return 404, b"there are /livez, /readyz and /metrics\n", _TEXT

    return page


class _Handler(BaseHTTPRequestHandler):
    pages: Callable[[str], Page]
    server_version = "jobcell"
    sys_version = ""
    timeout = 10  # seconds for a client that sends nothing

    def do_GET(self) -> None:
        """Answer a request for a page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer a request for the head of a page."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        try:
            status, body, kind = type(self).pages(self.path.partition("?")[0])
        except Exception:
            log.exception("the page %s cannot be made", self.path)
            status, body, kind = 500, b"internal error\n", _TEXT
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Log nothing: probes come every few seconds."""
