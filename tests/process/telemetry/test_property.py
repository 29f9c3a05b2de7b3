"""For random plans the tree of spans says the same as the log of events, and links say what jobs have seen."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode
from random_graphs import FAILING, graphs
from runs import QUICK, finish
from telemetered import Kept, id_of, kept, links_of, parent_of, traceparent_of

from engine import Engine, Event
from examples import examples

TELLS = """
import jobcell_context

def main(state):
    me = jobcell_context.idempotency_key.rpartition(":")[2]
    before = [s.get("data", {}).get("last", "") for s in state.get("inputs", {}).values()]
    if "inputs" not in state:
        before = [state.data.get("last", "")]
    print("LED BY " + " ".join(name for name in before if name))
    print("SPAN " + jobcell_context.traceparent)
    state.data.last = me
    state.data.count = state.data.get("count", 0) + 1
    {end}
"""


def telling(steps: list[dict[str, Any]], retried: list[bool]) -> list[dict[str, Any]]:
    """Let each job print what has led to it."""
    made = []
    for drawn, again in zip(steps, retried, strict=False):
        step = dict(drawn)
        if "expression" in step:
            fails = step["expression"] == FAILING
            end = "raise ValueError('no')" if fails else "return state"
            step["expression"] = TELLS.replace("{end}", end)
            if again:
                step["retry"] = {"attempts": 2, "delay": 1, "on": ["RuntimeError"]}
        else:
            step.pop("join", None)  # it runs no code that could print its inputs
        made.append(step)
    return made


@pytest.fixture
def watched():
    """An engine that is followed for all examples."""
    with Engine(options=QUICK) as engine, kept(engine) as found:
        yield engine, found


@given(steps=graphs(), retried=st.lists(st.booleans(), min_size=8, max_size=8))
@settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::engine.PlanWarning")  # a join without a branch
def test_the_tree_of_spans_is_the_log_of_events(watched, steps, retried):
    """Every step run and every attempt, with its times, its end and its links."""
    engine, found = watched
    found.spans.clear()
    plan = {"workflow": {"start": "s0", "steps": telling(steps, retried)}}
    run = engine.execute(plan)
    check(finish(run), run.id, run.result().reason, found)


def check(events: list[Event], run_id: str, reason: str, found: Kept) -> None:
    """Compare what was exported with the events of a run."""
    spans = found.all(run_id)
    (top,) = [span for span in spans if span.name == "run"]
    assert top.attributes["jobcell.run.reason"] == reason
    assert top.end_time == _ns(events[-1].time)
    steps = {s.attributes["jobcell.step.run_id"]: s for s in spans if s.name.startswith("step ")}
    attempts = defaultdict(list)
    for span in spans:
        if span.name.startswith("attempt "):
            attempts[span.attributes["jobcell.step.run_id"]].append(span)

    begun, ends, expected = {}, {}, defaultdict(list)
    led_by, named = {}, defaultdict(list)
    for event in events:
        if event.type in ("init-start", "job-start"):
            begun.setdefault(event.step_run_id, event.time)
        if event.type == "job-start":
            expected[event.step_run_id].append([_ns(event.time), event.attempt])
        if event.type in ("job-complete", "job-error"):
            ends[event.step_run_id] = event
            expected[event.step_run_id][-1] += [_ns(event.time), event.type == "job-error"]
        if event.type == "log" and event.message.startswith("LED BY"):
            led_by[event.step_run_id] = sorted(event.message.split()[2:])
        if event.type == "log" and event.message.startswith("SPAN"):
            named[event.step_run_id].append(event.message.split()[1])

    assert set(steps) == set(begun)
    assert len(spans) == 1 + len(steps) + sum(map(len, attempts.values()))
    for name, span in steps.items():
        assert parent_of(span) == id_of(top)
        assert (span.start_time, span.end_time) == (_ns(begun[name]), _ns(ends[name].time))
        assert (span.status.status_code is StatusCode.ERROR) == (ends[name].type == "job-error")
        assert span.attributes.get("jobcell.step.next", ()) == ends[name].next
        assert sorted(links_of(span)) == sorted(id_of(steps[other]) for other in led_by[name])
        assert {parent_of(one) for one in attempts[name]} == {id_of(span)}
        assert [traceparent_of(one) for one in attempts[name]] == named[name]
        assert [
            [
                one.start_time,
                one.attributes["jobcell.attempt"],
                one.end_time,
                one.status.status_code is StatusCode.ERROR,
            ]
            for one in attempts[name]
        ] == expected[name]


def _ns(time_s: float) -> int:
    return int(time_s * 1e9)
