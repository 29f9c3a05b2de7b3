"""Whether msgspec follows a value as deep as it is nested."""

from __future__ import annotations

from typing import Any, Final

import msgspec

FIRST_TRIED: Final = 2_000
"""The walk through a value tries this depth, and then each double of it."""

_encode = msgspec.msgpack.Encoder().encode


def try_depth(levels: int) -> int:
    """Return the depth to try next.

    Without this, the walk of 200,000 levels would take two seconds before the same error.

    Raises:
        RecursionError: Msgspec does not follow so many levels.

    """
    nested: list[Any] = []
    for _ in range(levels - 1):
        nested = [nested]
    _encode(nested)
    return 2 * levels
