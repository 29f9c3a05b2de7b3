"""The key `join` in a plan, and the warnings about joins that have no effect."""

from __future__ import annotations

import pytest

from engine.api.errors import PlanError, PlanWarning
from engine.plan.schema import plan_schema
from engine.plan.validation import load_plan

JOB = "def main(state): return state"


def job(step_id, following=None, **more):
    return {"id": step_id, "expression": JOB, "next": following or {}, **more}


def load(*steps, **more):
    sentences = []
    plan = load_plan({"workflow": {"steps": list(steps)}, **more}, warn=sentences.append)
    return plan, sentences


DIAMOND = (job("a", {"b": True, "c": True}), job("b", "z"), job("c", "z"))


def test_a_join_is_read_and_read_again():
    """A job and a trigger may have a join; a step without one is as before."""
    plan, sentences = load(*DIAMOND, job("z", "t", join="all"), {"id": "t", "join": "any"})
    assert [step.join for step in plan.workflow.steps] == ["any", "any", "any", "all", "any"]
    assert not sentences
    assert load_plan(plan) == plan


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("al", "must be 'any' or 'all', not 'al'; did you mean 'all'?"),
        ("xor", "must be 'any' or 'all', not 'xor'; there are: 'any', 'all'"),
        (True, "must be 'any' or 'all', not true or false"),
        (["all"], "must be 'any' or 'all', not a list"),
        (2, "must be 'any' or 'all', not a number"),
    ],
)
def test_another_join_is_refused(value, told):
    """The error has path and value, also in a trigger, where a join counts too."""
    for step in (job("z", join=value), {"id": "z", "join": value}):
        with pytest.raises(PlanError) as caught:
            load(step)
        assert str(caught.value) == f"workflow.steps[0].join: {told}"


def test_a_join_with_one_edge_is_warned_of():
    """The step still runs."""
    _, sentences = load(job("a", "z"), job("z", join="all"))
    assert sentences == [
        "workflow.steps[1].join: only one edge leads to this step, so 'all' has no effect (step 'z')"
    ]


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        ((*DIAMOND, job("z"), job("y", join="all")), {}),
        ((job("a"), job("b", "y"), job("c", "y"), job("y", join="all")), {}),
        ((job("a", {"y": False}), job("b", "y"), job("y", join="all")), {}),
        ((job("a", {"y": "never"}), job("b", "y"), job("y", join="all")), {}),
        ((job("a", {"y": {"disabled": True}}), job("b", "y"), job("y", join="all")), {}),
        ((*DIAMOND, job("z", {"y": True}), job("x", "y"), job("y", join="all")), {"end": "z"}),
        (
            (*DIAMOND, job("z"), job("x", {"c": True, "y": True}), job("y", join="all")),
            {"start": "b"},
        ),
    ],
)
def test_a_join_that_no_run_reaches_is_warned_of(steps, options):
    """From the first step no edge leads there, or only the edge of the step that ends the run."""
    plan, [sentence] = load(*steps, options=options)
    assert sentence.endswith(
        ".join: no run reaches this step: no edge that can be taken leads to it (step 'y')"
    )
    place = [step.id for step in plan.workflow.steps].index("y")
    assert sentence.startswith(f"workflow.steps[{place}].join")


def test_a_join_as_the_first_step_is_not_warned_of():
    """The step runs once, on the initial state."""
    assert load(job("z", join="all"))[1] == []


def test_a_join_without_effect_is_a_warning_of_python_at_the_line_of_the_caller():
    """The warning is the same kind as for an ignored key."""
    steps = [job("a", "z"), job("z", join="all")]
    with pytest.warns(PlanWarning, match="only one edge") as caught:
        load_plan({"workflow": {"steps": steps}})
    assert caught[0].filename == __file__


def test_a_plan_that_was_loaded_before_is_not_warned_of_again():
    """A command loads a plan, and hands it to the engine."""
    plan, [_] = load(job("a", "z"), job("z", join="all"))
    sentences = []
    assert load_plan(plan, warn=sentences.append) == plan
    assert not sentences


def test_a_plan_with_a_problem_has_no_warnings_about_its_joins():
    """A wrong graph says nothing about its joins."""
    sentences = []
    with pytest.raises(PlanError, match="no step has the id 'zz'"):
        load_plan(
            {"workflow": {"steps": [job("a", "zz"), job("z", join="all")]}}, warn=sentences.append
        )
    assert not sentences


def test_the_schema_knows_both_joins_and_no_other():
    """Editors find a wrong join with the schema."""
    found = plan_schema()["$defs"]["step"]["then"]["properties"]["join"]
    assert {"enum": ["all", "any"]} in found["anyOf"]
