"""Finds secrets within a text of a configuration: the password in a URL, a token in a header.

A library takes such a text apart, and may quote a part of it in an error.  So the part is a secret
by itself, as it is written and in decoded form, even if the whole text is public.  This module must
not use `urllib.parse.urlsplit`, which keeps the last URLs in a cache.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

_MAX_JSON_CHARACTERS: Final = 1_000_000
_MAX_CONNECTION_CHARACTERS: Final = 10_000
"""Longest connection string without ``://``; a longer text is only searched in linear time."""

_URL_END: Final = re.compile(r"[\s\"'<>]|://")
_AUTHORITY_END: Final = re.compile(r"[/?#\\]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_SCHEME_CHARACTERS: Final = 32
_TOKEN_SCHEMES: Final = frozenset(("http", "https", "git+http", "git+https"))
"""Schemes of URLs in which a user without a password is a token:
``https://ghp_...@github.com/``."""

_PAIR: Final = re.compile(
    r"(?<![\w.$\-])([A-Za-z_][\w.$\-]{0,63})(?:\[\])?[ ]?=[ ]?"
    r"(?:\"([^\"]*)\"|'([^']*)'|\{([^{}]*)\}|([^\s&;#\"']+))"
)
"""A parameter of a URL, or an assignment in a connection string of libpq, ODBC, ADO or a cloud."""

_WITHOUT_SCHEME: Final = re.compile(r"([^\s:@/]+):(\S+)@[^\s@]+")
_NO_LOGIN: Final = frozenset(("mailto", "sip", "sips", "acct", "xmpp", "im"))
_ORACLE: Final = re.compile(
    r"(?:jdbc:oracle:\w+:)?[\w$#.]*/([^\s@]+)@(?://)?[\w.\-]+(?::\d+)?[:/][\w.]+"
)
_HEADER: Final = re.compile(
    r"\s*(?:[A-Za-z\-]+:\s*)?(bearer|basic|token|apikey|bot|key)\s+(\S+)\s*", re.IGNORECASE
)
_MIN_TOKEN_CHARACTERS: Final = 16
"""Shorter words after ``basic`` or ``token`` are ordinary words, except if they have a digit."""

_SECRET_NAME: Final = re.compile(
    r"passwo?r?d|secret|passphrase|(?:pass|passcode|pwd|token|keys?|sig|signature|auth|"
    r"authorization|credentials?|bearer|jwt|otp)\Z",
    re.IGNORECASE,
)
_SEPARATORS: Final = str.maketrans("", "", "_-.$ ")


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name holds a secret: ``password``, ``X-Amz-Signature``."""
    return _SECRET_NAME.search(name.translate(_SEPARATORS)) is not None


def secrets_within(text: str) -> Iterator[str]:
    """Yield the parts of a configuration's text that are secrets, however short they are."""
    for found in _found(text):
        yield found
        if "%" in found or "+" in found:
            decoded = unquote(found)
            yield from (decoded, unquote_plus(found), unquote(decoded))


def _found(text: str) -> Iterator[str]:
    if "://" in text:
        yield from _passwords_of_urls(text)
    elif "@" in text and len(text) <= _MAX_CONNECTION_CHARACTERS:
        yield from _password_without_scheme(text)
    if "@" in text and len(text) <= _MAX_CONNECTION_CHARACTERS:
        oracle = _ORACLE.fullmatch(text.strip())
        if oracle:
            yield oracle[1]
    if "=" in text:
        yield from _values_of_pairs(text)
    yield from _token_of_header(text)
    if text.lstrip()[:1] in {"{", "["} and len(text) <= _MAX_JSON_CHARACTERS:
        yield from _secrets_of_json(text)


def _passwords_of_urls(text: str) -> Iterator[str]:
    """Yield the password in each URL: before the last ``@``, or before the ``@`` of each host."""
    place = text.find("://")
    while place >= 0:
        begin = place + 3
        end = _URL_END.search(text, begin)
        tail = text[begin : end.start() if end else len(text)]
        scheme = _SCHEME.search(text[max(0, place - _SCHEME_CHARACTERS) : place])
        if "@" in tail:
            yield from _passwords_of_authority(tail, scheme[0].lower() if scheme else "")
        place = text.find("://", begin)


def _passwords_of_authority(tail: str, scheme: str) -> Iterator[str]:
    end = _AUTHORITY_END.search(tail)
    authority = tail[: end.start()] if end else tail
    if "@" in authority:
        logins = {authority.rpartition("@")[0]}
        logins |= {host.rpartition("@")[0] for host in authority.split(",") if "@" in host}
    elif _ends_in_port(authority):
        return
    else:
        logins = set()
    # A password with a slash in it, which should have been encoded.
    logins.add(tail.rpartition("@")[0])
    for login in logins:
        user, colon, password = login.partition(":")
        if colon:
            yield password
        elif scheme in _TOKEN_SCHEMES and user == authority.rpartition("@")[0]:
            yield user


def _ends_in_port(authority: str) -> bool:
    """Whether *authority* is a host, with or without a port, and not the beginning of a login."""
    host, colon, port = authority.rpartition(":")
    return not colon or not port or port.isdigit() or host.startswith("[")


def _password_without_scheme(text: str) -> Iterator[str]:
    login = _WITHOUT_SCHEME.fullmatch(text.strip())
    if login and login[1].lower() not in _NO_LOGIN:
        yield login[2]


def _values_of_pairs(text: str) -> Iterator[str]:
    for name, *values in _PAIR.findall(text):
        value = next(filter(None, values), "")
        if value and is_secret_name(name):
            yield value
            before, comma, _ = value.partition(",")
            if comma:
                yield before


def _token_of_header(text: str) -> Iterator[str]:
    header = _HEADER.fullmatch(text)
    if header is None:
        return
    kind, token = header.groups()
    if len(token) < _MIN_TOKEN_CHARACTERS and not any(map(str.isdigit, token)):
        return
    yield token
    if kind.lower() == "basic":
        try:
            login = base64.b64decode(token, validate=True).decode()
        except (binascii.Error, ValueError):
            return
        yield login.partition(":")[2]


def _secrets_of_json(text: str) -> Iterator[str]:
    """Yield the values with names of secrets in a key file, and the passwords in its URLs."""
    try:
        pending: list[tuple[str, Any]] = [("", json.loads(text))]
    except (ValueError, RecursionError):
        return
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.items())
        elif isinstance(value, list):
            pending.extend((name, item) for item in value)
        elif isinstance(value, str):
            if is_secret_name(name):
                yield value
            if "://" in value:
                yield from _passwords_of_urls(value)
