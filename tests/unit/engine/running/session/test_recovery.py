"""Runs that go on in another child, without processes: the test is each child, and the children lie."""

from __future__ import annotations

import msgspec
import pytest
from session_bench import KILLED, LINKED, NOW, Bench, complete, end, failed

from engine import Attempts, RunOptions, StepRecord
from engine.reporting.eventlog import EventLog
from engine.running.session import Session
from engine.running.session.effects import Record
from engine.running.session.order import Order
from engine.start.exit import Exit
from protocol import messages as m
from protocol.codec import decode_to_child, encode
from protocol.confinement import ConfinementRequest
from protocol.errors import RemoteProtocolError
from protocol.events import Versions
from protocol.limits import OUT_OF_MEMORY_CODE
from protocol.plan import Edge, Retry, Step, Workflow
from protocol.report import make_report
from protocol.state import encode_state

A = [m.InitStart(step_id="a", step_run_id="a"), LINKED, m.JobStart()]
B = [m.InitStart(step_id="b", step_run_id="b"), LINKED, m.JobStart()]
EDGE = m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True)
LIMITS = m.ChildLimits(
    state_bytes=1 << 20,
    state_items=1000,
    payload_bytes=1 << 20,
    log_payload_bytes=1 << 20,
    max_log_bytes=1 << 20,
    max_step_runs=1000,
    memory_bytes=1 << 28,
)
OOM = make_report("OOMError", "no memory", step_id="a")


class Lives(Bench):
    """A session of a run whose step `a` leads to `b`, and which may have several children."""

    def __init__(
        self,
        *,
        recorded=(),
        keeps=True,
        journaled=False,
        keeps_events=False,
        begun=None,
        configurations=(),
        **fields,
    ):
        super().__init__(begin=False)
        workflow = Workflow(
            steps=(
                Step(id="a", expression="x", next={"b": Edge()}, **fields),
                Step(id="b", expression="x"),
            )
        )
        start = m.Start(
            run_id="run-7",
            workflow=workflow,
            start="a",
            state=msgspec.Raw(encode_state({})),
            limits=LIMITS,
        )
        self.order = Order(
            run_id="run-7",
            start=start if keeps else encode(start),
            workflow=workflow,
            requests=(ConfinementRequest(),),
            survives=keeps,
            journaled=journaled,
            recorded=recorded,
            begun=begun or {},
            keeps_events=keeps_events,
            options=RunOptions(),
            credential_ids=frozenset({"cred"}),
            state_ids=frozenset(),
            max_step_runs=1000,
            versions=Versions(python="3", engine="0"),
            configurations=configurations,
        )
        self.log = EventLog()
        self.session = Session(self.order, self.log)
        self.begin()

    def begin(self):
        """Begin with a child; return the messages that it gets."""
        self.beginning = [decode_to_child(body) for body in self.session.begin(self.now).frames]
        return self.greet()

    def die(self, exited=KILLED):
        """The child is gone; return when another one is to follow."""
        return self.session.next_child_at(exited, self.now)

    def of(self, kind):
        """Return the step, the attempt and the error of each event of a kind."""
        found = [event for event in self.events if event.type == kind]
        return [
            (e.step_id, e.attempt, getattr(getattr(e, "error", None), "name", None)) for e in found
        ]


@pytest.mark.parametrize(
    ("exited", "name"), [(KILLED, "ExitError"), (Exit(code=OUT_OF_MEMORY_CODE), "OOMError")]
)
def test_a_dead_step_fails_in_the_next_child_and_its_edges_are_followed(exited, name):
    """One job-error has the reason of the death; the next child gets it and decides the edges."""
    lives = Lives(on_death="fail")
    lives.say(*A)
    assert lives.die(exited) == NOW.s
    lives.begin()
    [start] = lives.beginning
    assert (start.resume.step_run_id, start.resume.died.name) == ("a", name)
    lives.say(
        m.StepDied(step_id="a", step_run_id="a"),
        m.JobError(
            error=start.resume.died,
            state=memoryview(encode_state({})),
            state_bytes=1,
            next=("b",),
            duration_ms=0,
        ),
        EDGE,
    )
    assert lives.of("job-start") == [("a", 1, None)]
    assert lives.of("job-error") == [("a", 1, name)]
    lives.say(*B, complete(), end({"data": 1}))
    assert not lives.killed
    assert lives.finish().children == 2


