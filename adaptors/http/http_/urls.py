"""URLs: made from a base and a path, encoded, compared by origin, and shown without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any, TypeAlias
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit, urlunsplit

from .errors import RequestError

Origin: TypeAlias = tuple[str, str, int]
"""Scheme, host and port."""

_WHOLE = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
_USER = re.compile(r"//[^/?#\s]*@")
_SECRET_PARAMETER = re.compile(
    r"(?<=[?&])([^=&#\s]*(?:token|secret|password|passwd|api_?-?key|signature)[^=&#\s]*)=[^&#\s]+",
    re.IGNORECASE,
)


def shown(url: str) -> str:
    """Return *url* in a form for errors: without user, password, and parameters named as secrets."""
    return _SECRET_PARAMETER.sub(r"\1=***", _USER.sub("//***@", url))


def origin(url: str) -> Origin:
    """Return scheme, host and port of *url*.

    Raises:
        RequestError: *url* is not an http or https URL.

    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestError(
            f"not an http or https URL: {shown(url)!r} ({error})", url=shown(url)
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(f"not an http or https URL: {shown(url)!r}", url=shown(url))
    if "@" in parts.netloc:
        raise RequestError(
            f"the URL {shown(url)!r} has a user name or password in it; put them into the"
            " configuration as username and password",
            url=shown(url),
        )
    if port is None:
        port = {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, _looked_up(parts.hostname, url), port


def make_url(base_url: str | None, path: str, query: dict[str, Any] | None) -> str:
    """Return the URL of *path* below *base_url*, with *query* added to its own query.

    Raises:
        RequestError: The URL has no host, or a part of the query cannot be sent.

    """
    is_whole = _WHOLE.match(path) is not None
    if base_url is None and not is_whole:
        raise RequestError(
            f"{shown(path)!r} is not a whole URL, and the configuration has no base_url",
            url=shown(path),
        )
    whole = path if is_whole else f"{(base_url or '').rstrip('/')}/{path.lstrip('/')}"
    return _finished(whole.strip(), query)


def redirected(url: str, location: str) -> str:
    """Return the URL that the header `Location` of an answer from *url* means.

    Raises:
        RequestError: It is not an http or https URL.

    """
    return _finished(joined(url, location.strip()), None)


def joined(url: str, reference: str) -> str:
    """Return the URL that a reference in an answer from *url* means.

    Raises:
        RequestError: *reference* is not a URL.

    """
    try:
        return urljoin(url, reference)
    except ValueError as error:
        made = shown(reference)
        raise RequestError(f"not an http or https URL: {made!r} ({error})", url=made) from None


def _finished(whole: str, query: dict[str, Any] | None) -> str:
    origin(whole)
    # urlsplit would drop a line break or a tab, which is text in a URL made from values.
    parts = urlsplit(_encoded(whole, "\t\n\r"))
    pairs = urlencode(list(_pairs(query or {})), errors="replace")
    joined = "&".join(part for part in (_encoded(parts.query), pairs) if part)
    # The part after "#" is for the client only, and is not sent.
    encoded = (parts.scheme, _encoded_host(parts, whole), _encoded(parts.path), joined, "")
    return urlunsplit(encoded)


def _pairs(query: dict[str, Any]) -> Iterator[tuple[str, str | bytes]]:
    for name, value in query.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is not None:
                yield str(name), parameter(name, item)


def parameter(name: object, value: Any) -> str | bytes:
    """Return a value of a query or of a form as text; true and false as in JSON.

    Raises:
        RequestError: The value is not a text, a number, a date or a boolean.

    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, dict | list | tuple | set):
        raise RequestError(f"{name!r:.100} is a {type(value).__name__}, not a text or a number")
    return value if isinstance(value, bytes) else str(value)


_SENT_AS_IT_IS = frozenset(map(chr, range(0x21, 0x7F))).difference('"<>\\^`{|}')
_NOT_AN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _encoded(text: str, only: str = "") -> str:
    """Return *text* with characters that a URL must not have percent-encoded; escapes stay.

    Args:
        text: A path, a query or a whole URL.
        only: The characters to encode; if empty, all that must be encoded.

    """
    made = _NOT_AN_ESCAPE.sub("%25", text) if not only else text
    wanted = frozenset(only)
    return "".join(
        quote(char, safe="", errors="replace")
        if (char in wanted if only else char not in _SENT_AS_IT_IS)
        else char
        for char in made
    )


def _encoded_host(parts: SplitResult, url: str) -> str:
    """Return the network location with the host in its form for DNS (IDNA).

    Raises:
        RequestError: The host is not valid.

    """
    if parts.netloc.isascii():
        if any(char <= " " or char == "\x7f" for char in parts.netloc):
            raise RequestError(
                f"the host of {shown(url)!r} has a space or a control character", url=shown(url)
            )
        return parts.netloc
    host, colon, port = parts.netloc.partition(":")
    return f"{_looked_up(host, url)}{colon}{port}"


def _looked_up(host: str, url: str) -> str:
    """Return a host in its form for DNS, in lower case.

    Raises:
        RequestError: The host cannot be looked up, for example because a part of it is too long.

    """
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise RequestError(
            f"the host of {shown(url)!r:.300} cannot be looked up: {error}", url=shown(url)
        ) from None
