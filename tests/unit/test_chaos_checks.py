"""The checks of the drills find each broken promise. A drill that can only succeed would prove nothing."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.chaos.field import ChaosError
from benchmarks.chaos.ledger import check_effects, check_log, check_read
from engine import JobComplete, JobError, JobStart, Memory, WorkflowComplete
from protocol.report import make_report

LOST = make_report("WorkerLost", "gone")


def log(*parts):
    """Return a log of events, numbered from 1."""
    return [msgspec.structs.replace(part, seq=n) for n, part in enumerate(parts, start=1)]


def start(step, attempt=1):
    return JobStart(seq=0, run_id="r", time=0, step_id=step, step_run_id=step, attempt=attempt)


def end(step, attempt=1):
    fields = {"state": None, "next": (), "duration_ms": 1, "mem": Memory(0, 0, 0)}
    return JobComplete(
        seq=0, run_id="r", time=0, step_id=step, step_run_id=step, attempt=attempt, **fields
    )


def lost(step, attempt=1):
    fields = {"state": None, "next": (), "duration_ms": 1, "error": LOST, "retry_in_ms": 0}
    return JobError(
        seq=0, run_id="r", time=0, step_id=step, step_run_id=step, attempt=attempt, **fields
    )


LAST = WorkflowComplete(seq=0, run_id="r", time=0, state=None, duration_ms=1)
GOOD = (start("s0"), end("s0"), start("s1"), lost("s1"), start("s1", 2), end("s1", 2), LAST)


def test_a_log_with_a_takeover_is_good():
    """The lost attempt has its end, and the next one has the next number."""
    check_log(log(*GOOD), 2)


@pytest.mark.parametrize(
    "bad",
    [
        [],
        log(*GOOD)[:-1],
        log(*GOOD)[1:],
        [*log(*GOOD)[:3], *log(*GOOD)[4:]],
        [*log(*GOOD), log(*GOOD)[-1]],
        log(*GOOD, LAST),
        log(*GOOD, end("s1", 2)),
        log(GOOD[0], GOOD[1], *GOOD[:2], *GOOD[2:]),
        log(*GOOD[:3], *GOOD[4:]),
        log(*GOOD[:4], start("s1", 1), end("s1", 1), LAST),
        log(*GOOD[:4], start("s1", 3), end("s1", 3), LAST),
        log(*GOOD[:5], LAST),
        log(*GOOD[:2], LAST),
        log(*GOOD[2:6], *GOOD[:2], LAST),
    ],
    ids=str.split(
        "empty no_end no_first gap doubled two_ends step_after_the_end step_twice start_without_end"
        " attempt_twice attempt_left_out open_at_the_end step_missing other_order"
    ),
)
def test_a_log_that_breaks_a_promise_is_found(bad):
    """Gaps, doubles, a second end, a step that is complete twice, a start without an end."""
    with pytest.raises(ChaosError):
        check_log(bad, 2)


def test_an_event_that_was_read_and_has_changed_is_found():
    """The check also finds an event that has gone. The events that were read may be a part of the log."""
    events = log(*GOOD)
    for count in range(len(events) + 1):
        check_read(events[:count], events)
    with pytest.raises(ChaosError, match="event 2 was read before"):
        check_read([events[0], msgspec.structs.replace(events[1], time=1.0)], events)
    with pytest.raises(ChaosError, match="event 7 was read before"):
        check_read(events, events[:-1])


@pytest.mark.parametrize(
    ("posts", "steps", "losses", "good"),
    [
        ({"s0": 1, "s1": 1}, 2, 0, True),
        ({"s0": 1, "s1": 2}, 2, 1, True),
        ({"s0": 1, "s1": 2}, 2, 0, False),
        ({"s0": 2, "s1": 2}, 2, 1, False),
        ({"s0": 1}, 2, 1, False),
        ({"s0": 1, "s1": 1, "s2": 1}, 2, 1, False),
    ],
)
def test_a_side_effect_that_is_missing_or_repeated_too_often_is_found(posts, steps, losses, good):
    """For each loss of a worker one side effect may be repeated, and none may be missing."""
    if good:
        check_effects(posts, steps, losses)
    else:
        with pytest.raises(ChaosError):
            check_effects(posts, steps, losses)