@pytest.mark.parametrize("last", [end({"data": 1}), m.Elsewhere(step_id="b", step_run_id="b")])
def test_a_child_cannot_leave_out_the_step_with_which_it_begins(last):
    """A run is not complete while the job-error of a step that died is missing."""
    lives = Lives(on_death="fail")
    lives.say(*A)
    lives.die()
    lives.begin()
    with pytest.raises(RemoteProtocolError, match="leaves out 'a'"):
        lives.say(last)


def test_a_child_that_is_killed_for_its_memory_is_not_heard_any_more():
    """Otherwise it could begin another step, and the start of its own would have no end."""
    lives = Lives(retry=Retry(attempts=2, delay=0, on=("death",)))
    state = memoryview(encode_state({}))
    lives.say(
        *A,
        m.JobError(error=OOM, state=state, state_bytes=1, next=(), duration_ms=1, ends_run=True),
    )
    lives.say(*B)
    assert lives.killed
    assert lives.die() == NOW.s
    assert lives.of("job-start") == [("a", 1, None)]
    assert lives.of("job-error") == [("a", 1, "OOMError")]
    assert lives.of("init-start") == [("a", 1, None)]


def test_a_timeout_that_comes_too_late_does_not_fail_the_next_step():
    """The end of the step was on its way when the limit fired: the next child begins after it."""
    lives = Lives(timeout=100.0)
    lives.say(*A).pass_time(1)
    lives.check()
    lives.say(complete(next=("b",)), EDGE, *B)
    assert lives.die() == lives.now.s
    lives.begin()
    assert lives.beginning[0].replay == 1
    lives.say(*B, complete(), end({"data": 1}))
    lives.finish()
    assert lives.of("job-error") == []
    assert lives.of("job-complete") == [("a", 1, None), ("b", 1, None)]
    assert lives.types.count("edge-resolved") == 1


def test_the_question_of_a_dead_child_is_dropped():
    """The next child may ask, and the late answer to the first question is not used."""
    lives = Lives(retry=Retry(attempts=2, delay=0, on=("death",)))
    ask = m.LoadCredential(step_id="a", step_run_id="a", id="cred")
    lives.say(A[0], ask)
    lives.die()
    lives.begin()
    lives.say(m.InitStart(step_id="a", step_run_id="a", attempt=2), ask)
    assert lives.session.loading.waiting is lives.request


def test_a_delay_counts_from_the_death_and_ends_with_a_fresh_child():
    """The next attempt has the next number, and begins in another child."""
    lives = Lives(retry=Retry(attempts=3, delay=1000, backoff=1, on=("death",)))
    lives.say(*A)
    assert NOW.s + 0.9 <= lives.die() <= NOW.s + 1.1
    lives.begin()
    assert lives.beginning[0].resume.attempt == 2
    assert lives.beginning[0].resume.died is None


@pytest.mark.parametrize("name", ["SecurityError", "ProtocolError", "OutputLimitError"])
def test_an_attack_ends_the_run_whatever_its_step_allows(name):
    """`on_death` and `retry` are for ordinary deaths."""
    lives = Lives(on_death="fail", retry=Retry(attempts=9, on=("death",)))
    lives.say(*A)
    lives.judge(make_report(name, "no"))
    assert lives.die() is None
    assert lives.finish(KILLED).ending.error.name == name


def test_details_of_a_recorded_error_are_sent_by_the_rules_for_states():
    """An integer of more than 64 bits in a record does not keep the run from going on."""
    error = make_report("AdaptorError", "no", step_id="a", details={"n": 2**80})
    record = StepRecord("a", "a", 1, "fail", encode_state({}), ("b",), error, {})
    lives = Lives(recorded=(record,))
    assert lives.beginning[1].step_run_id == "a"


