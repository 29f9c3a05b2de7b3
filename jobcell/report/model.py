"""What a page shows of a run: steps, edges, log lines and connections, made from its events."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from engine import AnyEvent, ErrorReport, Plan, Usage
from jobcell.output.json_text import exact_json
from protocol.events import (
    REDACTED,
    EdgeResolved,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    NetConnect,
    StepEvent,
    WorkflowComplete,
    WorkflowError,
    WorkflowStart,
)

Status = Literal["waiting", "running", "succeeded", "failed", "retried", "interrupted", "skipped"]
"""The state of a step run.  ``retried``: this attempt failed, and another one follows."""

STATE_BYTES: Final = 200_000
"""Size of the longest JSON text of a state that a page shows."""
ALL_STATES_BYTES: Final = 20_000_000
"""Size of all states of a page together, before compression."""
_WITHHELD: Final = "The events do not have this state. It is too large for an event, or too deep for a search for secrets."


class Attempt(msgspec.Struct, omit_defaults=True):
    """An attempt of a step run."""

    run: str
    """The id of the step run."""
    number: int
    begin: float
    """Seconds after the first event of the run."""
    status: Status = "running"
    end: float | None = None
    input: list[int] = []
    """Indices of the states that it got, one for each upstream step that a join waited for."""
    output: int | None = None
    error: ErrorReport | None = None
    retry_in_ms: int | None = None
    memory_bytes: int | None = None
    duration_ms: int | None = None
    """The time of the job itself, as its limit counts it."""


class StepRow(msgspec.Struct, omit_defaults=True):
    """A step with its attempts."""

    id: str
    name: str | None = None
    status: Status = "waiting"
    adaptors: list[str] = []
    expression: str | None = None
    attempts: list[Attempt] = []


class EdgeRow(msgspec.Struct, omit_defaults=True):
    """An edge, and how often it was taken."""

    source: str
    target: str
    label: str | None = None
    taken: int = 0
    refused: int = 0


class Line(msgspec.Struct, array_like=True):
    """A log line: seconds, level, source, step id, attempt, message, step run id.

    The step run id is None if it is the id of the step, as in nearly all lines.
    """

    time: float
    level: str
    source: str
    step: str | None
    attempt: int | None
    message: str
    run: str | None = None


class Connection(msgspec.Struct, array_like=True):
    """A connection: seconds, host, port, outcome, reason, bytes sent, bytes received, milliseconds."""

    time: float
    host: str
    port: int
    outcome: str
    reason: str
    sent: int
    received: int
    duration_ms: float


class Report(msgspec.Struct, omit_defaults=True):
    """All that a page shows."""

    run: str
    name: str | None = None
    began: float | None = None
    """Unix seconds of the first event."""
    over: bool = False
    reason: str | None = None
    duration_ms: int | None = None
    error: ErrorReport | None = None
    peak_memory_bytes: int | None = None
    cpu_s: float | None = None
    children: int | None = None
    replayed: int = 0
    versions: dict[str, Any] = {}
    confinement: str | None = None
    steps: list[StepRow] = []
    edges: list[EdgeRow] = []
    lines: list[Line] = []
    connections: list[Connection] = []
    states: list[str] = []
    """JSON texts; other fields name them by index."""
    sentences: list[int] = []
    """Indices of states that are not shown.  Their text is a sentence that says why."""
    final: int | None = None
    has_plan: bool = False
    """Whether the texts of jobs are known; a step without one is then a trigger."""
    timed: bool = True
    """Whether times are known; otherwise they are only an order, and the ending is not known either."""
    notes: list[str] = []
    """Sentences about what the page does not show."""


def make_report(
    events: Iterable[AnyEvent],
    *,
    run_id: str | None = None,
    plan: Plan | None = None,
    state: Any = None,
    usage: Usage | None = None,
    children: int | None = None,
) -> Report:
    """Return what a page shows of a run.

    Args:
        events: The events of the run, in their order.  A run that goes on has no last event yet.
        run_id: The id of the run, if there is no event.
        plan: The plan, for steps that did not run, names and texts of jobs; None if it is not known.
        state: The initial state, if it is known and may be shown.
        usage: The memory and the processor time of the run, if they are known.
        children: The number of children that the run took, if it is known.

    """
    maker = ReportMaker(plan, state)
    for event in events:
        maker.add(event)
    report = maker.report(run_id)
    if usage is not None:
        report.peak_memory_bytes = usage.peak_memory_bytes or None
        report.cpu_s = usage.cpu_s or None
    report.children = children
    return report


class _States:
    """Collects the JSON texts of states; equal ones are kept once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.sentences: list[int] = []
        self.cut = 0
        self._by_digest: dict[bytes, int] = {}
        self._bytes = 0

    def add(self, state: Any, *, redacted: bool = False) -> int:
        if redacted and state == REDACTED:
            # Two of them are not the same state, so they have a place each.
            return self._say(_WITHHELD)
        text = exact_json(state)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        number = self._by_digest.get(digest)
        if number is None:
            too_long = len(text) > STATE_BYTES or self._bytes + len(text) > ALL_STATES_BYTES
            if too_long:
                self.cut += 1
                sentence = f"This state is not shown here: {len(text):,} characters of JSON."
                number = self._by_digest[digest] = self._say(sentence)
                return number
            self._bytes += len(text)
            number = self._by_digest[digest] = len(self.texts)
            self.texts.append(text)
        return number

    def _say(self, sentence: str) -> int:
        self.sentences.append(len(self.texts))
        self.texts.append(json.dumps(sentence))
        return len(self.texts) - 1


