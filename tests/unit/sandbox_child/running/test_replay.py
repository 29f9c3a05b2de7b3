"""A run over several children: replay, resume, the barrier, steps of another child, and retries."""

from __future__ import annotations

import math

import msgspec
import pytest
from scripted_walk import LIMITS, proceeding, run_walk, start_of

from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.plan import Retry
from protocol.report import make_report
from protocol.state import decode_state, encode_state
from sandbox_child.pipes.channel import EngineGoneError
from sandbox_child.running.retrying import hints_of

SAME = "def main(state): return state"
FAIL = "def main(state): raise ValueError('no')"
DIED = make_report("RuntimeError", "the child died")


def job(step_id, following=None, source=SAME, **more):
    return {"id": step_id, "expression": source, "next": following or {}, **more}


def plan_of(*steps, **options):
    return {"workflow": {"steps": list(steps)}, "options": options}


CHAIN = plan_of(job("a", "b"), job("b", "c"), job("c"))


def kinds(messages):
    return [type(message).__name__ for message in messages]


# --- replay ---


def test_replayed_steps_do_not_run_and_the_next_one_does():
    """The final state is that of a run that was not cut."""
    whole = run_walk(start_of(CHAIN, whole=True))
    resumed = run_walk(start_of(CHAIN, whole=True, replay=2), script=whole.replays()[:2])
    assert resumed.step_runs == ["c"]
    assert resumed.state == whole.state


def test_a_run_whose_steps_are_all_recorded_only_ends():
    """The final state is sent whole: the engine was not sent it by this child."""
    whole = run_walk(start_of(CHAIN, {"data": {"n": 1}}, whole=True))
    resumed = run_walk(start_of(CHAIN, replay=3, whole=True), script=whole.replays())
    assert resumed.sent == []
    assert resumed.last.state_of is None
    assert decode_state(resumed.last.state) == {"data": {"n": 1}}


def test_a_failed_leaf_that_was_replayed_still_fails_the_run():
    """Its report travels with it."""
    plan = plan_of(job("a", "b"), job("b", None, FAIL))
    whole = run_walk(start_of(plan, whole=True))
    resumed = run_walk(start_of(plan, replay=2, whole=True), script=whole.replays())
    assert resumed.last.error.message == "no"
    assert resumed.state["errors"]["b"]["message"] == "no"


def test_triggers_between_replayed_steps_send_nothing_and_log_nothing():
    """Those after the last replayed step send their edges as usual."""
    condition = "state.data.missing > 1"
    steps = [
        job("a", "t"),
        {"id": "t", "next": {"b": True, "x": condition}},
        job("b", "u"),
        {"id": "u", "next": {"c": True, "x": condition}},
        job("c"),
        job("x"),
    ]
    whole = run_walk(start_of(plan_of(*steps), whole=True))
    resumed = run_walk(start_of(plan_of(*steps), whole=True, replay=2), script=whole.replays()[:2])
    edges = [(edge.from_step_id, edge.to_step_id) for edge in resumed.of(m.EdgeResolved)]
    assert edges == [("u", "c"), ("u", "x")]
    assert len(resumed.of(m.LogBatch)) == 1
    assert len(whole.of(m.LogBatch)) == 2


def test_another_step_than_the_next_one_is_refused():
    """Engine and child must agree about the plan."""
    whole = run_walk(start_of(CHAIN, whole=True))
    with pytest.raises(RemoteProtocolError, match="engine replays 'b' where 'a' is due"):
        run_walk(start_of(CHAIN, replay=1), script=whole.replays()[1:])
    resume = m.Resume(step_run_id="c")
    with pytest.raises(RemoteProtocolError, match="engine resumes 'c' where 'b' is due"):
        run_walk(start_of(CHAIN, replay=1, resume=resume), script=whole.replays()[:1])
    with pytest.raises(RemoteProtocolError, match="engine sent LoadFailed where Replay was due"):
        run_walk(start_of(CHAIN, replay=1), script=[m.LoadFailed(error=DIED)])


def test_a_run_is_cancelled_in_the_middle_of_its_replay():
    """No step starts."""
    whole = run_walk(start_of(CHAIN, whole=True))
    script = [*whole.replays()[:1], m.Cancel(reason="enough")]
    resumed = run_walk(start_of(CHAIN, replay=3), script=script)
    assert resumed.last.error.name == "Cancelled"
    assert resumed.step_runs == []


