"""Hints of a response about another attempt, and keys that mark repeated requests."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later: too slow, too early, too many, overloaded."""

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


def _seconds(text: str) -> float | None:
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        # A date of HTTP is in GMT, whatever its zone is called.
        return max(0.0, at.timestamp() - time.time() if at.tzinfo else _of_naive(at))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _of_naive(at: Any) -> float:
    from datetime import UTC

    return float(at.replace(tzinfo=UTC).timestamp() - time.time())


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
