"""Whole runs through a session, without a process: the test hands in messages, facts and the time.

The other half, the work of a lane with the effects, is in `tests/process`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_bench import (
    ANY,
    CLEAN,
    EXITS,
    FAILED,
    HELLO,
    INIT,
    KILLED,
    LINKED,
    NOW,
    READY,
    STARTED,
    Bench,
    check_end,
    complete,
    end,
    failed,
    said,
)

from engine.reporting import logs, reporter
from engine.running import session as room
from engine.running.session.deadlines import LINGER_S, START_S
from engine.running.session.effects import (
    ASK_WHERE,
    DISMISS,
    KILL,
    AskWhere,
    Dismiss,
    Kill,
    Resolve,
    Send,
)
from engine.running.session.limits import Used
from engine.running.session.loading import Answer
from engine.running.session.resolution import Resolution
from engine.running.session.snapshot import ANSWER_S
from engine.start.exit import Exit
from examples import examples
from protocol import messages as m
from protocol.codec import decode_to_child
from protocol.errors import RemoteProtocolError
from protocol.phases import FROM_CHILD, Phase
from protocol.report import make_report
from protocol.state import encode_state

FILES = [
    import_module(f"{room.__name__}.{file.name}") for file in pkgutil.iter_modules(room.__path__)
]
ASK = m.LoadCredential(step_id="a", step_run_id="a", id="cred")
TOKEN = Resolution({"token": "hunter2-hunter2"}, encode_state({"token": "hunter2-hunter2"}), None)
CRASH = make_report("RuntimeCrash", "x is not defined", step_id="a")
PATHS = {
    Phase.STARTING: [],
    Phase.GREETED: [HELLO],
    Phase.WALKING: [HELLO, READY],
    Phase.INITIALISING: [HELLO, READY, INIT],
    Phase.LINKED: [HELLO, READY, INIT, LINKED],
    Phase.RUNNING: [HELLO, READY, *STARTED],
    Phase.DONE: [HELLO, READY, *STARTED, complete(), end({"data": 1})],
}
"""The messages that lead to each phase of a run whose child waits for no record."""

GOING_ON = [phase for phase in PATHS if phase is not Phase.DONE]


def test_a_run_that_succeeds_wants_nothing_but_its_dismissal():
    """The events have the times that the test handed in, and the durations are the differences."""
    bench = Bench().say(HELLO, READY)
    bench.pass_time(1).say(INIT, LINKED)
    bench.pass_time(2).say(m.JobStart())
    assert bench.effects == []
    bench.pass_time(4).say(complete({"data": 2}, next=("b",)), end({"data": 2}))
    assert tuple(bench.effects) == DISMISS
    outcome = bench.pass_time(8).finish(None, memory=(5_000, 7_000))
    result = outcome.decode()
    assert (result.reason, result.state, result.duration_ms) == ("success", {"data": 2}, 15_000)
    assert result.usage.peak_memory_bytes == 7_000
    assert [event.time - NOW.wall_s for event in bench.events] == [0, 1, 1, 3, 7, 15]


def test_a_run_that_fails_has_a_state():
    """A failed leaf does not stop the walk."""
    bench = Bench().start_job().say(failed(), end({"errors": 1}, error=FAILED))
    assert tuple(bench.effects) == DISMISS
    result = bench.finish(None).decode()
    assert (result.reason, result.state) == ("fail", {"errors": 1})


def test_a_run_that_crashes_is_dismissed_too():
    """The child has sent its last message, so the engine does not doubt it."""
    bench = Bench().start_job().say(failed(CRASH), m.WorkflowError(error=CRASH))
    assert tuple(bench.effects) == DISMISS
    assert bench.finish(None).ending.reason == "crash"


def test_a_child_that_cannot_confine_itself_is_dismissed():
    """No job was started, and the error has a remedy."""
    failure = m.ConfineFailed(layer="seccomp", reason="the kernel is old", remedy="a new kernel")
    bench = Bench().say(HELLO, failure)
    assert tuple(bench.effects) == DISMISS
    ended = bench.finish(None).ending
    assert (ended.error.name, ended.error.fix) == ("ConfinementError", "a new kernel")


@pytest.mark.parametrize("phase", GOING_ON, ids=lambda phase: phase.value)
@pytest.mark.parametrize(
    ("exited", "facts", "name", "early"),
    [
        pytest.param(Exit(code=7), {}, "ExitError", "SpawnError", id="exits"),
        pytest.param(Exit(signal=11), {}, "ExitError", "SpawnError", id="crashes"),
        pytest.param(KILLED, {"oom_killed": True}, "OOMError", "OOMError", id="out of memory"),
        pytest.param(Exit(signal=24), {}, "CPULimitError", "SpawnError", id="processor time"),
        pytest.param(Exit(lost="nobody knows"), {}, "SpawnError", "SpawnError", id="lost"),
    ],
)
def test_a_death_ends_a_run_at_every_boundary(phase, exited, facts, name, early):
    """The session returns no effect for a dead child; an open job is closed with the same error."""
    bench = Bench().say(*PATHS[phase])
    outcome = bench.finish(exited, **facts)
    before = phase in (Phase.STARTING, Phase.GREETED)
    assert outcome.ending.error.name == (early if before else name)
    assert bench.effects == []
    if phase is Phase.RUNNING:
        assert bench.events[-2].error == bench.events[-1].error == outcome.ending.error
    check_end(bench, outcome)


# --- limits ---

MUCH = Used(memory_bytes=300_000_000, cpu_s=0.0)
BUSY = Used(memory_bytes=0, cpu_s=3.0)


@pytest.mark.parametrize(
    ("options", "path", "seconds", "used", "named"),
    [
        pytest.param({"timeout_s": 5}, PATHS[Phase.RUNNING], 5, None, "timeout_s", id="run"),
        pytest.param(
            {"step_timeout_s": 3}, PATHS[Phase.RUNNING], 3, None, "step_timeout_s", id="step"
        ),
        pytest.param(
            {"idle_timeout_s": 2}, PATHS[Phase.INITIALISING], 2, None, "idle_timeout_s", id="idle"
        ),
        pytest.param({}, PATHS[Phase.GREETED], START_S, None, None, id="start"),
        pytest.param({"memory_mb": 256}, PATHS[Phase.RUNNING], 0, MUCH, "memory_mb", id="memory"),
        pytest.param({"cpu_s": 3}, PATHS[Phase.RUNNING], 0, BUSY, "cpu_s", id="cpu"),
    ],
)
def test_a_limit_that_is_looked_at_kills_at_its_moment(options, path, seconds, used, named):
    """The kill does not come early, and the run ends with the limit's name for any exit status."""
    bench = Bench(**options).say(*path)
    if seconds:
        assert bench.session.next_deadline == NOW.s + seconds
        assert bench.pass_time(seconds - 0.001).check() == ()
        bench.pass_time(0.001)
    else:
        assert bench.check(Used(memory_bytes=1, cpu_s=1.0)) == ()
    if named in {"timeout_s", "step_timeout_s", "cpu_s"}:  # a job runs, and is asked for its line
        assert bench.check(used) == ASK_WHERE
        assert bench.session.next_deadline == bench.now.s + ANSWER_S
        assert bench.check(used) == ()
        bench.pass_time(ANSWER_S)
    assert bench.check(used) == KILL
    outcome = bench.finish(KILLED)
    assert outcome.ending.error.option == named
    assert outcome.ending.reason == ("kill" if named else "exception")
    check_end(bench, outcome)


