"""The address of an HTTP proxy, read strictly."""

from __future__ import annotations

from typing import Final

import msgspec

_HIGHEST_PORT: Final = 65_535
_USER_PARTS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=%:"
)
"""Characters of the user part of a URL: RFC 3986, 3.2.1."""
_RIGHT: Final = "write http://proxy.example.org:3128"


class NetProxy(msgspec.Struct, frozen=True):
    """An HTTP proxy."""

    host: str
    """A name, or an address without brackets."""
    port: int
    authorization: str | None
    """The value of the header Proxy-Authorization."""


def parse_net_proxy(text: str) -> NetProxy:
    """Return the proxy that *text* names: ``http://[user:password@]host[:port]``, port 80 by default.

    Raises:
        ValueError: *text* is not such an address.  The error never quotes the user or password.

    """
    scheme, separator, rest = text.partition("://")
    if scheme.lower() != "http" or not separator:
        shown = scheme[:20] if separator else "no scheme"
        raise ValueError(f"the network proxy has {shown!r} in place of http; {_RIGHT}")
    user, at, place = rest.removesuffix("/").rpartition("@")
    if at and not (user and _USER_PARTS.issuperset(user)):
        raise ValueError(
            "the network proxy has an empty or wrong user; percent-encode its characters"
        )
    from protocol.net_rules import parse_net_rule  # the same strict reading of hosts and ports

    try:
        rule = parse_net_rule(place if _has_port(place) else f"{place}:80")
    except ValueError as error:
        raise ValueError(
            f"the network proxy is not a host and a port; {_RIGHT} ({error})"
        ) from None
    ports = rule.ports
    if rule.kind not in {"name", "address"} or len(ports) != 1 or ports[0][0] != ports[0][1]:
        raise ValueError(
            f"the network proxy {place[:300]!r} is not one host and one port; {_RIGHT}"
        )
    return NetProxy(rule.host, ports[0][0], _basic(user) if at else None)


def _has_port(place: str) -> bool:
    return ":" in place.rpartition("]")[2]


def _basic(user: str) -> str:
    from base64 import b64encode
    from urllib.parse import unquote_to_bytes

    name, _, password = user.partition(":")
    both = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(both).decode()}"