def test_the_stored_initial_state_is_not_loaded_for_a_step_that_is_replayed():
    """Only a trigger passes it on."""
    whole = run_walk(start_of(CHAIN, whole=True))
    resumed = run_walk(
        start_of(CHAIN, replay=1, whole=True, state_id="stored"), script=whole.replays()[:1]
    )
    assert resumed.of(m.LoadState) == []
    with pytest.raises(EngineGoneError):
        run_walk(start_of(CHAIN, whole=True, state_id="stored"))


# --- resume ---


def test_a_resumed_step_begins_with_the_attempt_that_the_engine_says():
    """The steps after it begin with the first one."""
    whole = run_walk(start_of(CHAIN, whole=True))
    resume = m.Resume(step_run_id="b", attempt=3)
    resumed = run_walk(start_of(CHAIN, replay=1, resume=resume), script=whole.replays()[:1])
    assert [(x.step_id, x.attempt) for x in resumed.of(m.InitStart)] == [("b", 3), ("c", 1)]


def test_a_step_that_died_has_its_input_as_its_state():
    """Default state included, configuration not; the job does not run."""
    plan = plan_of(
        job(
            "a",
            {"ok": "on_job_success", "bad": "on_job_failure"},
            state={"data": {"d": 1}, "x": 2},
            configuration={"k": "secret"},
        ),
        job("ok"),
        job("bad"),
    )
    resume = m.Resume(step_run_id="a", attempt=2, died=DIED)
    walked = run_walk(start_of(plan, {"data": {"n": 1}}, resume=resume))
    assert kinds(walked.sent)[:4] == ["StepDied", "JobError", "EdgeResolved", "EdgeResolved"]
    state = walked.states["a"]
    assert (state["data"], state["x"]) == ({"d": 1, "n": 1}, 2)
    assert "configuration" not in state
    assert state["errors"]["a"]["message"] == "the child died"
    assert walked.step_runs == ["bad"]


def test_a_step_that_died_loads_its_default_state_and_no_credential():
    """Unless the state keeps its configuration."""
    plan = plan_of(job("a", None, state="stored", configuration="cred"))

    def encoded(message):
        if isinstance(message, m.LoadState):
            yield m.Loaded(value=msgspec.Raw(encode_state({"data": {"d": 1}})))
        if isinstance(message, m.LoadCredential):
            yield m.Loaded(value=msgspec.Raw(encode_state({"k": 1})))

    resume = m.Resume(step_run_id="a", died=DIED)
    walked = run_walk(start_of(plan, resume=resume), answer=encoded)
    assert kinds(walked.sent) == ["StepDied", "LoadState", "JobError"]
    assert walked.states["a"]["data"] == {"d": 1}

    walked = run_walk(start_of(plan, resume=resume, remove_from_state=()), answer=encoded)
    assert kinds(walked.sent) == ["StepDied", "LoadState", "LoadCredential", "JobError"]
    assert walked.states["a"]["configuration"] == {"k": 1}


def test_a_join_that_died_has_the_merged_state_without_inputs():
    """As a join that failed in any other way."""
    plan = plan_of(
        job("a", {"b": True, "c": True}),
        job("b", "z", "def main(state): return {'data': {'b': 1}}"),
        job("c", "z", "def main(state): return {'data': {'c': 2}}"),
        job("z", join="all"),
    )
    whole = run_walk(start_of(plan, whole=True))
    resume = m.Resume(step_run_id="z", died=DIED)
    resumed = run_walk(start_of(plan, replay=3, resume=resume), script=whole.replays()[:3])
    assert resumed.states["z"]["data"] == {"b": 1, "c": 2}
    assert "inputs" not in resumed.states["z"]


# --- the barrier ---


def test_no_edge_and_no_step_comes_before_the_end_of_a_step_is_recorded():
    """The child has sent the end, and waits."""
    sent = []

    def silent(message):
        sent.append(message)
        return ()

    with pytest.raises(EngineGoneError):
        run_walk(start_of(CHAIN, barrier=True), answer=silent)
    assert kinds(sent) == ["InitStart", "InitComplete", "JobStart", "JobComplete"]
    assert sent[-1].next == ("b",)

    walked = run_walk(start_of(CHAIN, barrier=True), answer=proceeding)
    assert walked.step_runs == ["a", "b", "c"]