@pytest.mark.parametrize(
    ("options", "message", "option"),
    [
        pytest.param({"max_events": 4}, said("a", "b"), "max_events", id="events"),
        pytest.param({"max_log_bytes": 3}, said("x" * 40), "max_log_bytes", id="logs"),
        pytest.param({"state_mb": 0.001}, complete("y" * 2000), "state_mb", id="state"),
        pytest.param({"state_mb": 0.001}, failed(state="y" * 2000), "state_mb", id="failed state"),
    ],
)
def test_a_limit_of_volume_kills_with_the_message_that_exceeds_it(options, message, option):
    """The session does not look at the clock for this."""
    bench = Bench(**options).start_job()
    assert bench.effects == []
    bench.say(message)
    assert set(bench.effects) == {Kill()}
    assert bench.finish(KILLED).ending.error.option == option


def test_a_step_that_is_one_too_many_kills():
    """The limit of steps is that of the order."""
    bench = Bench(max_step_runs=1).start_job().say(complete())
    assert bench.effects == []
    bench.say(m.InitStart(step_id="b", step_run_id="b"))
    assert tuple(bench.effects) == KILL


def test_a_child_that_is_to_be_killed_is_not_dismissed_by_its_last_message():
    """A dismissal would wait until everything that the child wrote is taken."""
    too_large = Bench(state_mb=0.001).start_job().say(complete(), end("y" * 2000))
    late = Bench(timeout_s=5).start_job()
    late.pass_time(5).check()
    late.say(complete(), end())
    assert set(too_large.effects) == {Kill()}
    assert set(late.effects) == {AskWhere(), Kill()}


