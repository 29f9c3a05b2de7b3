"""A run without its processes: messages go in, and events and one ending come out.

The test plays the child, and this child lies.
"""

from __future__ import annotations

import base64
import dataclasses
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_bench import (
    ANY,
    EXITS,
    FAILED,
    INIT,
    KILLED,
    LINKED,
    READY,
    STARTED,
    TERMINAL,
    Bench,
    check_end,
    complete,
    end,
    failed,
    said,
)

from engine.reporting import eventlog
from engine.running.session.order import Order
from engine.running.session.resolution import Resolution
from engine.start.exit import Exit
from examples import examples
from protocol import messages as m
from protocol.codec import decode_from_child, encode
from protocol.errors import RemoteProtocolError
from protocol.events import REDACTED
from protocol.limits import MAX_ERROR_TEXT, PROTOCOL_VERSION
from protocol.phases import FROM_CHILD, Phase
from protocol.plan import Edge, Step, Workflow
from protocol.report import OperationRef, Position, StackFrame, make_report
from protocol.state import encode_state

SECRET = "correct-horse-battery"
HUGE = 32_000_000


def test_a_run_becomes_its_events():
    """The events come in order, with numbers and ids of steps; the terminal event is last."""
    bench = Bench().start_job()
    bench.say(
        said("hello"),
        complete({"data": 2}, next=("b",)),
        m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True),
        end({"data": 2}),
    )
    assert bench.dismissed
    outcome = bench.finish()

    assert bench.types == [
        "workflow-start", "init-start", "init-complete", "job-start", "log", "job-complete",
        "edge-resolved", "workflow-complete",
    ]  # fmt: skip
    assert [event.seq for event in bench.events] == list(range(1, 9))
    assert {event.run_id for event in bench.events} == {"run-7"}
    assert [event.step_run_id for event in bench.events[1:6]] == ["a"] * 5
    assert bench.events[5].state == {"data": 2}
    assert bench.events[5].next == ("b",)
    assert bench.events[6].condition == "x"
    assert bench.events[7].state == {"data": 2}
    result = outcome.decode()
    assert (result.state, result.reason, result.error) == ({"data": 2}, "success", None)
    assert result.confinement.landlock_abi == 4


def test_a_failed_leaf_is_a_fail_with_a_state():
    """A run with a failed leaf has a state because the workflow reached its end."""
    bench = Bench().start_job().say(failed(), end({"errors": 1}, error=FAILED))
    result = bench.finish().decode()
    assert (result.reason, result.error, result.state) == ("fail", FAILED, {"errors": 1})
    assert bench.types[-2:] == ["job-error", "workflow-complete"]


def test_a_crash_is_an_error_without_a_state():
    """The last event gives the reason."""
    crash = make_report("RuntimeCrash", "x is not defined", step_id="a")
    bench = Bench().start_job().say(failed(crash), m.WorkflowError(error=crash))
    result = bench.finish().decode()
    assert (result.reason, result.error, result.state) == ("crash", crash, None)
    assert bench.types[-2:] == ["job-error", "workflow-error"]


CUTS = {
    "before hello": [],
    "before it was ready": [m.Hello(version=PROTOCOL_VERSION)],
    "before a step": [m.Hello(version=PROTOCOL_VERSION), READY],
    "before a job": [m.Hello(version=PROTOCOL_VERSION), READY, INIT],
    "in a job": [m.Hello(version=PROTOCOL_VERSION), READY, INIT, LINKED, m.JobStart()],
    "after a job": [
        m.Hello(version=PROTOCOL_VERSION),
        READY,
        INIT,
        LINKED,
        m.JobStart(),
        complete(),
    ],
}


@pytest.mark.parametrize("verdict", [False, True], ids=["dies", "times out"])
@pytest.mark.parametrize("messages", CUTS.values(), ids=CUTS)
def test_wherever_a_child_dies_everything_is_closed(messages, verdict):
    """The run gets one terminal event, and each started job gets one event for its end."""
    bench = Bench().say(*messages)
    if verdict:
        bench.judge(make_report("TimeoutError", "too late"))
    outcome = bench.finish(KILLED)
    died = (
        "ExitError" if READY in messages else "SpawnError"
    )  # before Ready the death is not the fault of a job
    assert outcome.ending.error.name == ("TimeoutError" if verdict else died)
    assert bench.types[-1] == "workflow-error"
    assert sum(kind in TERMINAL for kind in bench.types) == 1
    assert bench.types.count("job-start") == bench.types.count("job-complete") + bench.types.count(
        "job-error"
    )