class ReportMaker:
    """Makes a report from events that come one by one.

    Args:
        plan: As for `make_report`.
        state: As for `make_report`.

    """

    def __init__(self, plan: Plan | None = None, state: Any = None) -> None:
        self._plan = plan
        self._states = _States()
        self._initial = None if state is None else self._states.add(state)
        self._report = Report(run="")
        self._rows: dict[str, StepRow] = {}
        self._edges: dict[tuple[str, str], EdgeRow] = {}
        self._waiting: defaultdict[str, deque[int]] = defaultdict(deque)
        self._outputs: dict[str, int] = {}
        self._joins: set[str] = set()
        self._begun: set[tuple[str, int]] = set()
        self._leaf_failed = False
        """Whether a step failed that no other one follows; only such a failure is that of the run."""
        if plan is not None:
            self._add_plan(plan)

    def add(self, event: AnyEvent) -> None:
        """Take an event."""
        report = self._report
        if report.began is None:
            report.began = event.time
            report.run = event.run_id
        moment = event.time - report.began
        if isinstance(event, (InitStart, JobStart)):
            self._begin(event, moment)
        elif isinstance(event, JobComplete):
            self._end(event, moment, "succeeded")
        elif isinstance(event, JobError):
            retried = event.retry_in_ms is not None
            self._end(event, moment, "retried" if retried else "failed")
        elif isinstance(event, EdgeResolved):
            self._resolve(event)
        elif isinstance(event, Log):
            line = (event.level, event.source, event.step_id, event.attempt, event.message)
            run = event.step_run_id if event.step_run_id != event.step_id else None
            report.lines.append(Line(moment, *line, run))
        elif isinstance(event, WorkflowStart):
            self._start(event)
        elif isinstance(event, WorkflowComplete):
            report.over, report.duration_ms = True, event.duration_ms
            report.final = self._states.add(event.state, redacted=event.redacted)
        elif isinstance(event, WorkflowError):
            report.over, report.duration_ms = True, event.duration_ms
            report.error = event.error
        elif isinstance(event, NetConnect):
            self._connect(event, moment)

    def report(self, run_id: str | None = None) -> Report:
        """Return the report of the events until now; *run_id* is its id before the first one."""
        report = self._report
        report.run = report.run or run_id or ""
        report.steps = list(self._rows.values())
        report.edges = list(self._edges.values())
        report.states = self._states.texts
        report.sentences = self._states.sentences
        if report.over:
            report.reason = self._reason()
        for row in report.steps:
            self._close(row)
        if self._states.cut:
            count = self._states.cut
            states = "state" if count == 1 else "states"
            report.notes = [f"{count} large {states} left out; the events have them"]
        return report

    def _reason(self) -> str:
        error = self._report.error
        if error is not None:
            return "cancelled" if error.name == "Cancelled" else error.severity
        return "fail" if self._leaf_failed else "success"

    def _close(self, row: StepRow) -> None:
        for attempt in row.attempts:
            if attempt.status == "running" and self._report.over:
                attempt.status = "interrupted"
        if row.attempts:
            row.status = row.attempts[-1].status
        elif self._report.over and row.status == "waiting":
            row.status = "skipped"

    def _add_plan(self, plan: Plan) -> None:
        self._report.has_plan = True
        self._report.name = plan.workflow.name or plan.workflow.id
        for step in plan.workflow.steps:
            self._rows[step.id] = StepRow(
                step.id, step.name, adaptors=list(step.adaptors), expression=step.expression
            )
            if step.join == "all":
                self._joins.add(step.id)
            for target, edge in step.next.items():
                label = edge.label or (edge.condition if isinstance(edge.condition, str) else None)
                self._edges[step.id, target] = EdgeRow(step.id, target, label)

    def _start(self, event: WorkflowStart) -> None:
        report = self._report
        report.replayed = event.replayed
        report.versions = msgspec.to_builtins(event.versions)
        layers = event.confinement.layers
        on = sum(layer.state == "on" for layer in layers)
        report.confinement = f"{event.confinement.level}, {on} of {len(layers)} layers"

    def _row(self, step_id: str) -> StepRow:
        return self._rows.setdefault(step_id, StepRow(step_id))

    def _begin(self, event: StepEvent, moment: float) -> None:
        key = (event.step_run_id, event.attempt)
        if key in self._begun:
            return  # `init-start` came first
        self._begun.add(key)
        row = self._row(event.step_id)
        attempt = Attempt(event.step_run_id, event.attempt, moment)
        same = next((a for a in row.attempts if a.run == event.step_run_id), None)
        attempt.input = same.input if same is not None else self._take_input(event.step_id)
        row.attempts.append(attempt)

    def _take_input(self, step_id: str) -> list[int]:
        """Return the states that a step gets: that of one edge, or of all edges into a join."""
        waiting = self._waiting[step_id]
        if not waiting:
            first = not self._outputs and self._initial is not None
            return [self._initial] if first and self._initial is not None else []
        if step_id not in self._joins:
            return [waiting.popleft()]
        taken = list(waiting)
        waiting.clear()
        return taken

    def _end(self, event: JobComplete | JobError, moment: float, status: Status) -> None:
        row = self._row(event.step_id)
        for attempt in row.attempts:
            if (attempt.run, attempt.number) == (event.step_run_id, event.attempt):
                break
        else:
            attempt = Attempt(event.step_run_id, event.attempt, moment)
            row.attempts.append(attempt)
        attempt.end, attempt.status = moment, status
        attempt.duration_ms = event.duration_ms
        if status == "failed" and not event.next:
            self._leaf_failed = True
        if event.state is not None:
            attempt.output = self._states.add(event.state, redacted=event.redacted)
            self._outputs[event.step_id] = attempt.output
        if isinstance(event, JobError):
            attempt.error, attempt.retry_in_ms = event.error, event.retry_in_ms
        else:
            attempt.memory_bytes = event.mem.peak

    def _resolve(self, event: EdgeResolved) -> None:
        key = (event.from_step_id, event.to_step_id)
        edge = self._edges.setdefault(key, EdgeRow(*key))
        if edge.label is None and isinstance(event.condition, str):
            edge.label = event.condition
        if not event.taken:
            edge.refused += 1
            return
        edge.taken += 1
        output = self._outputs.get(event.from_step_id, self._initial)
        if output is not None:
            self._outputs.setdefault(event.from_step_id, output)  # a trigger passes its state on
            self._waiting[event.to_step_id].append(output)
        row = self._row(event.from_step_id)
        if not row.attempts and row.expression is None:
            row.status = "succeeded"

    def _connect(self, event: NetConnect, moment: float) -> None:
        facts = (event.host, event.port, event.outcome, event.reason)
        counted = (event.bytes_sent, event.bytes_received, event.duration_ms)
        self._report.connections.append(Connection(moment, *facts, *counted))
