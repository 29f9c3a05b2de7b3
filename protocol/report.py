"""Errors as data: the report that an event, a result and a state carry."""

from typing import Any, Literal

import msgspec

from protocol.limits import MEGABYTE

Severity = Literal["fail", "crash", "kill", "exception"]
"""How bad an error is.

``fail``: the job is at fault, and the workflow goes on.  ``crash``: the workflow cannot go on.
``kill``: the engine ended the run.  ``exception``: neither the job nor its author is at fault.
"""

SEVERITY_BY_NAME: dict[str, Severity] = {
    "JobError": "fail",
    "RuntimeError": "fail",
    "AdaptorError": "fail",
    "StateError": "fail",
    "RuntimeCrash": "crash",
    "CompileError": "crash",
    "ImportError": "crash",
    "InputError": "crash",
    "ValidationError": "crash",
    "EdgeConditionError": "crash",
    "CredentialLoadError": "crash",
    "StateLoadError": "crash",
    "ExitError": "crash",
    "Cancelled": "kill",
    "SecurityError": "kill",
    "TimeoutError": "kill",
    "OOMError": "kill",
    "CPULimitError": "kill",
    "StateTooLargeError": "kill",
    "OutputLimitError": "kill",
    "NetLimitError": "kill",
    "ProtocolError": "exception",
    "ConfinementError": "exception",
    "JournalError": "exception",
    "SpawnError": "exception",
    "WorkerLost": "exception",
    "PoisonRunError": "exception",
}
"""Every error with which a run can end or a step can fail; a name outside this table is a bug."""


OPTIONS = frozenset(
    (
        *("timeout_s", "step_timeout_s", "idle_timeout_s", "resolve_timeout_s"),
        *(
            "memory_mb",
            "cpu_s",
            "state_mb",
            "state_items",
            "max_log_bytes",
            "max_step_runs",
            "max_events",
            "net_mb",
            "max_collection_requests",
        ),
        *(
            "net",
            "read",
            "scratch_mb",
            "collections",
            "repo_dir",
            "credential",
            "state",
            "start_mode",
            "timeout",
            "journal",
        ),
    )
)
"""Names that `ErrorReport.option` may have."""


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """A span of the text that the user wrote.  Lines and columns count from 1."""

    line: int
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    source: str | None = None
    """The line itself, without its line break."""


class StackFrame(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frame of a job or an adaptor; frames of the engine and of libraries are left out."""

    module: str
    """The step id for a job, ``name@version`` for an adaptor."""
    function: str
    line: int | None = None
    source: str | None = None


class OperationRef(msgspec.Struct, frozen=True):
    """The place of an operation in its job (from 1), and its name as the author wrote it."""

    number: int
    name: str


class ErrorReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An error, in words for the person who can do something about it."""

    name: str
    message: str
    severity: Severity
    step_id: str | None = None
    subtype: str | None = None
    """The exception class, where *name* is a wider group."""
    operation: OperationRef | None = None
    position: Position | None = None
    stack: tuple[StackFrame, ...] = ()
    details: Any = None
    """The data that the exception carried, in plain form."""
    fix: str | None = None
    """A hint about what to write instead."""
    option: str | None = None
    """The option of the run or of the engine that led to the error: ``net``, ``timeout_s``,
    ``repo_dir``."""
    option_value: str | None = None
    """A value of the option that would have avoided the error, such as a network rule."""


def too_many_items(
    what: str, items: int, allowed: int, *, step_id: str | None = None
) -> ErrorReport:
    """Return the report of a state that would take too much memory when it is decoded."""
    return make_report(
        "StateTooLargeError",
        f"{what} has {items} items or more; allowed: {allowed} (state_items)",
        step_id=step_id,
        option="state_items",
        fix="each key, each value, each list and each dict counts as an item;"
        " keep large tables as text or bytes, or return a part of them",
    )


def state_too_large(
    what: str, size_bytes: int, limit_bytes: int, *, step_id: str | None = None
) -> ErrorReport:
    """Return the report of a state that takes more bytes than a state may."""
    return make_report(
        "StateTooLargeError",
        f"{what} takes {_megabytes_above(size_bytes, limit_bytes)} MB;"
        f" allowed: {limit_bytes / MEGABYTE:g} MB (state_mb)",
        step_id=step_id,
        option="state_mb",
    )


def _megabytes_above(size_bytes: int, limit_bytes: int) -> str:
    """Return a size in megabytes, with enough decimals to show that it is above its limit."""
    for decimals in range(1, 6):
        shown = f"{size_bytes / MEGABYTE:.{decimals}f}"
        if float(shown) * MEGABYTE > limit_bytes:
            return shown
    return f"{size_bytes / MEGABYTE:.6f}"


def needs_more_memory(what: str, memory_bytes: int) -> str:
    """Return the message of a child in which no memory is left for *what*."""
    return f"{what} needs more than its memory limit of {memory_bytes / MEGABYTE:g} MB (memory_mb)"


def make_report(name: str, message: str, **fields: Any) -> ErrorReport:
    """Return a report with the severity that the table gives to its name."""
    return ErrorReport(name=name, message=message, severity=SEVERITY_BY_NAME[name], **fields)