def test_the_end_of_a_job_by_death_names_the_step():
    """The engine reports the end of the open job in place of the child."""
    bench = Bench().start_job()
    outcome = bench.finish(Exit(signal=11))
    job, workflow = bench.events[-2:]
    assert (job.type, job.step_id, job.state, job.next) == ("job-error", "a", None, ())
    assert job.error == workflow.error == outcome.ending.error
    assert workflow.error.step_id == "a"


def test_a_run_that_never_had_a_child_has_one_event():
    """The run was cancelled in the queue, or its child could not be started."""
    bench = Bench(begin=False)
    bench.cancel("no more")
    outcome = bench.finish(None)
    assert bench.types == ["workflow-error"]
    assert outcome.ending.reason == "cancelled"
    assert "no more" in outcome.ending.error.message
    assert outcome.state is None


def test_a_second_question_before_an_answer_is_refused():
    """A child must wait for each answer; otherwise it could call resolvers as often as it likes."""
    bench = Bench().greet().say(INIT, m.LoadCredential(step_id="a", step_run_id="a", id="cred"))
    with pytest.raises(RemoteProtocolError):
        bench.say(m.LoadState(step_id="a", step_run_id="a", id="stored"))


@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION + 1, -1])
def test_a_child_of_another_version_is_refused(version):
    """The engine refuses the child before it sends anything else."""
    with pytest.raises(RemoteProtocolError, match=f"protocol version {version}, not"):
        Bench().say(m.Hello(version=version))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(m.LoadCredential(step_id="a", step_run_id="a", id="other"), id="credential"),
        pytest.param(m.LoadState(step_id="a", step_run_id="a", id="other"), id="state"),
        pytest.param(m.LoadState(step_id="a", step_run_id="a", id="cred"), id="the other kind"),
    ],
)
def test_a_child_may_ask_only_for_what_its_plan_names(message):
    """A job that speaks to the engine itself cannot get another credential."""
    bench = Bench().greet().say(INIT)
    with pytest.raises(RemoteProtocolError, match="that its plan does not name") as caught:
        bench.say(message)
    assert "other" not in str(caught.value)
    assert bench.request is None


def test_a_loaded_value_is_an_event_and_an_answer():
    """The event contains the id and never the value; the answer contains the value."""
    bench = Bench().greet().say(INIT, m.LoadCredential(step_id="a", step_run_id="a", id="cred"))
    request = bench.request
    assert (request.kind, request.id, request.step_id) == ("credential", "cred", "a")
    value = {"password": SECRET}
    outcome = Resolution(value, encode_state(value), None)
    answer = bench.answer(outcome)
    assert bytes(answer.value) == outcome.encoded
    assert bench.events[-1].type == "credential-load"
    assert (bench.events[-1].id, bench.events[-1].step_id) == ("cred", "a")
    assert bench.request is None


def test_the_secrets_of_a_stored_state_are_those_that_a_job_gets():
    """The stored state may be an object that becomes a dict only when it is encoded."""

    @dataclasses.dataclass
    class Stored:
        configuration: dict[str, str]

    bench = Bench().greet().say(INIT, m.LoadState(step_id="a", step_run_id="a", id="stored"))
    value = Stored({"password": SECRET})
    outcome = Resolution(value, encode_state(value), None)
    answer = bench.session.loading.study(bench.request, outcome)
    assert answer.secrets is not None
    assert SECRET not in repr(answer)
    bench.take(bench.session.loaded(answer, bench.now))
    bench.say(LINKED, m.JobStart(), said(f"it is {SECRET}"))
    assert bench.finish() is not None
    messages = [event.message for event in bench.events if event.type == "log"]
    assert messages[0] == "it is [redacted]"