def test_lines_that_are_flushed_at_the_end_count_as_events():
    """An unfinished line becomes an event when the child is gone."""
    bench = Bench(max_events=4).start_job()
    bench.output("stdout", b"unfinished")
    assert bench.effects == []
    assert bench.finish(KILLED).ending.error.option == "max_events"


def test_the_peak_of_memory_is_the_largest_of_all_readings():
    """Readings come with a job, at a check, and at the end."""
    bench = Bench().greet().say(INIT, LINKED)
    bench.say(m.JobStart(), memory=(10_000, 20_000))
    bench.check(Used(memory_bytes=50_000, cpu_s=0.0))
    bench.say(complete(), memory=(15_000, 40_000))
    assert (bench.events[-1].mem.job, bench.events[-1].mem.system) == (5_000, 15_000)
    assert bench.events[-1].mem.peak == 50_000
    bench.say(end())
    assert bench.finish(None, memory=(0, 60_000)).usage.peak_memory_bytes == 60_000


def test_the_memory_is_read_for_two_messages_only():
    """These are the first start of a job and each end; a reading takes longer than a message."""
    bench = Bench().greet()
    wanted = bench.session.needs_reading
    second = m.InitStart(step_id="b", step_run_id="b")
    messages = [*STARTED, said("x"), complete(), second, LINKED, m.JobStart(), complete(), end()]
    asked = []
    for message in messages:
        asked.append(wanted(message))
        bench.say(message, memory=(1, 1) if asked[-1] else None)
    assert [type(x) for x, needed in zip(messages, asked, strict=True) if needed] == [
        m.JobStart,
        m.JobComplete,
        m.JobComplete,
    ]


# --- cancellation ---


@pytest.mark.parametrize("phase", GOING_ON, ids=lambda phase: phase.value)
def test_a_cancelled_child_is_asked_first_and_killed_when_its_grace_is_over(phase):
    """In every phase the child gets the message; before it is ready it needs no grace."""
    bench = Bench(cancel_grace_s=2).say(*PATHS[phase])
    assert bench.cancel("enough") == m.Cancel(reason="enough")
    ready = phase not in (Phase.STARTING, Phase.GREETED)
    assert bench.session.heard_since_cancel() == (() if ready else KILL)
    assert bench.pass_time(1.9).check() == ()
    assert bench.pass_time(0.1).check() == KILL
    outcome = bench.finish(KILLED)
    assert outcome.ending.reason == "cancelled"
    check_end(bench, outcome)


def test_a_cancelled_child_that_reads_nothing_is_killed_at_once():
    """The child still waits for its plan: it runs no job and would miss the message."""
    bench = Bench().greet()
    assert bench.cancel("enough", reads=False) is None
    assert tuple(bench.effects) == KILL
    assert bench.finish(KILLED).ending.reason == "cancelled"


def test_a_cancelled_child_that_ends_in_its_grace_is_dismissed():
    """The job has its last state, but the run is cancelled."""
    bench = Bench().start_job()
    bench.cancel("enough")
    bench.say(failed(make_report("Cancelled", "x"), {"half": "done"}), end())
    assert isinstance(bench.effects[-1], Dismiss)
    assert bench.finish(None).ending.reason == "cancelled"
    assert bench.events[-2].state == {"half": "done"}


def test_a_cancellation_after_the_last_message_changes_nothing():
    """The run has ended already."""
    bench = Bench().say(*PATHS[Phase.DONE])
    bench.cancel("too late")
    assert bench.finish(None).ending.reason == "success"


# --- loading ---


def test_a_credential_is_asked_for_and_sent():
    """A request gives one answer, and one event with the time that the resolver took."""
    bench = Bench().greet().say(INIT, ASK)
    (effect,) = bench.effects
    assert isinstance(effect, Resolve)
    assert bench.session.loading.waiting is effect.request
    answer = bench.pass_time(1.5).answer(TOKEN)
    assert bytes(answer.value) == TOKEN.encoded
    assert (bench.events[-1].type, bench.events[-1].duration_ms) == ("credential-load", 1500)
    assert "hunter2" not in repr(bench.effects)
    bench.say(LINKED, m.JobStart(), complete(), end())
    assert bench.finish(None).ending.reason == "success"


