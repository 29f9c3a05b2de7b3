"""Keeps connections, cookies, tokens and challenges from one request of a run to the next.

A session belongs to one configuration, so that steps with different credentials share nothing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from http.cookiejar import CookieJar
from typing import NamedTuple

import httpcore  # noqa: F401 - httpx would load it with the first connection, so no warm run had it
import httpx

from .certificates import make_context, make_powerless_context
from .credentials import Settings, Tls
from .errors import RequestError
from .urls import Origin, origin

MOST_SESSIONS = 16
"""Sessions that are kept; the least recently used one is closed first."""


class Token(NamedTuple):
    """A token of a token server."""

    value: str
    until: float
    """By the monotonic clock."""

    def is_fresh(self) -> bool:
        """Return whether the token can be sent."""
        return time.monotonic() < self.until


class Session:
    """Connections, cookies and credentials of one configuration.

    Attributes:
        token: The last token of the token server.
        digest: The answer to challenges of digest authentication, which counts its uses.

    """

    def __init__(self, settings: Settings) -> None:
        self._transports: dict[tuple[str, Tls, bool], httpx.HTTPTransport] = {}
        self._jars: dict[int, httpx.Cookies] = {}
        self.token: Token | None = None
        self.digest: httpx.DigestAuth | None = (
            httpx.DigestAuth(*settings.digest) if settings.digest else None
        )

    def transport(self, scheme: str, tls: Tls, *, http2: bool) -> httpx.HTTPTransport:
        """Return connections for an origin.

        Args:
            scheme: `http` or `https`.
            tls: The certificates for this origin.
            http2: Whether HTTP/2 may be spoken.

        Raises:
            RequestError: The certificates cannot be used, or HTTP/2 needs a missing package.

        """
        key = (scheme, tls, http2)
        found = self._transports.get(key)
        if found is None:
            context = make_context(tls) if scheme == "https" else make_powerless_context()
            try:
                # Without the environment: a proxy that it names is not one of this run.
                found = httpx.HTTPTransport(verify=context, trust_env=False, http2=http2)
            except ImportError:
                raise RequestError("http2 needs the package h2, which is not here") from None
            self._transports[key] = found
        return found

    def cookies(self, of: Origin) -> httpx.Cookies:
        """Return the cookies for an origin.

        The jar keeps cookies by their domain, path and scheme.  A browser sends them to every port of a
        host; here each port has a jar of its own, because another port may be another service.
        """
        return self._jars.setdefault(of[2], httpx.Cookies(CookieJar()))

    def cookie(self, name: str, url: str) -> str | None:
        """Return the value of a cookie that a request to *url* carries; None if it has none."""
        request = httpx.Request("GET", url)
        self.cookies(origin(url)).set_cookie_header(request)
        carried: str = request.headers.get("cookie", "")
        pairs = (pair.partition("=") for pair in carried.split("; "))
        return next((value for key, _, value in pairs if key == name), None)

    def secrets(self) -> list[str]:
        """Return what servers have given to this session, and no error may show."""
        cookies = [
            cookie.value for jar in self._jars.values() for cookie in jar.jar if cookie.value
        ]
        return cookies if self.token is None else [*cookies, self.token.value]

    def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()


_sessions: OrderedDict[str, Session] = OrderedDict()


def session_of(settings: Settings) -> Session:
    """Return the session of a configuration."""
    session = _sessions.get(settings.key)
    if session is None:
        session = _sessions[settings.key] = Session(settings)
        while len(_sessions) > MOST_SESSIONS:
            _sessions.popitem(last=False)[1].close()
    _sessions.move_to_end(settings.key)
    return session


def forget() -> None:
    """Close all sessions, for tests."""
    while _sessions:
        _sessions.popitem()[1].close()
