"""Another attempt of a request: whether it may be made, when, and with which key."""

from __future__ import annotations

import random
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from .errors import HttpError

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later: too slow, too early, too many, overloaded."""

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods whose second request changes nothing more.  Source: RFC 9110, section 9.2.2."""

LONGEST_WAIT_S = 30.0
"""A longer delay is left to the plan: the error carries it as `retry_after_s`."""

_FIRST_WAIT_S = 0.5
_MAX_DIGITS = 12

_used: dict[str, int] = {}
"""The step run and attempt that asked for keys last, to the number of its keys."""


def retry_advice(status: int, retry_after: str | None) -> dict[str, Any]:
    """Return `retryable`, and `retry_after_s` if the server names a delay that can be read.

    Args:
        status: The status of the response.
        retry_after: The header `Retry-After`: seconds, or a date of HTTP.

    """
    retryable = status in RETRYABLE
    delay_s = _seconds(retry_after.strip()) if retry_after is not None and retryable else None
    return {"retryable": retryable, **({} if delay_s is None else {"retry_after_s": delay_s})}


def wait_before(attempt: int, error: HttpError) -> float | None:
    """Return the seconds to wait after attempt number *attempt*; None if they are too many.

    The server's own delay wins over ours, which doubles and varies by a tenth.
    """
    delay_s: float | None = vars(error).get("retry_after_s")
    if delay_s is None:
        # Two clients that failed together should not come back together.
        delay_s = _FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.9, 1.1)  # noqa: S311
    return delay_s if delay_s <= LONGEST_WAIT_S else None


def _seconds(text: str) -> float | None:
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        # A date of HTTP is in GMT, whatever its zone is called.
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, at.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def idempotency_key() -> str | None:
    """Return a key for one more request of the running step; None outside of a run.

    The first request of an attempt gets the key of the step run, and the next ones `key:2`,
    `key:3`, and so on. If a job always makes its requests in the same order, they have the same
    keys in every attempt.
    """
    try:
        import jobcell_context
    except ImportError:
        return None
    key: str | None = jobcell_context.idempotency_key
    if key is None:
        return None
    attempt = f"{key} {jobcell_context.attempt}"
    number = _used.get(attempt, 0) + 1
    _used.clear()
    _used[attempt] = number
    return key if number == 1 else f"{key}:{number}"