def test_a_run_can_be_cancelled_while_a_step_is_recorded():
    """Its end was sent; nothing else is."""

    def cancel(message):
        return [m.Cancel(reason="x")] if isinstance(message, m.JobComplete) else []

    walked = run_walk(start_of(CHAIN, barrier=True), answer=cancel)
    assert kinds(walked.sent)[-1] == "JobComplete"
    assert walked.last.error.name == "Cancelled"


@pytest.mark.parametrize(
    ("step", "name"),
    [
        (job("a", {"b": "state['missing'] > 1"}), "EdgeConditionError"),
        (job("a", "b", "def main(state): return undefined_name"), "RuntimeCrash"),
    ],
)
def test_a_step_with_which_the_run_ends_is_not_waited_for(step, name):
    """Its edges are not all decided, so a record of it would lose some."""
    walked = run_walk(start_of(plan_of(step, job("b")), barrier=True), answer=proceeding)
    [end] = walked.of(m.JobComplete, m.JobError)
    assert end.ends_run
    assert walked.last.error.name == name


def test_a_state_is_sent_whole_where_it_is_recorded():
    """The limits of an event do not cut the state for a record."""
    fields = {field: getattr(LIMITS, field) for field in LIMITS.__struct_fields__}
    limits = m.ChildLimits(**{**fields, "payload_bytes": 10})
    state = {"data": {"text": "x" * 100}}
    for whole, expected in ((True, state), (False, None)):
        walked = run_walk(start_of(CHAIN, state, limits=limits, event_state=False, whole=whole))
        assert walked.states["a"] == expected
        assert decode_state(walked.last.state) == state if not whole else walked.state == state


# --- steps of another child ---


def test_a_step_of_another_child_ends_this_one():
    """Triggers run in any child."""
    plan = plan_of({"id": "t", "next": "a"}, job("a", "u"), {"id": "u", "next": "b"}, job("b"))
    walked = run_walk(start_of(plan, here=("a",)))
    assert walked.step_runs == ["a"]
    assert walked.last == m.Elsewhere(step_id="b", step_run_id="b")
    assert kinds(walked.sent)[-1] == "EdgeResolved"
    assert walked.sent[-1].from_step_id == "u"

    whole = run_walk(start_of(plan, whole=True))
    resumed = run_walk(start_of(plan, here=("b",), replay=1), script=whole.replays()[:1])
    assert resumed.step_runs == ["b"]
    assert isinstance(resumed.last, m.WorkflowComplete)


def test_a_step_that_died_may_be_one_of_another_child():
    """It does not run, so it needs no permissions."""
    resume = m.Resume(step_run_id="a", died=DIED)
    walked = run_walk(start_of(CHAIN, here=("b", "c"), resume=resume))
    assert walked.step_runs == ["b", "c"]


# --- retries ---

FLAKY = """\
count = 0

def main(state):
    global count
    count += 1
    state.data.seen = state.data.get("seen", 0) + count
    raise ValueError(f"{state.data.seen} {sorted(state.data)}")
"""


def retried(source=FLAKY, retry=None, answer=proceeding, state=None, **more):
    changes = {"a": {"retry": retry or Retry(attempts=3, on=("RuntimeError",))}}
    plan = plan_of(job("a", {"b": "on_job_failure"}, source), job("b"))
    return run_walk(start_of(plan, state, steps=changes, **more), answer=answer)


def on_retry(message):
    return [m.Proceed()] if isinstance(message, m.JobError) and message.retry else []


def test_each_attempt_has_its_start_and_its_end_and_begins_with_the_same_input():
    """Neither the state nor the variables of the job are those of the attempt before."""
    walked = retried(answer=on_retry, state={"data": {"n": 1}})
    assert kinds(walked.sent)[:8] == [
        "InitStart",
        "InitComplete",
        *("JobStart", "JobError") * 3,
    ]
    ends = walked.of(m.JobError)
    assert [end.retry for end in ends] == [True, True, False]
    assert [end.error.message for end in ends] == ["1 ['n', 'seen']"] * 3
    assert [end.next for end in ends] == [(), (), ("b",)]
    assert walked.step_runs == ["a", "b"]


def test_an_attempt_that_succeeds_ends_the_step():
    """The edges are those of a success, and the job knows which attempt it is."""
    source = (
        "import jobcell_context as now\n"
        "def main(state):\n"
        "    if now.attempt < 3: raise ValueError('not yet')\n"
        "    return {'data': [now.attempt, now.idempotency_key, now.step_id]}"
    )
    walked = retried(source, Retry(attempts=5, on=("RuntimeError",)), answer=on_retry)
    assert [end.retry for end in walked.of(m.JobError)] == [True, True]
    assert walked.step_runs == ["a"]
    attempt, key, step_id = walked.state["data"]
    assert (attempt, step_id) == (3, "a")
    assert key.endswith(":a")


