"""Output for a user while a workflow runs: lines for logs, JSON for programs.

`jobcell.output.live` is the view for a terminal.
"""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Protocol

from jobcell.output.json_text import encode_json, event_line
from jobcell.output.wording import (
    MAX_LINE,
    label,
    printable,
    tell_attempt,
    tell_confinement,
    tell_connection,
    tell_duration,
    tell_error,
    tell_replayed,
    tell_result,
    tell_size,
)
from protocol.events import (
    EdgeResolved,
    Event,
    JobComplete,
    JobError,
    JobStart,
    Log,
    NetConnect,
    StepEvent,
    WorkflowError,
    WorkflowStart,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine import RunResult
    from protocol.report import ErrorReport


class View(Protocol):
    """An object that shows the events of a run."""

    def show(self, event: Event) -> None:
        """Show one event."""

    def close(self, result: RunResult | None) -> None:
        """Show how the run has ended; *result* is None if the command was given up."""


class Places:
    """The places that were shown: of many connections to one place, a person sees the first."""

    _MOST = 1_000

    def __init__(self) -> None:
        self._shown: set[tuple[str, int, str, str]] = set()

    def is_new(self, event: NetConnect) -> bool:
        """Whether such a connection was not shown before; the reader gets the totals at the end."""
        place = event.host, event.port, event.outcome, event.reason
        if place in self._shown or len(self._shown) >= self._MOST:
            return False
        self._shown.add(place)
        return True


class LineView:
    """Writes a line for each event that interests a person.

    Args:
        stream: Where they are written.
        names: Step id to the name of the step.
        attempts: Step id to the number of attempts, for steps that are retried.

    """

    def __init__(
        self,
        stream: IO[str],
        names: Mapping[str, str] = {},
        attempts: Mapping[str, int] = {},
    ) -> None:
        self._stream = stream
        self._names = names
        self._attempts = attempts
        self._error: ErrorReport | None = None
        self._places = Places()

    def show(self, event: Event) -> None:
        """Write the event, if it interests a person."""
        if isinstance(event, NetConnect) and not self._places.is_new(event):
            return
        if isinstance(event, WorkflowError) and event.error == self._error:
            return  # the step in which the run ended has shown it
        if isinstance(event, JobError):
            self._error = event.error
        for number, line in enumerate(describe(event, self._names, self._attempts)):
            moment = time.strftime("%H:%M:%S", time.localtime(event.time))
            millis = int(event.time % 1 * 1000)
            stamp = f"{moment}.{millis:03}" if number == 0 else " " * 12
            print(f"{stamp}  {line}", file=self._stream)
        self._stream.flush()

    def close(self, result: RunResult | None) -> None:
        """Write the line that says how the run ended."""
        if result is not None:
            print(tell_result(result), file=self._stream, flush=True)


class JsonView:
    """Writes a JSON object on a line of its own for each event, and one for the result."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        """Write the event."""
        self._stream.write(event_line(event))
        self._stream.flush()

    def close(self, result: RunResult | None) -> None:
        """Write how the run ended; a successful run had its state in ``workflow-complete``."""
        if result is None:
            return
        summary = {
            "type": "result",
            "reason": result.reason,
            "error": result.error,
            "duration_ms": result.duration_ms,
            "usage": result.usage,
            "children": result.children,
            "versions": result.versions,
        }
        self._stream.write(encode_json(summary, exact=True) + b"\n")
        self._stream.flush()


def describe(
    event: Event, names: Mapping[str, str] = {}, attempts: Mapping[str, int] = {}
) -> list[str]:
    """Return the lines that a person should see of an event; the list may be empty.

    Every line is printable, whatever is in the event.

    Args:
        event: The event.
        names: Step id to the name of the step.
        attempts: Step id to the number of attempts, for steps that are retried.

    """
    return [printable(line, limit=3 * MAX_LINE) for line in _described(event, names, attempts)]


def _described(event: Event, names: Mapping[str, str], attempts: Mapping[str, int]) -> list[str]:
    step = label(event.step_id, names, of=event.step_run_id) if isinstance(event, StepEvent) else ""
    match event:
        case WorkflowStart():
            program = f"Python {event.versions.python}, jobcell {event.versions.engine}"
            started = f"started: {program}, {tell_confinement(event.confinement)}"
            return [started, tell_replayed(event.replayed)] if event.replayed else [started]
        case JobStart(attempt=1):
            return [f"[{step}] started"]
        case JobStart():
            return [f"[{step}] started, {tell_attempt(event.attempt, attempts.get(event.step_id))}"]
        case JobComplete():
            cost = f"{tell_duration(event.duration_ms)}, {tell_size(event.mem.peak)}"
            return [f"[{step}] done in {cost}{_tell_next(event.next, names)}"]
        case JobError():
            head = f"[{step}] failed after {tell_duration(event.duration_ms)}"
            errors = [f"  {line}" for line in tell_error(event.error, names)]
            following = tell_retry(event, attempts) or _tell_next(event.next, names)
            return [f"{head}{following}", *errors]
        case EdgeResolved(condition=str()):
            taken = "taken" if event.taken else "not taken"
            way = f"{label(event.from_step_id, names)} -> {label(event.to_step_id, names)}"
            return [f"edge {way} {taken}: {printable(str(event.condition), limit=200)}"]
        case Log():
            return [f"{describe_source(event, names)} {printable(event.message)}"]
        case NetConnect():
            return [tell_connection(event)]
        case WorkflowError():
            return list(tell_error(event.error, names))
    return []


def describe_source(log: Log, names: Mapping[str, str] = {}) -> str:
    """Return where a log line comes from and how bad it is: ``[fetch] warning (adaptor):``."""
    step = ""
    if log.step_run_id:
        step = f"[{label(log.step_id or log.step_run_id, names, of=log.step_run_id)}] "
    source = "" if log.source == "job" else f" ({log.source})"
    return f"{step}{log.level}{source}:"


def tell_retry(failed: JobError, attempts: Mapping[str, int]) -> str:
    """Return when the next attempt begins: ``, attempt 2 of 3 in 1.2 s``; empty if none follows."""
    if failed.retry_in_ms is None:
        return ""
    attempt = tell_attempt(failed.attempt + 1, attempts.get(failed.step_id))
    return f", {attempt} in {tell_duration(failed.retry_in_ms)}"


def _tell_next(following: tuple[str, ...], names: Mapping[str, str]) -> str:
    return f", then {', '.join(label(step, names) for step in following)}" if following else ""
