"""The reports of limits of memory, processor time and volume.

The limits of time are in `engine.running.session.deadlines`. Each report names the value and the option.
"""

from __future__ import annotations

import msgspec

from engine.api import RunOptions
from protocol import report as reports
from protocol.limits import MEGABYTE
from protocol.report import ErrorReport, make_report


class Used(msgspec.Struct, frozen=True):
    """The use of one child so far, read from outside while it runs."""

    memory_bytes: int
    """Resident memory without pages of files; 0 if it cannot be read."""
    cpu_s: float
    """Seconds of processor time; 0.0 if it cannot be read, or has no limit."""


def overused(used: Used, options: RunOptions) -> ErrorReport | None:
    """Return the report of the limit that a child has exceeded."""
    if used.memory_bytes > options.memory_bytes:
        return make_report(
            "OOMError",
            f"the run used {used.memory_bytes / MEGABYTE:.0f} MB of memory;"
            f" allowed: {options.memory_mb:g} MB (memory_mb)",
            option="memory_mb",
        )
    if options.cpu_s is not None and used.cpu_s >= options.cpu_s:
        return make_report(
            "CPULimitError",
            f"the run used up its CPU time of {options.cpu_s:g} s (cpu_s)",
            option="cpu_s",
        )
    return None


def state_too_large(size: int, options: RunOptions, step_id: str | None) -> ErrorReport | None:
    """Return the report of a state that is too large.

    Args:
        size: The length of the encoded state, in bytes.
        options: The limits of the run.
        step_id: The step that made the state; None for the final state.

    """
    limit = options.state_bytes
    if size <= limit:
        return None
    what = f"the state of step {step_id!r}" if step_id is not None else "the final state"
    return reports.state_too_large(what, size, limit, step_id=step_id)


def too_many_events(options: RunOptions) -> ErrorReport:
    """Return the report of a run that emits more events than it may."""
    text = f"the run has emitted {options.max_events} events (max_events)"
    return make_report("OutputLimitError", text, option="max_events")


def too_much_output(written_bytes: int, options: RunOptions) -> ErrorReport:
    """Return the report of a run that writes more log lines than it may."""
    return make_report(
        "OutputLimitError",
        f"the run has written {written_bytes} bytes of logs, more than ten times"
        f" the limit of {options.max_log_bytes} bytes (max_log_bytes)",
        option="max_log_bytes",
    )


def too_many_step_runs(limit: int) -> ErrorReport:
    """Return the report of a run that starts more steps than it may."""
    return make_report(
        "OutputLimitError",
        f"the run has started more than {limit} steps (max_step_runs): steps that"
        " are reached over several edges run once for each",
        option="max_step_runs",
    )


def too_much_traffic(moved_bytes: int, options: RunOptions) -> ErrorReport:
    """Return the report of a run that moves more bytes over the network than it may."""
    return make_report(
        "NetLimitError",
        f"the run has moved {moved_bytes / MEGABYTE:g} MB over the network, and wanted to move more;"
        f" allowed: {options.net_mb:g} MB (net_mb)",
        option="net_mb",
    )


def too_many_collection_requests(options: RunOptions) -> ErrorReport:
    """Return the report of a run that asks for collections more often than it may."""
    return make_report(
        "OutputLimitError",
        f"the run has sent more than {options.max_collection_requests} requests for collections"
        " (max_collection_requests)",
        fix="set many values with one call, and read many with a pattern",
        option="max_collection_requests",
    )