def test_a_resolver_that_is_late_fails_the_load_and_its_answer_is_ignored():
    """The child may be silent while it waits; its own limit starts anew with the answer."""
    bench = Bench(resolve_timeout_s=10, idle_timeout_s=1).greet().say(INIT, ASK)
    request = bench.request
    assert bench.pass_time(9.9).check() == ()
    (effect,) = bench.pass_time(0.1).check()
    failure = decode_to_child(effect.body)
    assert type(failure) is m.LoadFailed
    assert "within 10 s (resolve_timeout_s)" in failure.error.message
    assert bench.session.loaded(Answer(request, TOKEN), bench.now) == ()
    assert "credential-load" not in bench.types
    assert bench.pass_time(1).check() == KILL
    assert bench.finish(KILLED).ending.error.option == "idle_timeout_s"


def test_an_answer_to_another_question_is_ignored():
    """A late answer must not count for the present request, even if both are alike."""
    bench = Bench(resolve_timeout_s=1).greet().say(INIT, ASK)
    first = bench.request
    bench.pass_time(1).check()
    bench.say(m.LoadState(step_id="a", step_run_id="a", id="stored"))
    assert bench.session.loaded(Answer(first, TOKEN), bench.now) == ()
    assert bench.session.loading.waiting is bench.request


@pytest.mark.parametrize("stop", ["cancel", "judge"])
def test_a_run_that_is_stopped_takes_no_answer_and_asks_nobody(stop):
    """The engine calls no resolver of the manager, and sends no secret."""
    report = make_report("TimeoutError", "too late")
    early = Bench().greet().say(INIT, ASK)
    late = Bench().greet().say(INIT)
    for bench in (early, late):
        bench.cancel("enough") if stop == "cancel" else bench.judge(report)
    assert early.session.loaded(Answer(early.request, TOKEN), early.now) == ()
    late.say(ASK)
    assert late.request is None


def test_a_child_that_has_not_read_what_it_was_sent_may_not_ask():
    """Answers that the child does not read would pile up in the engine."""
    bench = Bench().greet().say(INIT)
    with pytest.raises(RemoteProtocolError, match="a credential before it has read what it was"):
        bench.say(ASK, reads=False)
    assert bench.session.break_off("it asked too early") == KILL


def test_a_child_may_not_ask_again_for_what_could_not_be_had():
    """Otherwise the resolver would be called for ever."""
    bench = Bench().greet().say(INIT, ASK)
    bench.answer(make_report("CredentialLoadError", "no"))
    with pytest.raises(RemoteProtocolError, match="that could not be had"):
        bench.say(ASK)


# --- offences ---

FORBIDDEN = [
    (phase, message) for phase in PATHS for message in ANY if type(message) not in FROM_CHILD[phase]
]


@pytest.mark.parametrize(
    ("phase", "message"), FORBIDDEN, ids=[f"{p.value}-{i}" for i, (p, _) in enumerate(FORBIDDEN)]
)
def test_a_message_out_of_order_is_the_last_one_that_is_heard(phase, message):
    """In each phase, each forbidden message ends the conversation, and does not become an event."""
    bench = Bench().say(*PATHS[phase])
    told = bench.types
    with pytest.raises(RemoteProtocolError, match="in phase"):
        bench.say(message)
    bench.take(bench.session.break_off("out of order"))
    after = len(bench.effects)
    bench.say(HELLO, *STARTED, complete(), end())
    assert bench.types == told
    assert len(bench.effects) == after
    if phase is Phase.DONE:
        assert tuple(bench.effects) == DISMISS  # the run had ended before
        assert bench.finish(None).ending.reason == "success"
    else:
        assert tuple(bench.effects) == KILL
        assert bench.finish(KILLED).ending.error.name == "ProtocolError"