def test_a_failed_request_has_no_secrets_to_study():
    """The report of the failure is not the value."""
    bench = Bench().greet().say(INIT, m.LoadCredential(step_id="a", step_run_id="a", id="cred"))
    report = make_report("CredentialLoadError", "no")
    assert bench.session.loading.study(bench.request, report).secrets is None


def test_a_value_is_resolved_once_for_each_run():
    """The second request gets the known value, and makes no event."""
    bench = Bench().greet().say(INIT)
    ask = m.LoadState(step_id="a", step_run_id="a", id="stored")
    bench.say(ask)
    outcome = Resolution({"n": 1}, encode_state({"n": 1}), None)
    bench.answer(outcome)
    bench.say(ask)
    assert bench.request is None
    assert [bytes(answer.value) for answer in bench.sent] == [outcome.encoded] * 2
    assert bench.types.count("state-load") == 1


def test_a_value_that_has_expired_is_not_known_any_more():
    """When the time of a token is over, the next execution of a step fetches it again."""
    ask = m.LoadCredential(step_id="a", step_run_id="a", id="cred")
    bench = Bench().greet().say(INIT, ask)
    bench.answer(Resolution({}, encode_state({}), expires=bench.now.s + 5))
    bench.pass_time(5)
    bench.say(ask)
    assert bench.request is None
    assert len(bench.sent) == 2
    bench.say(LINKED, m.JobStart(), complete(), m.InitStart(step_id="a", step_run_id="a-1"))
    bench.say(msgspec.structs.replace(ask, step_run_id="a-1"))
    assert bench.request.step_run_id == "a-1"


def test_a_value_that_cannot_be_had_is_told_to_the_child():
    """The child ends the run with its own report."""
    bench = Bench().greet().say(INIT, m.LoadCredential(step_id="a", step_run_id="a", id="cred"))
    report = make_report("CredentialLoadError", "no")
    answer = bench.answer(report)
    assert answer == m.LoadFailed(error=report)
    assert "credential-load" not in bench.types


# --- limits and verdicts ---


def test_the_first_verdict_stays():
    """Later verdicts do not replace the first one."""
    bench = Bench().start_job()
    bench.judge(make_report("TimeoutError", "first"))
    bench.judge(make_report("OOMError", "second"))
    bench.cancel("third")
    assert bench.finish(KILLED, oom_killed=True).ending.error.message == "first"


def test_after_its_last_word_a_run_cannot_be_judged_any_more():
    """A timeout does not count when the child is already leaving."""
    bench = Bench().start_job().say(complete(), end())
    bench.judge(make_report("TimeoutError", "too late to be late"))
    bench.cancel("nor this")
    assert bench.finish().ending.reason == "success"


STEPS_AFTERWARDS = (
    said("last words"),
    complete(next=("b",)),
    m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True),
    m.InitStart(step_id="b", step_run_id="b"),
    LINKED,
    m.JobStart(),
    said("of the second step"),
)


def cancelled(bench):
    bench.cancel("enough")


def timed_out(bench):
    bench.judge(make_report("TimeoutError", "too late"))


@pytest.mark.parametrize("stop", [cancelled, timed_out])
def test_what_a_child_did_before_it_heard_of_the_verdict_becomes_events(stop):
    """Those messages were already on their way: the log has them, and the verdict stays."""
    bench = Bench().start_job()
    stop(bench)
    bench.say(*STEPS_AFTERWARDS)
    outcome = bench.finish(KILLED)
    assert bench.types[4:] == [
        "log",
        "job-complete",
        "edge-resolved",
        "init-start",
        "init-complete",
        "job-start",
        "log",
        "job-error",
        "workflow-error",
    ]
    assert [event.step_run_id for event in bench.events if event.type == "log"] == ["a", "b"]
    assert bench.events[-2].step_run_id == "b"
    assert outcome.ending.error.name in ("Cancelled", "TimeoutError")
    assert outcome.state is None


@pytest.mark.parametrize("stop", [cancelled, timed_out])
def test_the_last_word_of_a_child_does_not_change_a_verdict(stop):
    """The final state of such a child does not count either."""
    bench = Bench().start_job()
    stop(bench)
    outcome = bench.say(complete(), end({"forged": True})).finish(None)
    assert outcome.ending.error.name in ("Cancelled", "TimeoutError")
    assert outcome.state is None
    assert bench.types[-2:] == ["job-complete", "workflow-error"]


