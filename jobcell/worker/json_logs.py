"""The log of a worker: lines for people, or records of JSON for a collector of logs.

Neither has a state, an argument of a query, or the address of the store with its password.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

_LOGGERS: Final = {
    "": logging.WARNING,  # all other libraries: Python would write their records as bare text
    "jobcell": logging.INFO,
    "dbos": logging.ERROR,
    "opentelemetry": logging.WARNING,
    "psycopg": logging.ERROR,  # each lost connection is in our own log already
}
_EXTRAS: Final = ("run_id", "worker", "tenant")
"""Fields of a record that are written if they are there."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in _EXTRAS if (value := getattr(record, name, None))}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["traceback"] = _frames(record)
        return json.dumps(line, ensure_ascii=False)


class LineFormatter(logging.Formatter):
    """Writes a record as a line of text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = f"{_moment(record)} {record.levelname.lower():7} {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            error = type(record.exc_info[1]).__name__
            line = f"{line} ({error} at {' < '.join(reversed(_frames(record)))})"
        return " ".join(line.split("\n"))


def set_up(*, as_json: bool) -> None:
    """Write the logs of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter())
    for name, level in _LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
    logging.captureWarnings(as_json)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _frames(record: logging.LogRecord) -> list[str]:
    """Return the places of an exception.  Its text may hold values of users."""
    assert record.exc_info is not None
    places = []
    frame = record.exc_info[2]
    while frame is not None:
        code = frame.tb_frame.f_code
        places.append(f"{code.co_name}:{frame.tb_lineno}")
        frame = frame.tb_next
    return places
