"""The spans of runs with real children, as an exporter gets them."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.trace import SpanKind, StatusCode, use_span
from runs import QUICK, finish, job, make_engine, wait_for
from telemetered import PARENT, id_of, kept, links_of, parent_of, traceparent_of

from engine import Engine, FileJournal, Resolvers, RunOptions, Trace

CONTEXT = """
import jobcell_context

def main(state):
    seen = [*state.data.get("seen", []), jobcell_context.traceparent]
    return {"data": {"seen": seen, "state": jobcell_context.tracestate}}
"""
FAILS_ONCE = """
import jobcell_context

def main(state):
    if jobcell_context.attempt == 1:
        raise ValueError("not yet")
    return {"data": {"seen": [jobcell_context.traceparent]}}
"""


def plan_of(*steps, **workflow):
    return {"workflow": {"steps": list(steps), **workflow}}


def test_a_run_is_a_tree(mode):
    """The run, below it its step, below that its attempt; the job knows the span of its attempt."""
    with make_engine(mode) as engine, kept(engine) as found:
        plan = plan_of({"id": "a", "name": "First", "expression": CONTEXT}, name="Sync", id="w")
        run = engine.execute(plan, options=QUICK, trace=Trace(PARENT, "vendor=x"))
        data = run.result().state["data"]
        top, step, attempt = (found.one(name) for name in ("run Sync", "step a", "attempt a"))

    assert [parent_of(span) for span in (top, step, attempt)] == [
        PARENT.split("-")[2],
        id_of(top),
        id_of(step),
    ]
    assert data == {"seen": [traceparent_of(attempt)], "state": "vendor=x"}
    assert {span.context.trace_id for span in found.all()} == {int(PARENT.split("-")[1], 16)}
    assert top.kind is SpanKind.INTERNAL
    assert dict(top.attributes) == {
        "jobcell.run.id": run.id,
        "jobcell.workflow.id": "w",
        "jobcell.workflow.name": "Sync",
        "jobcell.run.reason": "success",
    }
    assert dict(step.attributes) == {
        "jobcell.run.id": run.id,
        "jobcell.step.id": "a",
        "jobcell.step.run_id": "a",
        "jobcell.step.name": "First",
    }
    assert all(span.status.status_code is StatusCode.UNSET for span in found.all())


def test_without_telemetry_a_job_passes_the_trace_of_the_caller_on(zygote):
    """Nobody makes spans here, so nothing changes."""
    run = zygote.execute(CONTEXT, options=QUICK, trace=PARENT)
    assert run.result().state["data"] == {"seen": [PARENT], "state": ""}
    untraced = zygote.execute(CONTEXT, options=QUICK).result().state["data"]
    assert untraced == {"seen": [None], "state": None}


def test_a_wrong_trace_is_refused_before_anything_starts(zygote):
    """The error quotes it."""
    with pytest.raises(ValueError, match=r"traceparent must be such as .* not 'nonsense'"):
        zygote.execute(CONTEXT, trace="nonsense")


def test_the_current_span_is_the_parent(zygote):
    """A program that uses OpenTelemetry has nothing to hand over."""
    with kept(zygote) as found:
        outer = found.tracer_provider.get_tracer("test").start_span("outer")
        with use_span(outer, end_on_exit=False):
            zygote.execute(CONTEXT, options=QUICK).result()
        alone = zygote.execute(CONTEXT, options=QUICK)
        alone.result()
        assert parent_of(next(s for s in found.all() if s.name == "run")) == id_of(outer)
        assert parent_of(found.one("run", alone.id)) is None


def test_each_attempt_has_a_span(zygote):
    """The step fails once; the second attempt is beside the first one."""
    step = {"id": "a", "expression": FAILS_ONCE}
    step["retry"] = {"attempts": 2, "delay": 1, "on": ["RuntimeError"]}
    with kept(zygote) as found:
        run = zygote.execute(plan_of(step), options=QUICK)
        seen = run.result().state["data"]["seen"]
        first, second = (span for span in found.all() if span.name == "attempt a")
        above = found.one("step a")

    assert [span.attributes["jobcell.attempt"] for span in (first, second)] == [1, 2]
    assert parent_of(first) == parent_of(second) == id_of(above)
    assert seen == [traceparent_of(second)]
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["error.type"] == "RuntimeError"
    assert first.attributes["jobcell.retry_in_ms"] == 1
    (event,) = first.events
    assert (event.name, event.attributes["exception.type"]) == ("exception", "ValueError")
    assert event.attributes["exception.message"] == "not yet"
    assert event.attributes["code.line.number"] == 6
    assert {second.status.status_code, above.status.status_code} == {StatusCode.UNSET}


def test_a_join_is_linked_to_each_of_its_branches(zygote):
    """Also through a trigger between them; a step of a chain is linked to the one before it."""
    steps = [
        {"id": "a", "expression": CONTEXT, "next": {"b": True, "t": True}},
        {"id": "t", "next": {"c": True}},
        {"id": "b", "expression": CONTEXT, "next": {"j": True}},
        {"id": "c", "expression": CONTEXT, "next": {"j": True}},
        {"id": "j", "join": "all", "expression": CONTEXT},
    ]
    with kept(zygote) as found:
        zygote.execute(plan_of(*steps), options=QUICK).result()
        spans = {name: found.one(f"step {name}") for name in "abcj"}
    assert links_of(spans["a"]) == []
    assert links_of(spans["b"]) == links_of(spans["c"]) == [id_of(spans["a"])]
    assert links_of(spans["j"]) == [id_of(spans["b"]), id_of(spans["c"])]


def test_a_trigger_that_joins_passes_all_its_branches_on(zygote):
    """A job cannot see this, because the trigger has merged their data."""
    steps = [
        {"id": "a", "expression": CONTEXT, "next": {"b": True, "t": True}},
        {"id": "b", "expression": CONTEXT, "next": {"t": True}},
        {"id": "t", "join": "all", "next": {"c": True}},
        {"id": "c", "expression": CONTEXT},
    ]
    with kept(zygote) as found:
        zygote.execute(plan_of(*steps), options=QUICK).result()
        spans = {name: found.one(f"step {name}") for name in "abc"}
    assert links_of(spans["c"]) == [id_of(spans["a"]), id_of(spans["b"])]


def test_a_step_that_dies_of_its_timeout_goes_on_in_another_child(zygote):
    """The attempt of the second child is known there by its own span."""
    sleeps = "import time, jobcell_context\n" + job(
        "if jobcell_context.attempt == 1:\n    time.sleep(60)\n"
        "state.data.seen = jobcell_context.traceparent"
    )
    step = {"id": "a", "expression": sleeps, "timeout": 300, "retry": {"attempts": 2, "delay": 1}}
    with kept(zygote) as found:
        run = zygote.execute(plan_of(step), options=QUICK)
        result = run.result()
        first, second = (span for span in found.all() if span.name == "attempt a")
    assert result.children == 2
    assert first.attributes["error.type"] == "TimeoutError"
    assert result.state["data"]["seen"] == traceparent_of(second)


@pytest.mark.parametrize(
    ("source", "options", "reason", "error"),
    [
        (job("state['no']"), QUICK, "fail", "RuntimeError"),
        (job("while True: pass"), RunOptions(timeout_s=0.5), "kill", "TimeoutError"),
        (job("nothing_of_this_name"), QUICK, "crash", "RuntimeCrash"),
        ("def main(state:", QUICK, "crash", "RuntimeCrash"),
        ("import os", QUICK, "crash", None),
    ],
    ids=["fail", "timeout", "crash", "syntax", "import"],
)
def test_a_run_that_ends_badly_closes_what_was_open(zygote, source, options, reason, error):
    """Each span that was opened has an end, and the innermost one shows the error."""
    with kept(zygote) as found:
        run = zygote.execute(source, options=options)
        result = run.result()
        events = finish(run)
        spans = found.all(run.id)
    top = next(span for span in spans if span.name == "run")
    assert result.reason == top.attributes["jobcell.run.reason"] == reason
    assert top.status.status_code is StatusCode.ERROR
    assert top.attributes["error.type"] == result.error.name
    assert error in (None, result.error.name)
    begun = {e.step_run_id for e in events if e.type in ("init-start", "job-start")}
    assert {s.attributes["jobcell.step.run_id"] for s in spans if s is not top} == begun
    shown = [span.name for span in spans if any(e.name == "exception" for e in span.events)]
    assert len(shown) == 1
    started = any(event.type == "job-start" for event in events)
    assert shown[0].partition(" ")[0] == ("attempt" if started else "step" if begun else "run")


def test_a_cancelled_run_says_so(zygote):
    """The reason is that of the caller."""
    with kept(zygote) as found:
        run = zygote.execute(job("import time\ntime.sleep(60)"), options=QUICK)
        wait_for(run, "job-start")
        run.cancel("enough")
        run.result()
        spans = {span.name: span for span in found.all(run.id)}
    assert spans["run"].attributes["jobcell.run.reason"] == "cancelled"
    assert {span.attributes["error.type"] for span in spans.values()} == {"Cancelled"}
    assert "enough" in spans["run"].status.description


def test_connections_are_events_of_the_run(zygote):
    """A refused one as well; the twin is the list of events."""
    source = job(
        "import socket\ntry:\n    socket.create_connection(('no.example', 443))\nexcept OSError:\n    pass"
    )
    options = RunOptions(timeout_s=20, permissions=_permissions("yes.example:443"))
    with Engine(policy=_policy(), options=options) as engine, kept(engine) as found:
        run = engine.execute(source)
        events = [event for event in finish(run) if event.type == "net-connect"]
        exported = [e for e in found.one("run", run.id).events if e.name == "net-connect"]
    assert events
    assert [
        (e.attributes["server.address"], e.attributes["jobcell.net.outcome"]) for e in exported
    ] == [(event.host, event.outcome) for event in events]
    assert exported[0].attributes["jobcell.net.outcome"] == "refused"


def _permissions(rule):
    from engine import Permissions

    return Permissions(net=(rule,))


def _policy():
    from engine import Policy

    return Policy(language=False)


def test_a_resumed_run_says_how_much_was_replayed(zygote, tmp_path):
    """The steps of the journal do not run again, and have no span."""
    plan = plan_of(
        {"id": "a", "expression": CONTEXT, "next": {"b": True}},
        {"id": "b", "expression": job("raise SystemExit(1)")},
        id="w",
    )
    with FileJournal(tmp_path / "journal") as journal, kept(zygote) as found:
        zygote.execute(plan, options=QUICK, journal=journal).result()
        found.all()
        found.spans.clear()
        run = zygote.execute(plan, options=QUICK, journal=journal)
        run.result()
        names = [span.name for span in found.all()]
        top = found.one("run w")
    assert top.attributes["jobcell.run.replayed"] == 1
    assert "step a" not in names
    assert "step b" in names


def test_no_secret_and_no_state_leaves(zygote):
    """Secrets are replaced as in events, and no attribute is a state."""
    secret = "s3cr3t-of-a-clinic"
    source = job(
        "print(state.configuration['token'])\nraise ValueError(state.configuration['token'])"
    )
    plan = plan_of({"id": "a", "expression": source, "configuration": "c"})
    resolvers = Resolvers(credential=lambda _: {"token": secret})
    with kept(zygote) as found:
        run = zygote.execute(plan, {"data": "private"}, options=QUICK, resolvers=resolvers)
        error = run.result().error
        text = "".join(span.to_json() for span in found.all(run.id))
    assert "[redacted]" in error.message
    assert error.message in text
    assert secret not in text
    assert "private" not in text
    assert "credential-load" in text


def test_a_run_that_was_not_accepted_has_an_ended_span(zygote):
    """The plan is good, and the state is not: nothing is left open."""
    from engine import PlanError

    with kept(zygote) as found:
        with pytest.raises(PlanError):
            zygote.execute(CONTEXT, {"data": print})
        (span,) = found.all()
    assert span.attributes["jobcell.run.unfinished"] is True


def test_an_observer_that_fails_does_not_touch_the_run(zygote, caplog):
    """Neither at the beginning nor later."""

    class Bad:
        trace = None

        def begin(self, beginning):
            if beginning.plan.id == "early":
                raise RuntimeError("begin")
            return self

        def follow(self, run):
            raise RuntimeError("follow")

        def drop(self):
            raise RuntimeError("drop")

    stop = zygote.observe(Bad())
    try:
        for name in ("early", "late"):
            plan = plan_of({"id": "a", "expression": CONTEXT}) | {"id": name}
            assert zygote.execute(plan, options=QUICK).result().reason == "success"
    finally:
        stop()
    assert "an observer has failed" in caplog.text


def test_following_changes_nothing_for_the_manager(zygote):
    """`poll` without a cursor still gives each event once, although telemetry has read them all."""
    with kept(zygote) as found:
        run = zygote.execute(CONTEXT, options=QUICK)
        run.result()
        found.all()
        first = run.poll()
        assert [event.seq for event in first] == list(range(1, len(first) + 1))
        assert run.poll() == []


def test_a_closed_telemetry_lets_go(zygote):
    """Its thread has ended, and later runs are not followed."""
    with kept(zygote) as found:
        zygote.execute(CONTEXT, options=QUICK).result()
        assert found.all()
    assert "jobcell-telemetry" not in {thread.name for thread in threading.enumerate()}
    found.spans.clear()
    zygote.execute(CONTEXT, options=QUICK).result()
    assert found.all() == []
