"""An attempt that was being prepared when its worker was lost has a start and an end in the log."""

from __future__ import annotations

from engine import Attempts, InitStart, JobStart
from jobcell.worker import takeover
from protocol.plan import Step, Workflow

AT = {"run_id": "r", "time": 1.0, "step_id": "a", "step_run_id": "a"}
WORKFLOW = Workflow(steps=(Step(id="a", expression="x"),))


def repaired(*log_events):
    """Return the facts about a log, and the events that complete it."""
    log = takeover.read_log(log_events, None)
    mended = takeover.repair("r", WORKFLOW, None, log, None, time_s=2.0, reason="gone")
    return log, [(event.type, event.seq, event.attempt) for event in mended.events]


def test_a_step_that_was_being_prepared_is_started_and_closed():
    """Its job may have run, and the store has not heard of it; the next attempt has the next number."""
    log, added = repaired(InitStart(seq=1, attempt=3, **AT))
    assert added == [("job-start", 2, 3), ("job-error", 3, 3)]
    assert (log.attempts, log.in_flight) == ({"a": Attempts(3, 0)}, True)


def test_a_step_that_was_running_is_closed_once():
    """Its start is in the log."""
    log, added = repaired(InitStart(seq=1, attempt=3, **AT), JobStart(seq=2, attempt=3, **AT))
    assert added == [("job-error", 3, 3)]
    assert log.in_flight


def test_a_poison_run_that_was_being_prepared_is_closed_before_its_end():
    """Each start of a job has its end, and the last event is the last."""
    log = takeover.read_log([InitStart(seq=1, attempt=5, **AT)], None)
    closing = takeover.give_up("r", log, time_s=2.0)
    assert [(event.type, event.seq) for event in closing] == [
        ("job-start", 2),
        ("job-error", 3),
        ("workflow-error", 4),
    ]