def test_with_a_barrier_only_the_last_end_is_recorded():
    """After the others the child waits for its next attempt."""
    walked = retried(barrier=True)
    assert [end.retry for end in walked.of(m.JobError)] == [True, True, False]
    assert walked.step_runs == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "retry"),
    [
        (FLAKY, Retry(attempts=5)),
        (FLAKY, Retry(attempts=5, on=("JobError", "timeout", "death"))),
        ("def main(state): return undefined_name", Retry(attempts=5, on=("RuntimeError",))),
        ("def main(state): return (", Retry(attempts=5, on=("RuntimeError",))),
    ],
)
def test_other_failures_are_not_retried(source, retry):
    """Those that the plan does not name, and those that end the run."""
    walked = retried(source, retry)
    assert [end.retry for end in walked.of(m.JobError)] in ([False], [])


def test_a_run_is_cancelled_while_a_step_waits_for_its_next_attempt():
    """At once, and no attempt follows."""

    def answer(message):
        return [m.Cancel(reason="x")] if isinstance(message, m.JobError) else []

    walked = retried(answer=answer)
    assert walked.last.error.name == "Cancelled"
    assert len(walked.of(m.JobStart)) == 1


def test_an_attempt_in_the_next_child_counts_those_before():
    """Two of three attempts were made: one is left."""
    resume = m.Resume(step_run_id="a", attempt=3)
    walked = retried(answer=on_retry, resume=resume)
    assert [end.retry for end in walked.of(m.JobError)] == [False]


# --- what an exception says of itself ---


class Carrying(Exception):
    """An exception with attributes."""

    def __init__(self, **found):
        super().__init__("x")
        vars(self).update(found)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, (None, None)),
        ({"retryable": True, "retry_after_s": 1.5}, (True, 1.5)),
        ({"retryable": False, "retry_after_s": 3}, (False, 3.0)),
        ({"retryable": 1, "retry_after_s": True}, (None, None)),
        ({"retryable": "yes", "retry_after_s": "3"}, (None, None)),
        ({"retry_after_s": -1}, (None, None)),
        ({"retry_after_s": math.nan}, (None, None)),
        ({"retry_after_s": math.inf}, (None, None)),
    ],
)
def test_only_a_plain_boolean_and_a_usable_number_count(found, expected):
    """All else is ignored."""
    assert hints_of(Carrying(**found)) == expected


def test_a_property_that_raises_says_nothing():
    """The property may raise an exit, an interrupt or an error of its own."""

    class Hostile(Exception):
        @property
        def retryable(self):
            raise SystemExit(3)

        @property
        def retry_after_s(self):
            raise KeyboardInterrupt

    class Odder(Exception):
        def __getattribute__(self, name):
            raise MemoryError

    assert hints_of(Hostile()) == (None, None)
    assert hints_of(Odder()) == (None, None)


def test_a_property_may_decide():
    """From the status of an answer, say."""

    class Answered(Exception):
        status = 503

        @property
        def retryable(self):
            return self.status >= 500

    assert hints_of(Answered()) == (True, None)


# --- attempts that an earlier manager has made ---


def test_executions_that_were_begun_before_begin_with_the_next_number():
    """Several executions may have no record; each has its own number."""
    whole = run_walk(start_of(CHAIN, whole=True))
    begun = {"b": m.Begun(2), "c": m.Begun(1), "z": m.Begun(9)}
    resumed = run_walk(start_of(CHAIN, replay=1, begun=begun), script=whole.replays()[:1])
    assert [(x.step_id, x.attempt) for x in resumed.of(m.InitStart)] == [("b", 3), ("c", 2)]


@pytest.mark.parametrize(("failed", "left"), [(0, 3), (1, 2), (2, 1), (3, 1)])
def test_lost_attempts_do_not_count_against_those_of_the_plan(failed, left):
    """Of three attempts as many are left as have not failed by themselves."""
    begun = {"a": m.Begun(5, failed)}
    walked = retried(FAIL, Retry(attempts=3, on=("RuntimeError",)), begun=begun)
    ends = walked.of(m.JobError)
    assert [end.retry for end in ends] == [True] * (left - 1) + [False]
