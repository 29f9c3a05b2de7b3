"""The time at which something happened, as the supervisor's thread read it.

The caller of a session gives the moment, so that a test can give any moment.
"""

from __future__ import annotations

import msgspec


class Moment(msgspec.Struct, frozen=True, gc=False):
    """A reading of both clocks."""

    s: float
    """Seconds on the monotonic clock: all limits of time use it."""
    wall_s: float
    """Seconds since 1970, for the time of events."""