def test_a_child_that_breaks_the_protocol_after_a_verdict_is_not_heard_further():
    """A message that breaks the protocol now was not honest before the verdict either."""
    bench = Bench().start_job()
    bench.cancel("enough")
    with pytest.raises(RemoteProtocolError):
        bench.say(m.Hello(version=99))


def test_a_limit_ends_the_grace_of_a_cancelled_run():
    """The cancellation came first and stays the reason, but the child is killed at once."""
    bench = Bench().start_job()
    bench.cancel("enough")
    assert not bench.killed
    bench.judge(make_report("OOMError", "too large"))
    assert bench.killed
    assert bench.finish(KILLED).ending.reason == "cancelled"


def test_a_cancelled_child_that_floods_is_not_heard_to_its_end():
    """After the verdict the limit of events holds as before it."""
    bench = Bench(max_events=10).greet()
    bench.cancel("enough")
    edge = m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True)
    bench.say(*[edge] * 30)
    assert bench.killed
    bench.finish(KILLED)
    assert len(bench.events) <= 12


def test_a_cancelled_job_may_end():
    """The job can send its last logs and its state; the run is still cancelled."""
    bench = Bench().start_job()
    message = bench.cancel("enough" * 1000)
    assert type(message) is m.Cancel
    assert len(message.reason) == 500
    assert not bench.killed
    bench.say(said("cleaning up"), failed(make_report("Cancelled", "x"), {"half": "done"}))
    bench.say(end())
    outcome = bench.finish()
    assert outcome.ending.reason == "cancelled"
    assert bench.types[-3:] == ["log", "job-error", "workflow-error"]
    assert bench.events[-2].state == {"half": "done"}


@pytest.mark.parametrize(
    "message", [complete({"x": "y" * 2000}), failed(state="y" * 2000)], ids=type
)
def test_too_large_a_state_ends_the_run(message):
    """The engine closes the job, with the verdict that names the limit."""
    bench = Bench(state_mb=0.001).start_job().say(message)
    assert bench.killed
    bench.say(m.InitStart(step_id="b", step_run_id="b"))  # it was sent before the child was killed
    outcome = bench.finish(KILLED)
    assert outcome.ending.error.name == "StateTooLargeError"
    assert outcome.ending.error.step_id == "a"
    assert "allowed: 0.001 MB (state_mb)" in outcome.ending.error.message
    assert bench.types[-3:] == ["job-error", "init-start", "workflow-error"]
    assert bench.events[-3].error == outcome.ending.error


def test_too_large_a_final_state_ends_the_run():
    """Many small states can make a large final state."""
    bench = Bench(state_mb=0.001).start_job().say(complete(), end("y" * 2000))
    outcome = bench.finish()
    assert outcome.ending.error.name == "StateTooLargeError"
    assert "the final state takes" in outcome.ending.error.message
    assert outcome.state is None


def test_too_large_a_payload_is_replaced_in_the_event_only():
    """The result has the whole payload."""
    large = {"x": "y" * 2000}
    bench = Bench(payload_mb=0.001).start_job().say(complete(large), end(large))
    result = bench.finish().decode()
    assert result.state == large
    for event in (bench.events[-2], bench.events[-1]):
        assert (event.state, event.redacted) == (REDACTED, True)


def test_events_carry_no_state_if_they_shall_not():
    """The option asks for events without state, so the event is not marked as redacted."""
    bench = Bench(event_state=False).start_job().say(complete())
    assert (bench.events[-1].state, bench.events[-1].redacted) == (None, False)


@pytest.mark.parametrize("claimed", [-1, 0, 3, 2**40], ids=str)
def test_a_child_that_lies_about_the_size_of_a_state_gains_nothing(claimed):
    """The event has the state only if the claimed size is the real one."""
    bench = Bench().start_job().say(complete({"data": 1}, state_bytes=claimed))
    bench.finish()
    closed = next(event for event in bench.events if event.type in ("job-complete", "job-error"))
    assert closed.state in (REDACTED, None)