def test_a_child_that_closes_its_pipe_has_a_moment_to_be_gone():
    """A child that stays is killed; a child that ends is judged by its exit."""
    bench = Bench().start_job()
    assert bench.session.pipe_closed(bench.now) == ()
    assert bench.pass_time(LINGER_S - 0.01).check() == ()
    assert bench.pass_time(0.01).check() == KILL
    assert "closed its pipe, and stayed" in bench.finish(KILLED).ending.error.message
    gone = Bench().start_job()
    gone.session.pipe_closed(gone.now)
    assert gone.finish(Exit(code=7)).ending.error.name == "ExitError"


def test_a_bug_of_ours_wins_over_the_last_message_of_a_child():
    """After a bug, the state of the rest is unknown."""
    bench = Bench().say(*PATHS[Phase.DONE])
    assert bench.session.abort(ZeroDivisionError("a bug")) == KILL
    outcome = bench.finish(KILLED)
    assert "internal error of the engine: ZeroDivisionError" in outcome.ending.error.message


# --- children, and clocks ---


def test_a_run_whose_child_has_said_nothing_begins_again_with_another():
    """The new child has the full time, and all of its messages count."""
    bench = Bench(timeout_s=20)
    assert bench.session.unheard
    bench.pass_time(15).session.begin(bench.now)
    assert bench.session.next_deadline == bench.now.s + 20
    bench.say(HELLO)
    assert not bench.session.unheard
    bench.say(READY, *STARTED, complete(), end())
    assert bench.pass_time(3).finish(None).duration_ms == 3000


@pytest.mark.parametrize(
    "module",
    [*FILES, reporter, logs],
    ids=lambda module: module.__name__,
)
def test_nothing_in_a_session_has_a_clock(module):
    """The time comes from the caller, so a test can hand in any time."""
    assert not {"time", "read_clocks", "datetime"} & set(vars(module))


# --- any order of anything ---

STEPS = st.one_of(
    st.sampled_from(ANY),
    st.sampled_from([READY, *STARTED, complete(next=("b",)), ASK, said("x"), end()]),
    st.sampled_from(["check", "cancel", "answer", "late answer", "output", "flood", "closed"]),
    st.floats(0.001, 40),
)


def act(bench, step, old):
    """Do one action; return the effects that a lane would have carried out."""
    session, now = bench.session, bench.now
    if isinstance(step, float):
        bench.pass_time(step)
    elif isinstance(step, m.Message):
        try:
            bench.say(step)
        except RemoteProtocolError as error:
            bench.take(session.break_off(str(error)))
    elif step == "check":
        bench.check(Used(memory_bytes=1, cpu_s=0.0))
    elif step == "cancel" and session.verdict is None:
        bench.cancel("enough")
    elif step == "answer" and bench.request is not None:
        old.append(bench.request)
        bench.take(session.loaded(Answer(bench.request, TOKEN), now))
    elif step == "late answer" and old:
        before = session.loading.waiting
        bench.take(session.loaded(Answer(old[0], TOKEN), now))
        assert session.loading.waiting is before or before is old[0]
    elif step == "output":
        bench.output("stderr", b"a line\n")
    elif step == "flood":
        bench.output("stdout", b"\n" * 400)
    elif step == "closed":
        bench.take(session.pipe_closed(now))


@examples(300)
@given(st.booleans(), st.lists(STEPS, max_size=30), st.sampled_from(EXITS))
def test_any_order_of_messages_facts_and_times_ends_well(greeted, order, exited):
    """A run has one end, a request one answer, and each verdict except a cancellation kills."""
    bench = Bench(max_step_runs=4, max_events=40, max_log_bytes=200, idle_timeout_s=30)
    if greeted:
        bench.greet()
    old = []
    for step in order:
        before = len(bench.effects)
        stopped = bench.session.verdict is not None
        act(bench, step, old)
        new = bench.effects[before:]
        if stopped:
            assert not any(isinstance(effect, Resolve) for effect in new)
            assert not any(type(x) is m.Loaded for x in map(sent, new))
    verdict = bench.session.verdict
    if verdict is not None and verdict.name != "Cancelled":
        assert bench.killed
    questions = sum(isinstance(effect, Resolve) for effect in bench.effects)
    asked = sum(event in ("credential-load", "state-load") for event in bench.types)
    assert asked <= questions
    assert bench.effects.count(Dismiss()) <= 1
    if exited in (None, CLEAN) and not bench.dismissed and verdict is None:
        exited = KILLED
    check_end(bench, bench.finish(exited))


def sent(effect):
    return decode_to_child(effect.body) if isinstance(effect, Send) else None
