"""Checks the log, the end and the side effects of each run of a drill."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from benchmarks.chaos.field import STEPS, ChaosError, Field
from jobcell import AnyEvent, RunResult

_LAST: Final = ("workflow-complete", "workflow-error")


def check_runs(
    field: Field,
    ids: list[str] | None = None,
    *,
    steps: int = STEPS,
    retries: bool = False,
    outages: int = 0,
) -> Counter[str]:
    """Check runs that must all have succeeded; return what was counted.

    Args:
        field: The field.
        ids: The runs; all, if not given.
        steps: The number of their steps.
        retries: Whether steps are retried after the death of their child.
        outages: How often the store was away.  A run that has begun just before is not in the log yet,
            and begins again.

    Raises:
        ChaosError: A promise was broken.

    """
    takeovers = field.takeovers()
    found: Counter[str] = Counter()
    for run_id in field.runs if ids is None else ids:
        handle = field.store.run(run_id)
        events = handle.poll(after=0, timeout_s=10)
        try:
            check_log(events, steps)
            check_read(field.reader.read[run_id], events)
            check_result(handle.result(timeout_s=10), field, steps)
            # A worker that was fenced off goes on with its own runs, if nobody has taken them over.
            starts = sum(event.type == "workflow-start" for event in events)
            lost = max(takeovers[run_id], starts - 1 + outages)
            if retries:
                lost += sum(getattr(e, "retry_in_ms", None) is not None for e in events)
            found["repeated steps"] += check_effects(field.effects.of_run(run_id), steps, lost)
        except ChaosError as error:
            raise ChaosError(
                f"run {run_id}: {error}\n{shown(events)}\nposts: {field.effects.of_run(run_id)},"
                f" takeovers: {takeovers[run_id]}\n{field.tails()}"
            ) from None
        found["runs"] += 1
        found["takeovers"] += takeovers[run_id]
    return found


def check_log(events: list[AnyEvent], steps: int) -> None:
    """Check the numbers of the events, the end, and that each step is complete once."""
    numbers = [event.seq for event in events]
    if numbers != list(range(1, len(events) + 1)):
        raise ChaosError(f"the events are numbered {numbers}")
    ends = [event.seq for event in events if event.type in _LAST]
    if ends != numbers[-1:]:
        raise ChaosError(f"the last event is number {numbers[-1:]}, but ends are {ends}")
    names = [f"s{number}" for number in range(steps)]
    complete = [event.step_run_id for event in events if event.type == "job-complete"]
    if complete != names:
        raise ChaosError(f"the complete steps are {complete}")
    _check_attempts(events)


def _check_attempts(events: list[AnyEvent]) -> None:
    """Check that each start of a job has one end, and that the numbers of attempts go up by one."""
    running: tuple[str, int] | None = None
    last: Counter[str] = Counter()
    for event in events:
        if event.type == "job-start":
            if running is not None:
                raise ChaosError(f"event {event.seq} starts a job while {running} has no end")
            running = event.step_run_id, event.attempt
            if event.attempt != last[event.step_run_id] + 1:
                raise ChaosError(f"event {event.seq} starts attempt {event.attempt}")
            last[event.step_run_id] = event.attempt
        elif event.type in ("job-complete", "job-error"):
            if running != (event.step_run_id, event.attempt):
                raise ChaosError(f"event {event.seq} ends a job, but {running} runs")
            running = None
    if running is not None:
        raise ChaosError(f"{running} has no end")


def check_read(read: list[AnyEvent], events: list[AnyEvent]) -> None:
    """Check that everything that was read while things died is in the final log."""
    if read != events[: len(read)]:
        changed = next(a.seq for a, b in zip(read, [*events, None], strict=False) if a != b)
        raise ChaosError(f"event {changed} was read before, and is another one now")


def check_result(result: RunResult, field: Field, steps: int) -> None:
    """Check that a run has succeeded, with the state that its steps have made."""
    expected: dict[str, Any] = field.initial()
    expected["data"]["done"] = [f"s{number}" for number in range(steps)]
    if (result.reason, result.state) != ("success", expected):
        raise ChaosError(f"it ended with {result.reason}, {result.error}, {result.state}")


def check_effects(posts: dict[str, int], steps: int, lost: int) -> int:
    """Check the side effects of a run; return the number of repeated ones.

    Args:
        posts: The number of posts of each execution.
        steps: The number of steps.
        lost: How often the run lost its worker or its child: the step in flight may be repeated then.

    """
    if set(posts) != {f"s{number}" for number in range(steps)}:
        raise ChaosError(f"the side effects are {posts}")
    repeated = sum(posts.values()) - steps
    if repeated > lost:
        raise ChaosError(f"{repeated} side effects were repeated, with {lost} losses: {posts}")
    return repeated


def shown(events: list[AnyEvent]) -> str:
    """Return a log in short form."""
    return "\n".join(
        f"  {e.seq} {e.type} {getattr(e, 'step_run_id', '') or ''} {getattr(e, 'attempt', '') or ''}"
        f" {getattr(getattr(e, 'error', None), 'name', '')} {getattr(e, 'message', '')}"
        for e in events
    )