def test_too_many_step_runs_end_the_run():
    """Ten diamonds in a chain are four thousand executions."""
    bench = Bench(max_step_runs=3).greet()
    for name in ("a", "a-1", "a-2", "a-3"):
        bench.say(m.InitStart(step_id="a", step_run_id=name), LINKED, m.JobStart(), complete())
    outcome = bench.finish(KILLED)
    assert outcome.ending.error.name == "OutputLimitError"
    assert "more than 3 steps (max_step_runs)" in outcome.ending.error.message
    assert bench.types.count("job-start") == 4  # what a child does before it is killed is reported


def test_too_many_events_end_the_run():
    """The limit counts events of every kind."""
    bench = Bench(max_events=10).greet()
    edge = m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True)
    bench.say(*[edge] * 30)
    outcome = bench.finish(KILLED)
    assert outcome.ending.error.message == "the run has emitted 10 events (max_events)"
    assert len(bench.events) <= 12


def test_too_much_output_ends_the_run():
    """A run may write at most ten times the volume that it may log."""
    bench = Bench(max_log_bytes=100).start_job()
    bench.output("stdout", b"x\n" * 100)
    assert bench.killed
    outcome = bench.finish(KILLED)
    assert outcome.ending.error.name == "OutputLimitError"
    assert "more than ten times the limit of 100 bytes" in outcome.ending.error.message


def test_lines_that_nobody_polled_are_counted(monkeypatch):
    """The numbers have no gap; the last line gives the number of missing lines and the reason."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 3)
    bench = Bench().start_job().say(said(*"abcdef"), complete(), end())
    bench.finish()
    messages = [event.message for event in bench.events if event.type == "log"]
    assert "3 log lines were dropped" in messages[-1]
    assert [event.seq for event in bench.events] == list(range(1, len(bench.events) + 1))


def test_a_child_that_speaks_as_the_runtime_gets_no_more_room(monkeypatch):
    """The child itself chooses the source of a line, so the engine does not trust it."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 3)
    bench = Bench().start_job()
    line = "operation 1 (fn) returned None; an operation should return state"
    bench.say(m.LogBatch(entries=(m.LogEntry("warning", "runtime", line),) * 50))
    assert bench.types.count("log") <= 3
    bench.finish(KILLED)
    *kept, last = (event.message for event in bench.events if event.type == "log")
    assert kept == [line] * 3
    assert last.startswith("47 log lines were dropped")


