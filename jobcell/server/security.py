"""Decides which requests are answered: by host name, token and origin.

On loopback a token is not required.  So the server checks the name that the client has asked for: a page of a stranger,
whose name was made to mean 127.0.0.1, does not get an answer (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.exceptions import (
    ClientException,
    NotAuthorizedException,
    PermissionDeniedException,
)

if TYPE_CHECKING:
    from litestar.handlers import BaseRouteHandler

COOKIE: Final = "jobcell_token"
_JSON: Final = "application/json"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN: Final = frozenset({"/livez", "/readyz", "/login", "/static/page.css"})
"""Paths without a secret, which need no token."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer."""


class Guard:
    """Checks each request before its handler.

    Args:
        token: The token that a client has to send; None on loopback and on a Unix socket.
        hosts: Names that a client may ask for; None: every name, because the token is checked.

    """

    def __init__(self, token: str | None, hosts: frozenset[str] | None) -> None:
        self._token = token
        self._hosts = hosts

    def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        """Refuse a request.

        Raises:
            PermissionDeniedException: Its host name or its origin is a foreign one.
            NotAuthorizedException: It has no token, or a wrong one.
            ClientException: It changes something, and its body is not JSON.

        """
        host = connection.headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            message = f"the host name {host!r} is not one of this server"
            raise PermissionDeniedException(message)
        method = connection.scope.get("method", "GET")
        if method not in _SAFE:
            _check_origin(connection, host)
        if self._token is not None and connection.scope["path"] not in _OPEN:
            self._check_token(connection)

    def accepts(self, token: str) -> bool:
        """Return whether a token is the right one, in a time that does not depend on it."""
        return self._token is None or hmac.compare_digest(token.encode(), self._token.encode())

    def _check_token(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        kind, _, sent = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            sent = connection.cookies.get(COOKIE, "")
        if not sent:
            raise NotAuthorizedException("send the token: Authorization: Bearer TOKEN")
        if not self.accepts(sent):
            raise NotAuthorizedException("the token is not the right one")


def loopback_hosts(host: str) -> frozenset[str]:
    """Return the names of this machine that a client on it uses; *host* is where the server listens."""
    name = host.strip("[]").lower()
    return frozenset({"localhost", "127.0.0.1", "[::1]", f"[{name}]" if ":" in name else name})


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_origin(connection: ASGIConnection[Any, Any, Any, Any], host: str) -> None:
    """Refuse a request that changes something and that another site's page has made."""
    kind = connection.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if connection.scope["path"] not in _OPEN and kind != _JSON:
        # The form of a page of another site cannot have this type.
        raise ClientException(f"the content type must be {_JSON}, not {kind!r}", status_code=415)
    origin = connection.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != host
    if foreign or connection.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise PermissionDeniedException("a page of another site may not change anything here")


def _name(host: str) -> str:
    """Return a host name without its port."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower()
