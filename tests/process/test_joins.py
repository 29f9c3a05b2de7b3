"""Joins in real runs: events, results and warnings, as a manager sees them."""

from __future__ import annotations

import pytest
from runs import QUICK, finish, make_engine

import engine


@pytest.fixture(scope="module")
def shared():
    with make_engine(options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def job(step_id, following=None, body="return state", **more):
    source = f"def main(state):\n    {body}"
    return {"id": step_id, "expression": source, "next": following or {}, **more}


def plan_of(*steps, **options):
    return {"workflow": {"steps": list(steps)}, "options": options}


def started(events):
    return [event.step_run_id for event in events if event.type == "job-start"]


def test_a_diamond_with_a_join_has_one_result_and_its_events(shared):
    """The branches name the join as their next step; the join starts once, after both."""
    plan = plan_of(
        job("a", {"b": True, "c": True, "alarm": "on_job_failure"}),
        job("b", "z", "return {'data': {'b': 1}, 'references': ['b']}"),
        job("c", "z", "return {'data': {'c': 2}, 'references': ['c']}"),
        job("alarm", "z"),
        job(
            "z",
            None,
            "state.data.of = {k: v['data'] for k, v in state['inputs'].items()}; return state",
            join="all",
        ),
    )
    run = shared.execute(plan)
    events = finish(run)

    assert started(events) == ["a", "b", "c", "z"]
    assert run.result().state == {
        "data": {"b": 1, "c": 2, "of": {"b": {"b": 1}, "c": {"c": 2}}},
        "references": ["c"],
    }
    following = {event.step_run_id: event.next for event in events if event.type == "job-complete"}
    assert following == {"a": ("b", "c"), "b": ("z",), "c": ("z",), "z": ()}


def test_a_join_behind_a_failing_branch_and_one_that_never_runs(shared):
    """The merged errors contain the error of the branch; the run succeeds because its leaf does."""
    plan = plan_of(
        job("a", {"b": True, "c": True, "d": False}),
        job("b", {"z": "on_job_failure"}, "raise ValueError('of b')"),
        job("c", "z"),
        job("d", "z"),
        job("z", None, "state.data.of = list(state['inputs']); return state", join="all"),
    )
    run = shared.execute(plan)
    events = finish(run)
    assert started(events) == ["a", "b", "c", "z"]
    assert run.result().reason == "success"
    assert run.result().state["data"] == {"of": ["b", "c"]}
    assert run.result().state["errors"]["b"]["message"] == "of b"


def test_ten_diamonds_in_a_row_with_joins_run_31_steps(shared):
    """Without the joins there are 4,093 step runs, more than `max_step_runs` allows."""
    steps = [job("s0", {"l1": True, "r1": True})]
    for n in range(1, 11):
        following = {f"l{n + 1}": True, f"r{n + 1}": True} if n < 10 else {}
        for side in (f"l{n}", f"r{n}"):
            steps.append(job(side, f"s{n}", f"state.data.update({side}=1); return state"))
        steps.append(job(f"s{n}", following, join="all"))
    run = shared.execute(plan_of(*steps))
    events = finish(run)
    assert len(started(events)) == 31
    assert len(run.result().state["data"]) == 20


def test_the_last_step_of_a_run_may_come_before_a_join_or_be_one(shared):
    """Joins that still wait at this moment do not run."""
    steps = [
        job("a", {"b": True, "c": True}),
        job("b", "z"),
        job("c", "z"),
        job("z", "y", join="all"),
        job("y"),
    ]
    assert started(finish(shared.execute(plan_of(*steps, end="c")))) == ["a", "b", "c"]
    assert started(finish(shared.execute(plan_of(*steps, end="z")))) == ["a", "b", "c", "z"]


def test_a_join_without_effect_runs_with_a_warning(shared):
    """The join has only one edge."""
    with pytest.warns(engine.PlanWarning, match=r"workflow.steps\[1\].join: only one edge"):
        run = shared.execute(plan_of(job("a", "z"), job("z", join="all")))
    assert started(finish(run)) == ["a", "z"]


def test_a_wrong_join_is_a_problem_of_the_plan(shared):
    """No step runs, and `check_plan` reports the same problem."""
    plan = plan_of(job("a", join="both"))
    with pytest.raises(engine.PlanError, match="must be 'any' or 'all', not 'both'"):
        shared.execute(plan)
    assert [problem.path for problem in engine.check_plan(plan)] == ["workflow.steps[0].join"]
