"""Web servers of tests: real ones, on this machine, whose routes are functions."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Seen:
    """A request as a server has seen it."""

    method: str
    target: str
    headers: Message
    body: bytes
    connection: int
    peer: dict[str, Any] | None = None
    """The certificate of the client."""

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the query."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)


@dataclass
class Reply:
    """An answer of a route."""

    status: int = 200
    headers: dict[str, str] | list[tuple[str, str]] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    """The value of the header Content-Length; None means the truth."""


def as_json(value: Any, **headers: str) -> Reply:
    """Return a reply with JSON."""
    return Reply(200, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


def echo(seen: Seen) -> Reply:
    """Answer with the request itself."""
    headers = {name.lower(): value for name, value in seen.headers.items()}
    told = {"method": seen.method, "target": seen.target, "headers": headers}
    return as_json({**told, "body": seen.body.decode("latin-1")})


class Web:
    """A server.  A path without a route is an echo."""

    def __init__(
        self, routes: dict[str, Callable[[Seen], Reply]] | None = None, *, tls: Any = None
    ) -> None:
        self.routes = dict(routes or {})
        self.seen: list[Seen] = []
        self._connections = 0
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                web._connections += 1
                self.number = web._connections

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                peer = self.connection.getpeercert() if tls is not None else None
                seen = Seen(self.command, self.path, self.headers, body, self.number, peer)
                web.seen.append(seen)
                reply = web.routes.get(seen.path, echo)(seen)
                self.send_response(reply.status)
                given = reply.headers
                for name, value in given.items() if isinstance(given, dict) else given:
                    self.send_header(name, value)
                if reply.status not in (204, 304):
                    length = len(reply.body) if reply.length is None else reply.length
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)
                if reply.length is not None:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

            def log_message(self, *args: object) -> None:
                """Write no log."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """Ignore clients that go away or do not trust the server."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.url = f"http{'s' if tls is not None else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def state(self, **configuration: Any) -> dict[str, Any]:
        """Return a state whose configuration has this server as the base URL."""
        return {"configuration": {"base_url": self.url, **configuration}, "data": "before"}

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *args: object) -> None:
        """Stop the server."""
        self.close()


def server_tls(certificate: Any, *, clients_of: Any = None) -> ssl.SSLContext:
    """Return the context of a server; with *clients_of* it wants certificates of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients_of is not None:
        context.load_verify_locations(clients_of)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
