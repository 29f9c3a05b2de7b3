"""The log of a run that goes on after its worker was lost: pure functions from the log to events.

The engine knows only the records of such a run, so the log is completed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from engine.api import Attempts
from protocol.events import (
    AnyEvent,
    EdgeResolved,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    WorkflowError,
)
from protocol.plan import Step, Workflow
from protocol.report import ErrorReport, make_report

MOST_LOST: Final = 5
"""Number of workers that a run may lose in a row while its step is in flight, without a new record."""

NO_CHECKPOINT: Final = (
    "a state of this run holds a secret, and the store has no key (JOBCELL_STORE_KEY): the steps from"
    " here on are not recorded, and are repeated if the worker is lost"
)
"""The line that the log of such a run has once."""

Edge = tuple[str, str]


class LastRecord(msgspec.Struct, frozen=True):
    """The facts about the last recorded execution that the log needs."""

    step_run_id: str
    step_id: str
    next: tuple[str, ...]


class LogFacts(msgspec.Struct):
    """The facts about the log of a run that was left."""

    last_seq: int = 0
    open_jobs: dict[str, JobStart] = {}
    """The attempts that have begun and not ended, by execution."""
    preparing: InitStart | None = None
    """The step that was being prepared: whether its job has started as well is not known."""
    in_flight: bool = False
    """Whether a step was being prepared or running."""
    attempts: dict[str, Attempts] = {}
    edges: Counter[Edge] = msgspec.field(default_factory=Counter)
    """The edges that were reported after the end of the last recorded execution."""
    warned: bool = False
    """Whether it says that the run is not recorded."""


def read_log(log_events: Iterable[AnyEvent], last: LastRecord | None) -> LogFacts:
    """Return the facts about a log.

    Args:
        log_events: The events of the run, in their order.
        last: The last recorded execution, if there is a record.

    """
    log = LogFacts()
    begun: dict[str, int] = {}
    failed: Counter[str] = Counter()
    for event in log_events:
        log.last_seq = max(log.last_seq, event.seq)
        if isinstance(event, InitStart | JobStart):
            begun[event.step_run_id] = max(begun.get(event.step_run_id, 0), event.attempt)
            if isinstance(event, JobStart):
                log.preparing = None
                log.open_jobs[event.step_run_id] = event
            else:
                log.preparing = event
        elif isinstance(event, JobComplete | JobError):
            log.open_jobs.pop(event.step_run_id, None)
            log.preparing = None
            if isinstance(event, JobError) and _is_failed_attempt(event):
                failed[event.step_run_id] += 1
            if last is not None and event.step_run_id == last.step_run_id:
                log.edges.clear()
        elif isinstance(event, EdgeResolved):
            log.edges[event.from_step_id, event.to_step_id] += 1
        elif isinstance(event, Log):
            log.warned = log.warned or event.message == NO_CHECKPOINT
    log.in_flight = log.preparing is not None or bool(log.open_jobs)
    log.attempts = {
        name: Attempts(number, min(number, failed[name])) for name, number in begun.items()
    }
    return log


def _is_failed_attempt(event: JobError) -> bool:
    """Return whether a job has failed by itself, and is tried again."""
    return event.retry_in_ms is not None and event.error.name != "WorkerLost"


class Repair(msgspec.Struct, frozen=True):
    """The additions that a log needs before the run goes on."""

    events: tuple[AnyEvent, ...]
    again: Counter[Edge]
    """The edges that the next engine reports a second time."""


def close_steps(
    run_id: str, log: LogFacts, *, time_s: float, reason: str, retried: bool
) -> list[AnyEvent]:
    """Return an end event for each attempt that has not ended.

    An attempt that was being prepared gets its start as well, as after a death of a child: its job may have
    run, and the store has not heard of it.

    Args:
        run_id: The run.
        log: Its log.
        time_s: Unix seconds for the events.
        reason: Why the attempts have not ended.
        retried: Whether another worker repeats them.

    """
    closed: list[AnyEvent] = []
    jobs = [*log.open_jobs.values()]
    if (step := log.preparing) is not None:
        started = JobStart(
            seq=log.last_seq + 1,
            run_id=run_id,
            time=time_s,
            step_id=step.step_id,
            step_run_id=step.step_run_id,
            attempt=step.attempt,
        )
        closed.append(started)
        jobs.append(started)
    for job in jobs:
        closed.append(
            JobError(
                seq=log.last_seq + len(closed) + 1,
                run_id=run_id,
                time=time_s,
                step_id=job.step_id,
                step_run_id=job.step_run_id,
                attempt=job.attempt,
                error=make_report("WorkerLost", reason, step_id=job.step_id),
                state=None,
                next=(),
                duration_ms=max(0, round((time_s - job.time) * 1000)),
                retry_in_ms=0 if retried else None,
            )
        )
    return closed


def repair(
    run_id: str,
    workflow: Workflow,
    end: str | None,
    log: LogFacts,
    last: LastRecord | None,
    *,
    time_s: float,
    reason: str,
) -> Repair:
    """Return the events that complete a log, and the edges that must not be reported again.

    Args:
        run_id: The run.
        workflow: Its steps.
        end: The step at which the run ends, if it is limited: its edges are not decided.
        log: Its log.
        last: The last recorded execution, if there is one.
        time_s: Unix seconds for the events.
        reason: Why the run was left.

    """
    events = close_steps(run_id, log, time_s=time_s, reason=reason, retried=True)
    again = log.edges.copy()
    if last is not None and last.step_id != end:
        for target, condition in _edges_of(workflow, last.step_id):
            edge = (last.step_id, target)
            if again[edge]:
                again[edge] -= 1
                continue
            events.append(
                EdgeResolved(
                    seq=log.last_seq + len(events) + 1,
                    run_id=run_id,
                    time=time_s,
                    from_step_id=last.step_id,
                    to_step_id=target,
                    condition=condition,
                    taken=target in last.next,
                )
            )
    return Repair(tuple(events), +again)


def _edges_of(workflow: Workflow, step_id: str) -> list[tuple[str, bool | str]]:
    steps: dict[str, Step] = {step.id: step for step in workflow.steps}
    step = steps.get(step_id)
    return [] if step is None else [(to, edge.condition) for to, edge in step.next.items()]


def poison_report(takeovers: int) -> ErrorReport:
    """Return the report of a run that takes its workers with it."""
    return make_report(
        "PoisonRunError",
        f"the run was given up: {takeovers} workers in a row were lost while a step of it was in flight,"
        " and no step was recorded in between",
    )


def give_up(run_id: str, log: LogFacts, *, time_s: float) -> tuple[AnyEvent, ...]:
    """Return the last events of a run that is not started again."""
    report = poison_report(MOST_LOST)
    closed = close_steps(run_id, log, time_s=time_s, reason=LOST, retried=False)
    end = WorkflowError(
        seq=log.last_seq + len(closed) + 1, run_id=run_id, time=time_s, error=report, duration_ms=0
    )
    return (*closed, end)


LOST: Final = "the worker was lost while the step was running"
HANDED_BACK: Final = "the worker was stopped while the step was running"
FENCED: Final = "the worker has stopped the step because it could not reach the store"
