"""Checks the arguments of a request before anything is sent.

Errors do not show the value of a header, which may be a credential.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import RequestError
from .retries import idempotency_key

LONGEST_TIMEOUT_S = 86_400
"""Longest timeout in seconds; runs do not last that long."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The form of a method and of the name of a header.  Source: RFC 9110, section 5.6.2."""


def checked_method(method: Any) -> str:
    """Return a method in upper case.

    Raises:
        RequestError: The method is not a word.

    """
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise RequestError(f"the method is a word such as GET, not {method!r}")
    return method.upper()


def checked_timeout(timeout_s: Any) -> float:
    """Return a timeout in seconds.

    Raises:
        RequestError: The timeout is not a number between 0 and `LONGEST_TIMEOUT_S`.

    """
    try:
        seconds = 0.0 if isinstance(timeout_s, bool) else float(timeout_s)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT_S:
        raise RequestError(
            f"timeout_s is a number of seconds above 0, at most {LONGEST_TIMEOUT_S}, not"
            f" {timeout_s!r:.100}"
        )
    return seconds


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


def encoded_json(value: Any) -> str:
    """Return *value* as JSON.

    Raises:
        RequestError: *value* has a part that JSON lacks, such as bytes, NaN or a date.

    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"json cannot be sent: {error}") from None
