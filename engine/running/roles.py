"""What a child may say in its own name: errors, and lines of the log.

A child is believed in nothing.  An error that is not the job's fault, a limit that the engine keeps, or
a line that the engine has written would be believed by the reader of the events.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from protocol.errors import RemoteProtocolError
from protocol.messages import LogEntry
from protocol.report import SEVERITY_BY_NAME, ErrorReport
from protocol.words import LEFT_OUT_PATTERN

_OF_THE_ENGINE: Final = frozenset(
    ("TimeoutError", "CPULimitError", "ProtocolError", "ConfinementError", "SpawnError")
)
"""Errors that only the engine finds out."""

_FOR_A_WHOLE_RUN: Final = frozenset(("OutputLimitError",))
"""An error that ends a workflow, and with which no job ends."""

_QUOTED: Final = 80

_SENTENCES: Final = (
    r"operation [0-9]+ \(.*\) returned None; an operation should return state",
    r"[^\n]* was never run; .*",
    r"connection to \S+ was refused; allow it with Permissions\(net=\[.*\]\)",
    r"[A-Za-z_]*Warning: .*",
    r"(?:an )?error in .*",
    r"sys\.std(?:out|err) was left replaced by .*",
    r"[0-9]+ tasks? of the step went on after .*",
    r"the condition of the edge .*",
)
_SAID_BY_THE_RUNTIME: Final = re.compile("|".join(_SENTENCES), re.DOTALL)
"""What the runtime of a child warns of.  A line that is none of these is the job's."""


_LEFT_OUT: Final = re.compile(LEFT_OUT_PATTERN)
"""The text that a child puts in place of a line that is too long; only that is marked as redacted."""


def check_job_error(report: ErrorReport, *, cancelled: bool) -> None:
    """Check the name and the severity of an error with which a job is said to have ended.

    Raises:
        RemoteProtocolError: No job ends with it.

    """
    if report.name not in _FOR_A_WHOLE_RUN and may_claim(report, cancelled=cancelled):
        return
    raise RemoteProtocolError(f"child ended a job with {described(report)}, with which it may not")


def may_claim(report: ErrorReport, *, cancelled: bool = False) -> bool:
    """Whether a child may have found out this error, and gives it the severity that it has.

    An error of a job is a ``crash`` where it came before the job had begun.
    """
    severity = SEVERITY_BY_NAME.get(report.name)
    if severity is None or report.name in _OF_THE_ENGINE:
        return False
    if report.name == "Cancelled" and not cancelled:
        return False
    return report.severity == severity or (severity == "fail" and report.severity == "crash")


def described(report: ErrorReport) -> str:
    """Return the error in a few words, in ASCII."""
    name = f"{report.name[:_QUOTED]!a}"
    return f"the error {name}, severity {report.severity!r}"


def as_own(entry: LogEntry) -> LogEntry:
    """Return a line of a child with a source and a mark that it may have.

    Redaction spares the engine's own words in a line that is marked as redacted, so a child may mark
    only the text that stands for a line that was too long.

    Raises:
        RemoteProtocolError: The line is said to come from a stream, which the engine reads itself.

    """
    if entry.redacted and not _LEFT_OUT.fullmatch(entry.message):
        entry = msgspec.structs.replace(entry, redacted=False)
    if entry.source in ("job", "adaptor"):
        return entry
    if entry.source != "runtime":
        raise RemoteProtocolError(f"child sent a log line as if it came from {entry.source}")
    if entry.level == "warning" and _SAID_BY_THE_RUNTIME.fullmatch(entry.message):
        return entry
    return msgspec.structs.replace(entry, source="job")
