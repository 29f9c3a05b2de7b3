"""The log of a run after its worker was lost, as a function of the log before."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine import Attempts
from jobcell.worker import takeover
from protocol.events import (
    AnyEvent,
    EdgeResolved,
    InitComplete,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    Memory,
)
from protocol.plan import Edge, Step, Workflow
from protocol.report import make_report

WORKFLOW = Workflow(
    steps=(
        Step(id="t", next={"a": Edge()}),
        Step(id="a", expression="x", next={"b": Edge(), "c": Edge(condition=False)}),
        Step(id="b", expression="x", next={"c": Edge(condition="state.ok")}),
        Step(id="c", expression="x"),
    )
)
LAST_A = takeover.LastRecord("a", "a", ("b",))


class Tale:
    """Makes the events of a log, one after another."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def add(self, kind: type[Any], step: str | None = None, **fields: Any) -> Tale:
        """Append an event."""
        common: dict[str, Any] = {
            "seq": len(self.events) + 1,
            "run_id": "r",
            "time": 100.0 + len(self.events),
        }
        if step is not None:
            common |= {"step_id": step.partition("-")[0], "step_run_id": step}
        self.events.append(kind(**common, **fields))
        return self

    def begin(self, step: str, attempt: int = 1) -> Tale:
        """Append the beginning of an attempt."""
        self.add(InitStart, step, attempt=attempt)
        self.add(InitComplete, step, attempt=attempt, duration_ms=1)
        return self.add(JobStart, step, attempt=attempt)

    def complete(self, step: str, attempt: int = 1) -> Tale:
        """Append the end of an attempt."""
        return self.add(
            JobComplete,
            step,
            attempt=attempt,
            state={},
            next=(),
            duration_ms=1,
            mem=Memory(0, 0, 0),
        )

    def fail(self, step: str, attempt: int, name: str = "JobError", **fields: Any) -> Tale:
        """Append a failed attempt."""
        error = make_report(name, "no")
        return self.add(
            JobError, step, attempt=attempt, error=error, state={}, next=(), duration_ms=1, **fields
        )

    def edge(self, source: str, target: str) -> Tale:
        """Append a decided edge."""
        return self.add(
            EdgeResolved, from_step_id=source, to_step_id=target, condition=True, taken=True
        )


def mend(tale: Tale, last: takeover.LastRecord | None, end: str | None = None) -> takeover.Repair:
    """Return what the log needs."""
    log = takeover.read_log(tale.events, last)
    return takeover.repair("r", WORKFLOW, end, log, last, time_s=200.0, reason="lost")


def short(events: Any) -> list[str]:
    """Return events in short."""
    return [
        f"{event.from_step_id}>{event.to_step_id} {event.taken}"
        if isinstance(event, EdgeResolved)
        else f"{event.type} {event.step_run_id} {event.attempt}"
        for event in events
    ]


def test_an_empty_log_needs_nothing() -> None:
    """The worker was lost before the run began."""
    mended = mend(Tale(), None)
    assert (mended.events, mended.again) == ((), Counter())


def test_an_open_attempt_is_closed_and_will_be_tried_again() -> None:
    """The event has the next number, the report names the reason, and the duration is that of the log."""
    tale = Tale().edge("t", "a").begin("a")
    (event,) = mend(tale, None).events
    assert isinstance(event, JobError)
    assert (event.seq, event.step_run_id, event.attempt) == (5, "a", 1)
    assert (event.error.name, event.error.severity, event.retry_in_ms) == (
        *("WorkerLost", "exception", 0),
    )
    assert event.duration_ms == 97_000


def test_edges_of_triggers_before_the_first_record_are_reported_again() -> None:
    """The next engine decides them again, and the log has them."""
    assert mend(Tale().edge("t", "a").begin("a"), None).again == Counter({("t", "a"): 1})


def test_missing_edges_of_the_last_record_are_added() -> None:
    """The next engine replays the step, and reports none of its edges."""
    tale = Tale().edge("t", "a").begin("a").complete("a").edge("a", "b")
    mended = mend(tale, LAST_A)
    assert short(mended.events) == ["a>c False"]
    assert mended.events[0].seq == 7
    assert mended.again == Counter()


def test_all_edges_of_the_last_record_may_be_missing() -> None:
    """The worker was lost right after the commit of the record."""
    tale = Tale().edge("t", "a").begin("a").complete("a")
    assert short(mend(tale, LAST_A).events) == ["a>b True", "a>c False"]


def test_the_step_at_which_a_run_ends_has_no_edges() -> None:
    """They are not decided."""
    tale = Tale().begin("a").complete("a")
    assert mend(tale, takeover.LastRecord("a", "a", ()), end="a").events == ()


def test_an_attempt_in_flight_after_a_record_is_closed_after_the_edges_that_are_there() -> None:
    """Nothing of the recorded step is written twice."""
    tale = Tale().begin("a").complete("a").edge("a", "b").edge("a", "c").begin("b")
    assert short(mend(tale, LAST_A).events) == ["job-error b 1"]


def test_edges_of_a_step_without_a_record_are_reported_again() -> None:
    """Its state had a secret, so it is repeated, and its edges are in the log already."""
    tale = Tale().begin("a").complete("a").edge("a", "b").edge("a", "c")
    tale.begin("b").complete("b").edge("b", "c").begin("c")
    mended = mend(tale, LAST_A)
    assert short(mended.events) == ["job-error c 1"]
    assert mended.again == Counter({("b", "c"): 1})


def test_attempts_count_on_and_lost_ones_are_not_failures() -> None:
    """Only failures of the job use up the attempts that its plan gives."""
    tale = Tale().begin("b", 1).fail("b", 1, retry_in_ms=10)
    tale.begin("b", 2).fail("b", 2, "WorkerLost", retry_in_ms=0).begin("b", 3)
    log = takeover.read_log(tale.events, None)
    assert log.attempts == {"b": Attempts(begun=3, failed=1)}


def test_a_run_between_two_steps_has_nothing_in_flight() -> None:
    """Such a death does not count towards poison."""
    assert not takeover.read_log(Tale().begin("a").complete("a").events, LAST_A).in_flight
    assert takeover.read_log(Tale().begin("a").events, None).in_flight


def test_a_run_that_is_given_up_ends_with_its_reason() -> None:
    """No attempt follows."""
    log = takeover.read_log(Tale().begin("a", 5).events, None)
    closed, end = takeover.give_up("r", log, time_s=200.0)
    assert isinstance(closed, JobError)
    assert closed.retry_in_ms is None
    assert (end.type, end.seq, end.error.name, end.error.severity) == (  # type: ignore[union-attr]
        *("workflow-error", 5, "PoisonRunError", "exception"),
    )


def test_a_log_says_only_once_that_a_run_is_not_recorded() -> None:
    """The next worker looks for the line."""
    tale = Tale().add(Log, level="warning", source="runtime", message=takeover.NO_CHECKPOINT)
    assert takeover.read_log(tale.events, None).warned
    assert not takeover.read_log(Tale().begin("a").events, None).warned
