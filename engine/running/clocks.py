"""The only clock of a run: everything below the lane is given a moment."""

from __future__ import annotations

import time

from engine.running.session import Moment


def read_clocks() -> Moment:
    """Return the time now."""
    return Moment(time.monotonic(), time.time())
