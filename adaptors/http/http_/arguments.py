"""Checks the arguments of a request before anything is sent.

Errors do not show the value of a header, which may be a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import RequestError
from .retries import idempotency_key

LONGEST_TIMEOUT_S = 86_400
"""Longest timeout in seconds; runs do not last that long."""

LARGEST_MB = 4_096
MOST_REDIRECTS = 50
MOST_RETRIES = 10

PARSERS = ("auto", "json", "text", "bytes", "base64", "stream")

MEGABYTE = 1_000_000

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The form of a method and of the name of a header.  Source: RFC 9110, section 5.6.2."""

_MADE_HERE = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
        "proxy-authorization",
        "expect",
    ]
)
"""Headers that describe the connection or the length of the body.  A wrong one would let two servers
on the way see two different requests."""


def checked_method(method: Any) -> str:
    """Return a method in upper case.

    Raises:
        RequestError: The method is not a word, or it opens a tunnel.

    """
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise RequestError(f"the method is a word such as GET, not {method!r:.100}")
    if method.upper() == "CONNECT":
        raise RequestError("the method CONNECT opens a tunnel, which is not a request")
    return method.upper()


def checked_timeout(timeout: Any, timeout_s: Any) -> float:
    """Return a timeout in seconds from one of two arguments: milliseconds, or seconds.

    Raises:
        RequestError: The timeout is not a number above 0 and at most `LONGEST_TIMEOUT_S`.

    """
    if timeout is not None and timeout_s is not None:
        raise RequestError("either timeout (milliseconds) or timeout_s (seconds), not both")
    given, name, factor = timeout_s, "timeout_s", 1.0
    if timeout is not None:
        given, name, factor = timeout, "timeout", 0.001
    if given is None:
        return 300.0
    try:
        seconds = 0.0 if isinstance(given, bool) else float(given) * factor
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT_S:
        unit = "seconds" if factor == 1 else "milliseconds"
        raise RequestError(
            f"{name} is a number of {unit} above 0, at most {LONGEST_TIMEOUT_S / factor:.0f}, not"
            f" {given!r:.100}"
        )
    return seconds


def checked_number(name: str, given: Any, most: int) -> int:
    """Return a whole number from 0 to *most*.

    Raises:
        RequestError: It is not such a number.

    """
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= most:
        raise RequestError(f"{name} is a whole number from 0 to {most}, not {given!r:.100}")
    return given


def checked_limit(max_mb: Any) -> int:
    """Return the most bytes of a body.

    Raises:
        RequestError: *max_mb* is not a number above 0 and at most `LARGEST_MB`.

    """
    number = isinstance(max_mb, int | float) and not isinstance(max_mb, bool)
    if not number or not 0 < max_mb <= LARGEST_MB:
        raise RequestError(
            f"max_mb is a number of megabytes above 0, at most {LARGEST_MB}, not {max_mb!r:.100}"
        )
    return max(1, int(max_mb * MEGABYTE))


def checked_parser(parse_as: Any) -> str:
    """Return the form in which a body is wanted.

    Raises:
        RequestError: This form does not exist.

    """
    if parse_as is None:
        return "auto"
    if not isinstance(parse_as, str) or parse_as not in PARSERS:
        raise RequestError(f"parse_as is one of {', '.join(PARSERS)}, not {parse_as!r:.100}")
    return "bytes" if parse_as == "stream" else parse_as


def checked_errors(errors: Any) -> dict[int, str | bool] | None:
    """Return the messages for statuses; None if no status is an error.

    Raises:
        RequestError: *errors* is neither False nor a dict from statuses to texts or booleans.

    """
    if errors is False:
        return None
    if errors is None:
        return {}
    if not isinstance(errors, dict):
        raise RequestError(
            f"errors is False or a dict such as {{404: 'no such patient'}}, not {errors!r:.100}"
        )
    made: dict[int, str | bool] = {}
    for status, message in errors.items():
        text = str(status)
        if not (text.isascii() and text.isdecimal() and len(text) == 3):
            raise RequestError(f"errors: {status!r:.100} is not a status such as 404")
        if not isinstance(message, str | bool):
            raise RequestError(
                f"errors[{status}] is a text, True or False, not {type(message).__name__}"
            )
        made[int(text)] = message
    return made


def checked_key(wanted: Any) -> str | None:
    """Return the value of the header `Idempotency-Key`; None to send none.

    Raises:
        RequestError: A key must be given here, because none can be made; or the given key is not a
            text.

    """
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        key = idempotency_key()
        if key is None:
            raise RequestError("idempotency_key=True works in a run only; give a text as the key")
        return key
    if not isinstance(wanted, str) or not wanted.strip():
        raise RequestError(f"idempotency_key is True or a text, not {type(wanted).__name__}")
    return wanted


def checked_headers(headers: Any, name: str = "headers") -> dict[str, str]:
    """Return headers with their names in lower case; None is left out.

    Args:
        headers: The dict of an argument or of the configuration, or None.
        name: The name in errors.

    Raises:
        RequestError: A header cannot be sent.

    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise RequestError(f"{name} is a dict, not {type(headers).__name__}")
    made: dict[str, str] = {}
    for key, value in headers.items():
        if value is None:
            continue
        if isinstance(value, bool | dict | list | tuple | bytes):
            raise RequestError(f"the header {key!r:.100} is a text, not {type(value).__name__}")
        check_header(str(key), str(value))
        lower = str(key).lower()
        if lower in _MADE_HERE:
            raise RequestError(
                f"the header {key!r} cannot be set: it is made from the URL and the body"
            )
        if lower in made:
            raise RequestError(f"the header {key!r} is given twice in {name}")
        made[lower] = str(value).strip(" \t")
    return made


def check_header(name: str, value: str) -> None:
    """Check that a header can be sent.

    Raises:
        RequestError: The header cannot be sent.

    """
    if not _TOKEN.fullmatch(name):
        raise RequestError(f"{name!r:.100} cannot be the name of a header")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise RequestError(f"the header {name!r} has a character beyond Latin-1") from None
    if any(char in "\r\n\0" for char in value):
        raise RequestError(f"the header {name!r} has a line break or a NUL in it")
    if any((char < " " and char != "\t") or char == "\x7f" for char in value):
        raise RequestError(f"the header {name!r} has a control character in it")