@pytest.mark.parametrize("keeps", [True, False])
def test_no_object_of_a_run_that_is_over_keeps_its_order(keeps):
    """The order has secrets; a run that has only one child drops it with the first message."""
    lives = Lives(keeps=keeps)
    assert (lives.session._recovery._order is None) is (not keeps)
    lives.say(*A, complete(), end({"data": 1}))
    lives.finish()
    assert lives.session._recovery._order is None
    assert lives.session.order is None


def says(lives):
    """Return the warnings about deaths."""
    return [event.message for event in lives.events if event.type == "log"]


def test_another_child_goes_on_after_a_death_while_no_step_runs():
    """Nothing is repeated, and the events are those of one child, with a warning."""
    lives = Lives(on_death="fail")
    lives.say(*A, complete(next=("b",)))
    assert lives.die() == NOW.s
    lives.begin()
    assert (lives.beginning[0].replay, lives.beginning[0].resume) == (1, None)
    lives.say(*B, complete(), end({"data": 1}))
    assert lives.of("job-start") == [("a", 1, None), ("b", 1, None)]
    assert lives.of("job-error") == []
    assert lives.types.count("edge-resolved") == 1
    assert "SIGKILL; no step was running" in says(lives)[0]
    assert lives.finish().children == 2


@pytest.mark.parametrize("fields", [{"timeout": 100.0}, {"retry": Retry(attempts=2)}])
def test_a_death_between_steps_ends_a_run_whose_plan_survives_no_death(fields):
    """`on_death` is "end" by default; a timeout, or a retry of errors, does not change this."""
    lives = Lives(**fields)
    lives.say(*A, complete(next=("b",)))
    assert lives.die() is None
    assert lives.finish(KILLED).ending.error.name == "ExitError"


def test_children_that_die_without_progress_end_the_run():
    """The second death at the same place is the last one; a step that has ended is progress."""
    lives = Lives(on_death="fail")
    assert lives.die() == NOW.s
    lives.begin()
    lives.say(*A, complete(next=("b",)), EDGE)
    assert lives.die() == NOW.s
    lives.begin()
    assert lives.die() is None
    assert lives.finish(KILLED).ending.error.name == "ExitError"


@pytest.mark.parametrize("taken_up", [True, False])
def test_a_child_that_dies_before_it_has_reported_a_dead_step_is_replaced_once(taken_up):
    """The step keeps the reason of its own death."""
    lives = Lives(on_death="fail")
    lives.say(*A)
    lives.die(Exit(code=7))
    for at in (NOW.s, None):
        lives.begin()
        if taken_up:
            lives.say(m.StepDied(step_id="a", step_run_id="a"))
        assert "code 7" in lives.beginning[0].resume.died.message
        assert lives.die() == at
    assert lives.finish(KILLED).ending.error.subtype == "SIGKILL"
    assert lives.of("job-start") == [("a", 1, None)]


def test_a_death_while_a_step_waits_for_its_retry_does_not_cost_an_attempt():
    """The next child begins with the attempt for which the step waits, at the same time."""
    lives = Lives(retry=Retry(attempts=2, delay=1000, on=("JobError", "death")))
    state = memoryview(encode_state({}))
    error = make_report("JobError", "no", step_id="a")
    lives.say(
        *A, m.JobError(error=error, state=state, state_bytes=1, next=(), duration_ms=1, retry=True)
    )
    begins_s = lives.session.next_deadline
    lives.pass_time(0.1)
    assert lives.die() == begins_s > lives.now.s
    lives.begin()
    resume = lives.beginning[0].resume
    assert (resume.step_run_id, resume.attempt, resume.died) == ("a", 2, None)
    lives.say(m.InitStart(step_id="a", step_run_id="a", attempt=2), LINKED, m.JobStart())
    assert lives.of("job-start") == [("a", 1, None), ("a", 2, None)]
    assert lives.die() is None  # it has no third attempt


