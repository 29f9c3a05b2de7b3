"""Checks the errors and log lines that a child sends as its own.

Children are not trusted.  Readers of the events would believe false errors and lines of a child.
So it may send only errors that are the job's fault, no errors about limits of the engine, and no
lines of the engine.
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
    (
        *("TimeoutError", "CPULimitError", "NetLimitError"),
        *("ProtocolError", "ConfinementError", "SpawnError"),
    )
)
"""Errors that only the engine can find."""

_FOR_A_WHOLE_RUN: Final = frozenset(("OutputLimitError",))
"""Errors that end a workflow, but not a single job."""

_QUOTED: Final = 80

ABOUT_AN_EDGE: Final = "the condition of the edge "
"""The beginning of a warning about a condition."""

_SENTENCES: Final = (
    r"operation [0-9]+ \(.*\) returned None; an operation should return state",
    r"[^\n]* was never run; .*",
    r"[^\n]* failed with .*; its catch handles this(?: \(failure [0-9]+ at this place\))?",
    r"[^\n]* returned None to its then; an operation should return state",
    r"connection to \S+ was refused; allow it with Permissions\(net=\[.*\]\)",
    r"[A-Za-z_]*Warning: .*",
    r"(?:an )?error in .*",
    r"sys\.std(?:out|err) was left replaced by .*",
    r"[0-9]+ tasks? of the step went on after .*",
    f"{ABOUT_AN_EDGE}.*",
)
_SAID_BY_THE_RUNTIME: Final = re.compile("|".join(_SENTENCES), re.DOTALL)
"""Warnings of a child's runtime.  Any other line is the job's."""


_LEFT_OUT: Final = re.compile(LEFT_OUT_PATTERN)
"""The text that a child puts in place of a line that is too long; only this text may be marked as
redacted."""


def check_job_error(report: ErrorReport, *, cancelled: bool) -> None:
    """Check the name and the severity of an error that, by the child's message, has ended a job.

    Raises:
        RemoteProtocolError: A job cannot end with it.

    """
    if report.name not in _FOR_A_WHOLE_RUN and may_claim(report, cancelled=cancelled):
        return
    raise RemoteProtocolError(f"child ended a job with {described(report)}, with which it may not")


def may_claim(report: ErrorReport, *, cancelled: bool = False) -> bool:
    """Whether a child may report this error, and reports it with the right severity.

    An error of a job is a ``crash`` if it came before the job had begun.
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
    """Return a line of a child with a source and a mark that are allowed for it.

    Redaction keeps the engine's own words in a line that is marked as redacted.  So a child may
    mark only the text that replaces a line that was too long.

    Raises:
        RemoteProtocolError: The source of the line is a stream, which the engine reads itself.

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
