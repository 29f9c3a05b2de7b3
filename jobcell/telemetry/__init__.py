"""Room `telemetry`: what others learn about runs: traces, figures, records of log lines.

It belongs here if it leaves the process for those who watch it.  Everything is made from public events, so the
engine knows nothing of it.  OpenTelemetry is imported only by `instrument` and `from_environment`.
"""

from __future__ import annotations

from jobcell.telemetry import measures
from jobcell.telemetry.feed import Feed
from jobcell.telemetry.instruments import (
    Store,
    Telemetry,
    TelemetryError,
    Worker,
    counts,
    from_environment,
    instrument,
    log_jobs,
)
from jobcell.telemetry.measures import Measure, Sample
from jobcell.telemetry.tally import Tally, families_of, family, page

__all__ = [
    "Feed",
    "Measure",
    "Sample",
    "Store",
    "Tally",
    "Telemetry",
    "TelemetryError",
    "Worker",
    "counts",
    "families_of",
    "family",
    "from_environment",
    "instrument",
    "log_jobs",
    "measures",
    "page",
]