def test_a_retry_that_was_reported_while_its_child_was_killed_keeps_its_number():
    """The limit fired when the error of the attempt was on its way: that attempt has failed once."""
    lives = Lives(timeout=100.0, retry=Retry(attempts=3, delay=1000, backoff=1, on=("JobError",)))
    state = memoryview(encode_state({}))
    error = make_report("JobError", "no", step_id="a")
    lives.say(*A).pass_time(1)
    lives.check()
    lives.say(
        m.JobError(error=error, state=state, state_bytes=1, next=(), duration_ms=1, retry=True)
    )
    assert lives.die() > lives.now.s
    lives.begin()
    assert lives.beginning[0].resume.attempt == 2
    assert lives.of("job-error") == [("a", 1, "JobError")]


def test_a_child_killed_before_it_was_ready_is_replaced_once():
    """A kill from outside may meet the next child while it starts."""
    lives = Lives(on_death="fail")
    lives.say(*A, complete(next=("b",)), EDGE)
    lives.die()
    lives.session.begin(lives.now)
    assert lives.die() is None  # the second death in a row without progress
    lives = Lives(on_death="fail")
    lives.session.begin(lives.now)
    assert lives.die() == NOW.s
    lives.begin()
    lives.say(*A, complete(next=("b",)), EDGE, *B, complete(), end({"data": 1}))
    assert lives.types.count("workflow-start") == 1
    assert lives.finish().children == 2


def test_a_warning_about_an_edge_of_a_trigger_is_logged_once():
    """Each child decides such an edge again, and warns again; later warnings are new ones."""
    lives = Lives(on_death="fail")
    first, second = (
        "the condition of the edge 'a' -> 'b': x",
        "the condition of the edge 'a' -> 'b': y",
    )

    def warn(*texts):
        lives.say(
            m.LogBatch(entries=tuple(m.LogEntry("warning", "runtime", text) for text in texts))
        )

    lives.say(*A, complete(next=("b",)))
    warn(first, first)
    lives.die()
    lives.begin()
    warn(first, first, second)
    lives.say(*B)
    warn(first)  # within a step it is another line
    lives.say(complete(), end({"data": 1}))
    lives.finish()
    found = [text for text in says(lives) if "no step was running" not in text]
    assert found == [first, first, second, first]


def test_a_limit_between_steps_is_the_reason_if_the_run_cannot_go_on():
    """Our own kill does not hide the limit for which the child was killed."""
    lives = Lives(on_death="fail")
    lives.say(*A, complete(next=("b",)), EDGE)
    for at in (NOW.s, None):
        lives.take(lives.session._child.judge_step(OOM))
        assert lives.killed
        assert lives.die() == at
        if at is not None:
            lives.begin()
    assert lives.finish(KILLED).ending.error.name == "OOMError"


def test_a_step_whose_edges_are_not_all_decided_is_not_survived():
    """It has no record, so a fresh child would run it again."""
    lives = Lives(on_death="fail")
    lives.say(*A, complete(ends_run=True))
    assert lives.die() is None


SECRET = "correct-horse-battery"


@pytest.mark.parametrize("keeps_events", [True, False])
def test_the_end_of_a_step_comes_before_its_record_only_if_the_journal_keeps_events(keeps_events):
    """Then one transaction can hold both; for any other journal the end means that it is recorded."""
    lives = Lives(journaled=True, keeps_events=keeps_events)
    lives.say(*A, complete(next=("b",)))
    assert isinstance(lives.effects[-1], Record)
    assert ("job-complete" in lives.types) is keeps_events
    lives.effects.clear()
    lives.effects += lives.session.recorded(None, lives.now)
    assert [decode_to_child(sent.body) for sent in lives.effects] == [m.Proceed()]
    lives.say(EDGE, *B, complete())
    lives.session.recorded(None, lives.now)
    lives.say(end({"data": 1}))
    lives.finish()
    assert lives.of("job-complete") == [("a", 1, None), ("b", 1, None)]
    assert lives.types.count("edge-resolved") == 1


