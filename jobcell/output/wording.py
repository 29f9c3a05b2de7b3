"""Events, errors and endings in words, for people.

Text from a job or a plan is shown with its control characters escaped. A log line must not be able
to move the cursor, rename the window or hide another line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from engine import RunResult
    from protocol.confinement import ConfinementReport
    from protocol.events import NetConnect
    from protocol.report import ErrorReport, Position

FLAGS = {
    "timeout_s": "--timeout",
    "step_timeout_s": "--step-timeout",
    "memory_mb": "--memory",
    "state_mb": "a quarter of --memory",
    "net": "--net",
    "scratch_mb": "--scratch",
    "collections": "--collection",
    "repo_dir": "--repo",
}
"""For each option of the Python interface, the option of the command line."""

_MAX_NAME = 60

_LISTS_PLACES = frozenset({"CompileError", "SecurityError"})
"""Errors whose details, if they are a list, are violations of the job language."""

MAX_LINE = 2_000
"""Largest number of characters of a line that somebody else wrote."""


def printable(text: str, *, limit: int = MAX_LINE) -> str:
    """Return *text* on one line, control characters escaped, cut to *limit* characters."""
    shown = text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more)"
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown)


def tell_duration(duration_ms: float) -> str:
    """Return a duration: ``12 ms``, ``3.4 s``, ``5 min 20 s``."""
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 100_000:
        return f"{duration_ms / 1000:.1f} s"
    minutes, seconds = divmod(round(duration_ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def tell_size(size: int) -> str:
    """Return a number of bytes in decimal megabytes: ``18.2 MB``."""
    return f"{size / 1e6:.1f} MB"


def tell_bytes(count: int) -> str:
    """Return a number of bytes with a fitting unit: ``812 B``, ``1.2 kB``, ``3.4 MB``."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else tell_size(count)


def tell_connection(event: NetConnect) -> str:
    """Return a connection in a line: ``net db.example.org:5432 open for 1.2 s, 300 B out, 2.0 kB in``."""
    shown = f"[{event.host}]" if ":" in event.host else event.host
    place = f"net {shown}:{event.port}" if event.port else f"net {shown}"
    if event.outcome == "open":
        moved = f"{tell_bytes(event.bytes_sent)} out, {tell_bytes(event.bytes_received)} in"
        return f"{place} open for {tell_duration(event.duration_ms)}, {moved}"
    return f"{place} {event.outcome}: {event.reason}"


def tell_confinement(report: ConfinementReport) -> str:
    """Return which walls are on: ``sandbox default (12 of 13 layers)``."""
    on = sum(layer.state == "on" for layer in report.layers)
    kernel = (
        "NO SANDBOX (level none)"
        if report.level == "none"
        else f"sandbox {report.level} ({on} of {len(report.layers)} layers)"
    )
    return kernel if report.language else f"{kernel}, NO LANGUAGE WALL"


def label(step_id: str, names: Mapping[str, str], *, of: str | None = None) -> str:
    """Return the label of a step, or of its execution *of*: the id, and the name if it has one."""
    shown = printable(of or step_id, limit=_MAX_NAME)
    name = names.get(step_id)
    return shown if not name or name == step_id else f"{shown}: {printable(name, limit=_MAX_NAME)}"


def tell_error(error: ErrorReport, names: Mapping[str, str] = {}) -> Iterator[str]:
    """Yield the lines of an error report; the first line is a summary.

    Args:
        error: The report.
        names: Step id to the name of the step.

    """
    for line in _lines_of_error(error, names):
        # Any field may hold text of a job, even the name of an error.
        yield printable(line, limit=3 * MAX_LINE)


def _lines_of_error(error: ErrorReport, names: Mapping[str, str]) -> Iterator[str]:
    where = f" in step {error.step_id!r}" if error.step_id is not None else ""
    if error.step_id is not None and names.get(error.step_id, error.step_id) != error.step_id:
        where += f" ({printable(names[error.step_id], limit=_MAX_NAME)})"
    # A message that lists violations says the place of each.
    lists_places = error.name in _LISTS_PLACES and isinstance(error.details, (list, tuple))
    if error.position is not None and not lists_places:
        where += f", line {error.position.line}"
        where += f", column {error.position.column}" if error.position.column else ""
    if error.operation is not None:
        where += f" (operation {error.operation.number}, {printable(error.operation.name)})"
    kind = "" if error.subtype in {None, error.name} else f"{error.subtype}: "
    first, *rest = _message(error).splitlines() or [""]
    yield f"{error.name}{where}: {kind}{printable(first)}"
    for line in rest[:50]:
        yield f"  {printable(line)}"
    if error.position is not None and error.position.source:
        yield from _mark(error.position)
    fix = _fix(error)
    if fix:
        yield f"  hint: {printable(fix)}"


def _message(error: ErrorReport) -> str:
    """Return the message with the command's option in place of the Python interface's."""
    if error.option is None or error.option not in error.message:
        return error.message
    flag = FLAGS.get(error.option)
    return error.message.replace(f" ({error.option})", f" ({flag})" if flag else "")


def _fix(error: ErrorReport) -> str | None:
    if error.option == "net" and error.option_value:
        rule = error.option_value
        return f"connection to {rule} was refused; allow it with --net '{rule}'"
    if error.option == "scratch_mb" and error.fix:
        return re.sub(r"Permissions\(scratch_mb=(\w+)\)", r"--scratch \1", error.fix)
    if error.option == "credential" and error.fix:
        return "give the file of credentials with --credentials FILE"
    if error.option == "state" and error.fix:
        return "stored states are for programs; write the state into the plan"
    if error.name == "ConfinementError" and error.fix:
        return error.fix.replace("start_mode='exec'", "--start-mode exec")
    return error.fix


def tell_attempt(number: int, attempts: int | None) -> str:
    """Return the number of an attempt, of all attempts if they are known: ``attempt 2 of 3``."""
    return f"attempt {number}" if attempts is None else f"attempt {number} of {attempts}"


def tell_replayed(count: int) -> str:
    """Return how many steps a run has taken from its journal."""
    steps = "1 step was" if count == 1 else f"{count} steps were"
    return f"{steps} replayed from the journal"


def tell_result(result: RunResult) -> str:
    """Return how a run has ended, in a line."""
    peak = result.usage.peak_memory_bytes
    memory = f", peak memory {tell_size(peak)}" if peak else ""
    children = f", {result.children} children" if result.children > 1 else ""
    network = ""
    if count := result.usage.connections:
        sent, received = result.usage.net_sent_bytes, result.usage.net_received_bytes
        network = f", {count} {'connection' if count == 1 else 'connections'}"
        network += f" ({tell_bytes(sent)} out, {tell_bytes(received)} in)"
    return f"{result.reason} after {tell_duration(result.duration_ms)}{memory}{children}{network}"


def _mark(position: Position) -> Iterator[str]:
    """Yield the line of the source, and a line that marks the position below it."""
    source = (position.source or "").rstrip()
    number = str(position.line)
    # A long line is shown from a little before the marked column.
    column = (position.column or 1) - 1
    begin = max(0, min(column, len(source)) - 80)
    yield f"  {number} | {printable(source[begin:], limit=160)}"
    if position.column:
        same_line = position.end_line in {None, position.line} and position.end_column
        length = (position.end_column or 0) - position.column if same_line else 1
        indent = "".join("\t" if char == "\t" else " " for char in source[begin:column])
        width = max(1, min(length, 160 - len(indent)))
        yield f"  {' ' * len(number)} | {indent.expandtabs(2)}{'^' * width}"