def test_what_is_missing_is_told_at_the_end_even_if_there_is_no_room(monkeypatch):
    """The engine reports each reason once, after all other lines and at any log level."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 3)
    bench = Bench(max_log_bytes=100, log_level="error").start_job()
    bench.say(said(*"abcdefg", level="error"), complete(), end())
    assert bench.finish().ending.reason == "success"
    told = [event for event in bench.events if event.type == "log"][3:]
    assert [event.message for event in told] == [
        "2 log lines were dropped: the run may log 100 bytes (max_log_bytes)",
        "2 log lines were dropped, because nobody polled those before",
    ]
    assert {(event.source, event.level) for event in told} == {("runtime", "warning")}
    assert bench.types[-3:] == ["log", "log", "workflow-complete"]
    assert [event.seq for event in bench.events] == list(range(1, len(bench.events) + 1))


def test_where_nothing_is_missing_nothing_is_told():
    """A complete log gets no line about a loss."""
    bench = Bench().start_job().say(said("one"), complete(), end())
    bench.finish()
    assert [event.message for event in bench.events if event.type == "log"] == ["one"]


def test_only_a_child_that_is_ready_has_used_anything():
    """The job does not pay for the start of the interpreter."""
    bench = Bench().say(m.Hello(version=PROTOCOL_VERSION))
    assert not bench.session.ready
    bench.say(READY)
    assert bench.session.ready


def test_output_has_the_ids_of_the_step_that_wrote_it():
    """A line without an end belongs to the job that began it."""
    bench = Bench().greet()
    bench.output("stdout", b"before\n")
    bench.say(INIT, LINKED, m.JobStart())
    bench.output("stderr", b"unfinished")
    bench.say(complete(), end())
    bench.finish()
    before, during = (event for event in bench.events if event.type == "log")
    assert (before.message, before.step_id, before.attempt) == ("before", None, None)
    assert (during.message, during.step_id, during.attempt) == ("unfinished", "a", 1)
    assert (during.source, during.level) == ("stderr", "warning")
    assert bench.types.index("job-complete") > during.seq - 1


@pytest.mark.parametrize("claimed", [-5, 2**63, 2**64 - 1])
def test_a_claimed_duration_stays_within_reason(claimed):
    """The duration is a number that JSON readers can hold."""
    bench = Bench().start_job().say(complete(duration_ms=claimed))
    assert 0 <= bench.events[-1].duration_ms <= 2**53


# --- claims of the child about its plan ---


@pytest.mark.parametrize(
    ("taken", "edge", "condition"),
    [(True, ("a", "b"), "x"), (True, ("a", "c"), False), (False, ("c", "b"), True)],
    ids=str,
)
def test_the_condition_of_an_edge_is_that_of_the_plan(taken, edge, condition):
    """The child reports only how the condition was decided."""
    bench = Bench().greet()
    bench.say(m.EdgeResolved(from_step_id=edge[0], to_step_id=edge[1], taken=taken))
    event = bench.events[-1]
    assert (event.from_step_id, event.to_step_id) == edge
    assert (event.condition, event.taken) == (condition, taken)


@pytest.mark.parametrize(
    ("before", "message", "text"),
    [
        pytest.param(
            [], m.InitStart(step_id="z", step_run_id="z"), "a step that its plan lacks", id="step"
        ),
        pytest.param(
            [], m.InitStart(step_id="a", step_run_id="b"), "an execution wrongly", id="execution"
        ),
        pytest.param(
            [*STARTED, complete()], INIT, "starts 'a' a second time", id="execution again"
        ),
        pytest.param(
            [INIT],
            m.LoadCredential(step_id="z", step_run_id="z", id="cred"),
            "a step that its plan lacks",
            id="step of a credential",
        ),
        pytest.param(
            [],
            m.LoadState(step_id="a", step_run_id="a-x", id="stored"),
            "an execution wrongly",
            id="execution of a state",
        ),
        pytest.param(
            [],
            m.EdgeResolved(from_step_id="b", to_step_id="a", taken=True),
            "an edge that its plan lacks",
            id="edge",
        ),
        pytest.param(STARTED, complete(next=("a",)), "an edge that its plan lacks", id="next"),
        pytest.param(STARTED, complete(next=("b", "b")), "follows an edge twice", id="next twice"),
        pytest.param(
            STARTED,
            msgspec.structs.replace(failed(), next=("z",)),
            "an edge that its plan lacks",
            id="next after an error",
        ),
    ],
)
def test_what_contradicts_the_plan_breaks_the_protocol(before, message, text):
    """The message does not become an event: a child could fill the memory with events."""
    bench = Bench().greet().say(*before)
    told = bench.types
    with pytest.raises(RemoteProtocolError, match=text):
        bench.say(message)
    assert bench.types == told
    assert bench.request is None


@pytest.mark.parametrize(("step_id", "step_run_id"), [("b", "b"), ("a", "a-1"), ("b", "a")])
def test_a_child_may_not_ask_in_the_name_of_another_step(step_id, step_run_id):
    """The next job would have these ids, and could be started twice."""
    bench = Bench().greet().say(INIT)
    with pytest.raises(RemoteProtocolError):
        bench.say(m.LoadCredential(step_id=step_id, step_run_id=step_run_id, id="cred"))
    assert bench.request is None


def test_every_execution_of_a_step_is_another_one():
    """Each execution has its own name, and the first step may load its state before it begins."""
    bench = Bench().greet().say(m.LoadState(step_id="a", step_run_id="a", id="stored"))
    value = Resolution({}, encode_state({}), None)
    bench.answer(value)
    for step_id, step_run_id in [("a", "a"), ("b", "b"), ("b", "b-1"), ("b", "b-2")]:
        start = m.InitStart(step_id=step_id, step_run_id=step_run_id)
        bench.say(start, LINKED, m.JobStart(), complete())
    bench.say(end())
    assert bench.finish().ending.reason == "success"
    started = [event.step_run_id for event in bench.events if event.type == "job-start"]
    assert started == ["a", "b", "b-1", "b-2"]


def test_the_report_of_a_child_is_cut_wherever_it_goes():
    """The report is cut in the event of its job, in the last event, and in the result."""
    long = make_report("RuntimeCrash", "m" * 50_000, step_id="a", fix="f" * 50_000)
    bench = Bench().start_job().say(failed(long), m.WorkflowError(error=long))
    outcome = bench.finish()
    for report in (bench.events[-2].error, bench.events[-1].error, outcome.ending.error):
        assert len(report.message) == 2 * MAX_ERROR_TEXT
        assert len(report.fix) < MAX_ERROR_TEXT


def test_the_report_of_a_failed_leaf_is_cut():
    """The result has the cut report of the leaf."""
    long = msgspec.structs.replace(FAILED, message="m" * 50_000)
    bench = Bench().start_job().say(failed(), end(error=long))
    assert len(bench.finish().ending.error.message) == 2 * MAX_ERROR_TEXT


def huge_frame(place):
    """Return the messages to send first, and a frame with a huge name in one place."""
    name = "a" * HUGE
    report = msgspec.structs.replace(FAILED, **{place: name}) if hasattr(FAILED, place) else FAILED
    before, message = {
        "step": lambda: ([], m.InitStart(step_id=name, step_run_id=name)),
        "execution": lambda: ([], m.InitStart(step_id="a", step_run_id=name)),
        "number": lambda: ([], m.InitStart(step_id="a", step_run_id="a-" + "1" * HUGE)),
        "credential": lambda: ([INIT], m.LoadCredential(step_id="a", step_run_id="a", id=name)),
        "edge": lambda: ([], m.EdgeResolved(from_step_id="a", to_step_id=name, taken=True)),
        "next": lambda: (STARTED, complete(next=("b", name))),
        "last state": lambda: ([], m.WorkflowComplete(state=None, state_of=name)),
        "last report": lambda: (
            [],
            m.WorkflowError(error=msgspec.structs.replace(FAILED, name=name, message=name)),
        ),
    }.get(place, lambda: (STARTED, failed(report)))()
    return before, encode(message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        "step", "execution", "number", "credential", "edge", "next", "last state", "last report",
        "name", "message", "step_id", "subtype", "details", "fix",
    ],
)  # fmt: skip
def test_a_huge_name_leaves_nothing_behind(place):
    """When the frame is gone, no event, verdict or result keeps the name."""
    before, frame = huge_frame(place)
    bench = Bench(memory_mb=1000).greet().say(*before)
    tracemalloc.start()
    try:
        try:
            bench.say(decode_from_child(frame))
        except RemoteProtocolError as error:
            bench.judge(make_report("ProtocolError", str(error)))
        outcome = bench.finish(KILLED)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert outcome.ending.error is not None
    assert bench.types[-1] == "workflow-error"
    assert kept < 1_000_000


# --- secrets ---


def test_no_field_of_any_event_carries_a_secret():
    """The child puts the secret into each field, also in other spellings."""
    encoded = base64.b64encode(SECRET.encode()).decode()
    report = make_report(
        "JobError",
        f"message {SECRET}",
        step_id=SECRET,
        subtype=SECRET,
        operation=OperationRef(1, SECRET),
        position=Position(1, source=SECRET),
        stack=(StackFrame(SECRET, SECRET, 1, SECRET),),
        details={SECRET: [SECRET, {"auth": f"Basic {encoded}"}, SECRET.encode()]},
        fix=SECRET,
    )
    state = {"data": {SECRET: [f"x{SECRET}x", encoded, SECRET.encode()]}}
    workflow = Workflow(
        steps=(
            Step(id="a", expression="x", next={"a": Edge(f"state == {SECRET!r}")}),
            Step(id="b", expression="x", next={"a": Edge()}),
        )
    )
    bench = Bench(workflow=workflow, configurations=({"password": SECRET},)).greet()
    bench.say(
        m.EdgeResolved(from_step_id="a", to_step_id="a", taken=True),
        m.InitStart(step_id="a", step_run_id="a"),
        LINKED,
        m.JobStart(),
        said(SECRET, encoded, SECRET[:9], SECRET[9:]),
    )
    bench.output("stdout", f"{SECRET}\n{encoded}".encode())
    bench.say(failed(report, state))
    bench.say(
        m.InitStart(step_id="b", step_run_id="b"),
        LINKED,
        m.JobStart(),
        complete(state, next=("a",)),
        end(state, error=report),
    )
    outcome = bench.finish()
    text = repr([msgspec.to_builtins(event) for event in bench.events])
    text += repr(msgspec.to_builtins(outcome.decode()))
    assert SECRET not in text
    assert encoded not in text
    assert REDACTED in text
    assert len(bench.events) == 17


def test_a_credential_is_a_secret_before_the_child_has_it():
    """After the answer of the engine nothing shows the secret, not even the report of a crash."""
    bench = Bench().greet().say(INIT, m.LoadCredential(step_id="a", step_run_id="a", id="cred"))
    value = {"password": SECRET, "username": "somebody"}
    bench.answer(Resolution(value, encode_state(value), None))
    report = make_report("RuntimeCrash", f"somebody said {SECRET}")
    bench.say(
        LINKED, m.JobStart(), said(f"it is {SECRET}"), failed(report), m.WorkflowError(error=report)
    )
    outcome = bench.finish()
    assert outcome.ending.error.message == f"somebody said {REDACTED}"
    assert SECRET not in repr(bench.events)
    assert SECRET not in repr(outcome)


def test_nothing_secret_is_kept_after_the_end():
    """A manager may keep the handle of a run for long."""
    bench = Bench(configurations=({"password": SECRET},)).greet()
    bench.finish(KILLED)
    assert bench.session.order is None
    assert SECRET not in repr(vars(bench.session))
    held = [bench.session, *vars(bench.session).values()]
    assert not any(isinstance(value, Order) for value in held)


# --- any order of messages ---


@examples(100)
@given(
    st.data(),
    st.integers(0, 25),
    st.booleans(),
    st.sampled_from(EXITS),
    st.sampled_from([None, "judge", "cancel"]),
    st.integers(0, 25),
)
def test_any_messages_end_in_one_terminal_event(data, length, lawful, exited, verdict, when):
    """The messages come in any order, with a verdict at any point and any exit of the child."""
    bench = Bench(max_step_runs=4)
    phase = Phase.STARTING
    for number in range(length):
        if number == when and verdict == "judge":
            bench.judge(make_report("TimeoutError", "x"))
        elif number == when and verdict == "cancel":
            bench.cancel("x")
        choice = (
            [message for message in ANY if type(message) in FROM_CHILD[phase]] if lawful else ANY
        )
        if not choice:
            break
        message = data.draw(st.sampled_from(choice))
        phase = FROM_CHILD[phase].get(type(message), phase)
        try:
            bench.say(message)
        except RemoteProtocolError as error:
            bench.judge(make_report("ProtocolError", str(error)))
    if exited is None and bench.session.verdict is None:
        bench.judge(make_report("SpawnError", "no child"))
    check_end(bench, bench.finish(exited))


def kept_after(frame_bytes):
    """Return the peak memory, beyond the frame, while the session takes a state of a megabyte."""
    size = 1_000_000
    bench = Bench().start_job()
    body = bytearray(encode(complete({"data": "x" * size})))
    tracemalloc.start()
    try:
        frame = bytearray(body)
        message = decode_from_child(frame)
        bench.session.receive(message, bench.now, frame_bytes=frame_bytes or len(frame))
        return tracemalloc.get_traced_memory()[1] - size
    finally:
        tracemalloc.stop()


def test_a_state_that_is_nearly_its_frame_is_kept_with_it():
    """The session does not copy such a state; of a longer frame it keeps only the state."""
    assert kept_after(None) < 500_000
    assert kept_after(1_500_000) > 500_000


@pytest.mark.slow
def test_a_small_state_does_not_keep_its_large_frame():
    """A decoded state is a view of its frame, which may contain much more than the state."""
    frame = encode(failed(make_report("JobError", "x" * 900_000)))
    benches = [Bench().start_job() for _ in range(20)]
    tracemalloc.start()
    try:
        for bench in benches:
            message = decode_from_child(bytes(bytearray(frame)))
            bench.session.receive(message, bench.now, frame_bytes=len(frame))
        del message
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
