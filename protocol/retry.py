"""The rules of retries, in one place: whether a failed attempt is repeated, and after which delay.

The child applies them to errors of jobs.  The engine applies them to timeouts and deaths, which end
the child.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from protocol.report import SEVERITY_BY_NAME

if TYPE_CHECKING:
    from protocol.plan import Retry

Kind = Literal["error", "timeout", "death"]
"""``error``: the job has failed; ``timeout``: the step took too long; ``death``: its child has
died."""

TIMEOUT: Final = "timeout"
DEATH: Final = "death"

DEFAULT_ON: Final = ("AdaptorError", TIMEOUT)
"""The failures that are retried if a plan does not name any."""

RETRIED_NAMES: Final = (
    *(name for name, severity in SEVERITY_BY_NAME.items() if severity == "fail"),
    TIMEOUT,
    DEATH,
)
"""The names that a plan may give in ``retry.on``."""

JITTER: Final = 0.1
"""The largest share of a delay by which chance makes it longer or shorter."""

_MAX_MS: Final = 2**53


def is_retried(
    retry: Retry | None, attempt: int, name: str, kind: Kind, retryable: bool | None = None
) -> bool:
    """Return whether another attempt follows a failed one.

    Args:
        retry: The ``retry`` of the step; None if the plan does not give it.
        attempt: The number of the attempt that has failed, from 1.
        name: The name of the error.
        kind: The kind of the failure.
        retryable: The answer of an adaptor's exception, which has priority over ``retry.on``.

    """
    if retry is None or attempt >= retry.attempts:
        return False
    if kind == "error" and retryable is not None:
        return retryable
    names = DEFAULT_ON if retry.on is None else retry.on
    return (name if kind == "error" else kind) in names


def delay_ms(
    retry: Retry, attempt: int, retry_after_s: float | None = None, jitter: float = 0.0
) -> int:
    """Return the delay before the next attempt in milliseconds.

    Args:
        retry: The ``retry`` of the step.
        attempt: The number of the attempt that has failed, from 1.
        retry_after_s: The delay that an adaptor's exception asks for, which has priority over all
            of *retry*.  It is ignored unless it is finite and not negative.
        jitter: A random number from -1 to 1: the delay becomes up to 10 % shorter or longer.

    """
    after_s = usable_delay_s(retry_after_s)
    if after_s is not None:
        return min(round(after_s * 1000), _MAX_MS) if after_s < _MAX_MS else _MAX_MS
    try:
        delay = retry.delay * retry.backoff ** (attempt - 1)
    except OverflowError:
        delay = retry.max_delay if retry.delay else 0.0
    delay = min(delay, retry.max_delay)
    return min(round(min(delay * (1 + JITTER * jitter), retry.max_delay)), _MAX_MS)


def usable_delay_s(value: object) -> float | None:
    """Return a delay in seconds that an exception or a child asks for; None if it cannot be used."""
    if type(value) is int:
        return float(min(value, _MAX_MS)) if value >= 0 else None
    if type(value) is float and math.isfinite(value) and value >= 0:
        return value
    return None