def test_a_journal_that_keeps_events_and_fails_ends_a_run_whose_step_has_ended():
    """The end of the step was reported, so it has no second end."""
    lives = Lives(journaled=True, keeps_events=True)
    lives.say(*A, complete(next=("b",)))
    lives.session.recorded(make_report("JournalError", "disk gone"), lives.now)
    assert lives.finish(KILLED).ending.error.name == "JournalError"
    assert lives.of("job-complete") == [("a", 1, None)]
    assert lives.of("job-error") == []


def test_a_child_that_has_ended_while_its_step_was_recorded_is_not_told_to_go_on():
    """It was asked to end, and the journal answers late; the end of the step is reported all the same."""
    lives = Lives(journaled=True)
    lives.say(*A, complete(next=("b",)))
    lives.session.cancel("no need", lives.now)
    lives.say(m.WorkflowError(error=make_report("Cancelled", "no need")))
    assert lives.session.recorded(None, lives.now) == ()
    assert lives.finish().ending.reason == "cancelled"
    assert lives.of("job-complete") == [("a", 1, None)]


def test_attempts_before_the_present_manager_count_on_in_all_events_and_children():
    """Of five attempts one has failed; the others were lost, so one more is left of three."""
    retry = Retry(attempts=3, delay=100, backoff=2, on=("death",))
    lives = Lives(retry=retry, begun={"a": Attempts(5, 1)})
    assert lives.beginning[0].begun == {"a": m.Begun(5, 1)}
    lives.say(m.InitStart(step_id="a", step_run_id="a", attempt=6), LINKED, m.JobStart())
    assert NOW.s + 0.18 <= lives.die() <= NOW.s + 0.22  # the delay after the second of three
    lives.begin()
    assert lives.beginning[0].resume.attempt == 7
    lives.say(m.InitStart(step_id="a", step_run_id="a", attempt=7), LINKED, m.JobStart())
    assert lives.die() is None
    lives.finish(KILLED)
    assert lives.of("job-start") == [("a", 6, None), ("a", 7, None)]
    assert lives.of("job-error") == [("a", 6, "ExitError"), ("a", 7, "ExitError")]


@pytest.mark.parametrize(
    ("state", "report", "holds"),
    [
        ({"data": "harmless"}, None, False),
        ({"data": f"token {SECRET}!"}, None, True),
        ({SECRET: 1}, None, True),
        ({"data": 1}, make_report("JobError", f"refused {SECRET}", step_id="a"), True),
        ({"data": 1}, make_report("JobError", "refused", step_id="a"), False),
    ],
)
def test_a_record_says_whether_it_holds_a_secret(state, report, holds):
    """In a value, in a key, or in the error of the step; the record itself is not redacted."""
    lives = Lives(journaled=True, configurations=({"password": SECRET},))
    lives.say(*A, complete(state) if report is None else failed(report, state))
    record = lives.effects[-1].record
    assert record.holds_secret is holds
    assert record.state == encode_state(state)


@pytest.mark.parametrize("fields", [{"retry": Retry(attempts=2, delay=0, on=("death",))}, {}])
def test_a_child_that_is_killed_with_its_zygote_has_died_as_any_other(fields):
    """The plan decides about it; a plan that survives no death ends with the reason of the machine."""
    orphan = Exit(lost="the zygote died, and the child with it", orphaned=True)
    lives = Lives(**fields)
    lives.say(*A)
    assert lives.die(orphan) == (NOW.s if fields else None)
    if fields:
        lives.begin()
        assert lives.of("job-error") == [("a", 1, "ExitError")]
        lives.say(*A, complete(next=("b",)))
        assert lives.die(orphan) == NOW.s  # no step runs
    else:
        assert lives.finish(orphan).ending.error.name == "SpawnError"
