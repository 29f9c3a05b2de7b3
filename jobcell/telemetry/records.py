"""The log lines of jobs as records of the standard library's `logging`."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from engine import AnyEvent, Beginning, Log, Trace
from engine.reporting import Ending

JOBS: Final = "jobcell.jobs"
"""The name of the logger of jobs."""

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Records:
    """A sink that writes each log line to a logger.

    Args:
        logger: The logger.

    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def begin(self, beginning: Beginning, begun_s: float) -> RunRecords:  # noqa: ARG002 - as in `Sink`
        """See `Sink`."""
        return RunRecords(self._logger)


class RunRecords:
    """Writes the log lines of one run."""

    trace: Trace | None = None

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def take(self, event: AnyEvent) -> None:
        """See `RunSink`."""
        if isinstance(event, Log):
            write(self._logger, event, nullcontext())

    def end(self, ending: Ending | None, duration_ms: int) -> None:
        """See `RunSink`."""


def write(logger: logging.Logger, event: Log, place: AbstractContextManager[object]) -> None:
    """Write a log line as a record, within *place*; the record has the time of the line."""
    level = _LEVELS[event.level]
    if not logger.isEnabledFor(level):
        return
    fields = {
        "run_id": event.run_id,
        "step_id": event.step_id,
        "step_run_id": event.step_run_id,
        "attempt": event.attempt,
        "source": event.source,
    }
    record = logging.LogRecord(logger.name, level, "(job)", 0, event.message, (), None)
    record.created = event.time
    record.msecs = (event.time % 1) * 1000
    record.__dict__.update({name: value for name, value in fields.items() if value is not None})
    with place:
        logger.handle(record)
