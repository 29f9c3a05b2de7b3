"""A join runs once, on the merged states of all branches that reach it."""

from __future__ import annotations

import pytest
from scripted_walk import LIMITS, run_walk, start_of

from protocol import messages as m
from protocol.report import make_report
from protocol.state import encode_state
from sandbox_child.running.joins import Branch, JoinInput

SAME = "def main(state): return state"
FAIL = "def main(state): raise ValueError('no')"


def job(step_id, following=None, source=SAME, **more):
    return {"id": step_id, "expression": source, "next": following or {}, **more}


def giving(step_id, value, following, **more):
    return job(step_id, following, f"def main(state): return {value!r}", **more)


def join(step_id, following=None, source=SAME, **more):
    return job(step_id, following, source, join="all", **more)


def walk(*steps, state=None, options=None, **changes):
    plan = {"workflow": {"steps": list(steps)}, "options": options or {}}
    return run_walk(start_of(plan, state, **changes))


def seen_by(step_id):
    """Return a job that keeps its input under a key that a join does not remove."""
    return f"def main(state): return {{'data': {{'seen': dict(state), 'step': {step_id!r}}}}}"


def merged(*states):
    """Return the merge of states, in this order."""
    branches = [
        Branch(place, place, f"s{place}", encode_state(state)) for place, state in enumerate(states)
    ]
    return JoinInput(branches).merged()


def test_a_diamond_with_a_join_runs_its_end_once():
    """The step gets the data of both sides, in the order of the plan."""
    walked = walk(
        job("a", {"c": True, "b": True}),
        giving("b", {"data": {"b": 1, "both": "b"}}, "z"),
        giving("c", {"data": {"c": 2, "both": "c"}}, "z"),
        join("z", source=seen_by("z")),
    )

    assert walked.step_runs == ["a", "c", "b", "z"]
    seen = walked.state["data"]["seen"]
    assert seen["data"] == {"b": 1, "c": 2, "both": "c"}
    assert list(seen["inputs"].items()) == [
        ("b", {"data": {"b": 1, "both": "b"}}),
        ("c", {"data": {"c": 2, "both": "c"}}),
    ]


def test_without_a_join_the_end_of_a_diamond_runs_for_each_edge():
    """A join in a plan changes only the steps that have it."""
    steps = [job("a", {"b": True, "c": True}), job("b", "z"), job("c", "z"), job("z")]
    assert walk(*steps).step_runs == ["a", "b", "c", "z", "z-1"]
    beside = [job("a", {"b": True, "c": True, "j": True}), *steps[1:], join("j")]
    assert walk(*beside).step_runs == ["a", "b", "c", "j", "z", "z-1"]


def test_inputs_are_removed_after_the_step_as_the_configuration_is():
    """The job may change them or fail, and they are still removed."""
    for source in (SAME, FAIL):
        walked = walk(
            job("a", {"b": True, "c": True}),
            job("b", "z"),
            job("c", "z"),
            join("z", "y", source, configuration={"k": 1}),
            job("y"),
        )
        assert walked.step_runs == ["a", "b", "c", "z", "y"]
        assert "inputs" not in walked.states["z"]
        assert "configuration" not in walked.states["z"]
    assert list(walked.state["errors"]) == ["z"]


def test_inputs_of_another_step_are_its_own():
    """The key has a meaning only for a join."""
    state = {"data": {}, "inputs": [1]}
    assert walk(job("a", "b"), job("b"), state=state).state == state


def test_a_branch_that_is_never_taken_does_not_hold_a_join_up():
    """The edge is not taken, is disabled, is false or never, or is behind a step that does not run."""
    walked = walk(
        job(
            "a",
            {
                "b": True,
                "failed": "on_job_failure",
                "off": {"disabled": True},
                "no": False,
                "never": "never",
                "far": "state.data.far",
            },
        ),
        *(job(name, "z") for name in ("b", "failed", "off", "no", "never")),
        job("far", "farther"),
        job("farther", "z"),
        join("z", source=seen_by("z")),
    )
    assert walked.step_runs == ["a", "b", "z"]
    assert list(walked.state["data"]["seen"]["inputs"]) == ["b"]


def test_a_join_to_which_no_edge_is_taken_does_not_run():
    """The steps before it are leaves."""
    walked = walk(
        job("a", {"b": True, "c": True}),
        job("b", {"z": False}),
        job("c", {"z": "never"}),
        join("z"),
    )
    assert walked.step_runs == ["a", "b", "c"]
    assert list(walked.state) == ["b", "c"]


def test_a_branch_that_failed_is_a_branch_like_any_other():
    """The error of the branch is in the merged errors, and in its own state."""
    walked = walk(
        job("a", {"b": True, "c": True}),
        job("b", {"z": "on_job_failure"}, FAIL),
        job("c", {"z": "on_job_failure"}, FAIL),
        join("z", source=seen_by("z")),
    )
    seen = walked.state["data"]["seen"]
    assert list(seen["errors"]) == ["b", "c"]
    assert list(seen["inputs"]["b"]["errors"]) == ["b"]


def test_a_join_waits_for_all_runs_of_a_step_before_it():
    """Each run is an input, under the id of its step run."""
    walked = walk(
        job("a", {"b": True, "c": True, "d": True}),
        giving("b", {"data": {"n": 1}}, "m"),
        giving("c", {"data": {"n": 2}}, "m"),
        giving("d", {"data": {"d": 1}}, "z"),
        job("m", "z"),
        join("z", source=seen_by("z")),
    )
    assert walked.step_runs == ["a", "b", "c", "d", "m", "m-1", "z"]
    seen = walked.state["data"]["seen"]
    assert list(seen["inputs"]) == ["d", "m", "m-1"]
    assert seen["data"] == {"d": 1, "n": 2}


def test_joins_in_a_row_and_one_inside_another_run_once_each():
    """The outer join waits for the inner join, though one of its edges is taken long before."""
    walked = walk(
        job("a", {"z": True, "b": True, "c": True}),
        job("b", "inner"),
        job("c", "inner"),
        join("inner", {"row": True, "z": True}),
        join("row", "z"),
        join("z", source=seen_by("z")),
    )
    assert walked.step_runs == ["a", "b", "c", "inner", "row", "z"]
    assert list(walked.state["data"]["seen"]["inputs"]) == ["a", "inner", "row"]


def test_joins_that_become_ready_together_run_in_the_order_of_the_plan():
    """The order in which edges reached them does not count."""
    walked = walk(
        job("a", {"last": True, "first": True, "b": True}),
        job("b", {"last": True, "middle": True, "first": True}),
        join("first"),
        join("middle"),
        join("last"),
    )
    assert walked.step_runs == ["a", "b", "first", "middle", "last"]


def test_a_join_as_the_first_step_gets_the_initial_state_and_no_inputs():
    """A join without a step before it runs once."""
    walked = walk(join("z", source=seen_by("z")), state={"data": {"n": 1}, "x": 2})
    seen = walked.state["data"]["seen"]
    assert walked.step_runs == ["z"]
    assert (seen["data"], seen["x"], seen["inputs"]) == ({"n": 1}, 2, {})


def test_the_end_of_a_run_comes_before_a_join_that_waits():
    """A join may also be the end itself."""
    steps = [
        job("a", {"b": True, "c": True}),
        job("b", "z"),
        job("c", "z"),
        join("z", "y"),
        job("y"),
    ]
    assert walk(*steps, options={"end": "c"}).step_runs == ["a", "b", "c"]
    assert walk(*steps, options={"end": "z"}).step_runs == ["a", "b", "c", "z"]


def test_a_trigger_that_is_a_join_hands_on_the_merged_state():
    """The inputs are removed before, and its conditions see the same state."""
    walked = walk(
        {"id": "t", "next": {"b": True, "c": True}},
        giving("b", {"data": {"b": 1}}, "j"),
        giving("c", {"data": {"c": 2}}, "j"),
        {
            "id": "j",
            "join": "all",
            "next": {"z": "state.data.b + state.data.c == 3 and not state.inputs"},
        },
        job("z"),
    )
    assert walked.step_runs == ["b", "c", "z"]
    assert walked.state == {"data": {"b": 1, "c": 2}}


def test_a_default_state_is_merged_under_the_states_of_the_branches():
    """A single step gets its default state in the same way."""
    walked = walk(
        job("a", {"b": True, "c": True}),
        giving("b", {"data": {"b": 1}}, "z"),
        giving("c", {"data": {"c": 2}}, "z"),
        join("z", state={"data": {"b": 0, "d": 4}, "own": 1}),
    )
    assert walked.state == {"data": {"b": 1, "c": 2, "d": 4}, "own": 1}


def test_nothing_that_a_join_changes_in_one_part_of_its_input_is_seen_in_another():
    """The merged data and the inputs are separate copies."""
    walked = walk(
        job("a", {"b": True, "c": True}),
        giving("b", {"data": {"rows": [1]}}, "z"),
        giving("c", {"data": {}}, "z"),
        join(
            "z",
            source="def main(state):\n"
            "    state.data.rows.append(2)\n"
            "    return {'data': {'before': state['inputs']['b']['data']['rows']}}",
        ),
    )
    assert walked.state == {"data": {"before": [1]}}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([{"data": {"a": 1, "b": 1}}, {"data": {"b": 2}}], {"data": {"a": 1, "b": 2}}),
        ([{"data": {"a": {"x": 1}}}, {"data": {"a": {"y": 2}}}], {"data": {"a": {"y": 2}}}),
        ([{"data": {"a": 1}}, {"data": {"a": None}}], {"data": {"a": None}}),
        ([{"data": {"a": 1}}, {"data": [2]}], {"data": [2]}),
        ([{"data": [1]}, {"data": {"a": 2}}], {"data": {"a": 2}}),
        ([{"data": {"a": 1}}, {"data": None}], {"data": {"a": 1}}),
        ([{"data": {"a": 1}}, None], {"data": {"a": 1}}),
        ([None, None], {}),
        ([{"errors": {"a": 1}}, {"errors": {"b": 2}}], {"errors": {"a": 1, "b": 2}}),
        ([{"x": {"a": 1}}, {"x": {"b": 2}}], {"x": {"b": 2}}),
        ([{"x": 1}, {"x": None}], {"x": 1}),
        ([{"x": None}, {"y": 0}], {"x": None, "y": 0}),
        ([{"x": 1}, {"x": False}], {"x": False}),
        ([{"data": {"a": 1}}, "text"], {"data": "text"}),
        ([[1], {"data": {"a": 1}}], {"data": {"a": 1}}),
        ([{1: "a", 2**70: "b"}, {2**70: "c"}], {1: "a", 2**70: "c"}),
    ],
)
def test_states_are_merged_key_by_key_and_the_later_one_wins(states, expected):
    """`data` and `errors` are merged one level deep; None counts as an empty state."""
    assert merged(*states) == expected


def test_a_state_that_is_no_dict_is_an_input_as_it_is():
    """The merge takes such a state as data."""
    walked = walk(
        job("a", {"b": True, "c": True}),
        giving("b", [1, 2], "z"),
        giving("c", None, "z"),
        join("z", source=seen_by("z")),
    )
    seen = walked.state["data"]["seen"]
    assert seen["data"] == [1, 2]
    assert seen["inputs"] == {"b": [1, 2], "c": None}


def test_a_merged_state_may_not_be_larger_than_a_state():
    """Each branch is below the limit, but together they are above it."""
    limits = {field: getattr(LIMITS, field) for field in LIMITS.__struct_fields__}
    small = m.ChildLimits(**{**limits, "state_bytes": 300})
    steps = [
        {"id": "a", "next": {"b": True, "c": True}},
        giving("b", {"data": {"b": "x" * 200}}, "j"),
        giving("c", {"data": {"c": "y" * 200}}, "j"),
    ]
    walked = walk(*steps, {"id": "j", "join": "all"}, limits=small)
    assert isinstance(walked.last, m.WorkflowError)
    assert walked.last.error.name == "StateTooLargeError"
    assert "step 'j'" in walked.last.error.message


def diamonds(count, **more):
    steps = [job("s0", {"l1": True, "r1": True})]
    for n in range(1, count + 1):
        following = {f"l{n + 1}": True, f"r{n + 1}": True} if n < count else {}
        steps += [job(f"l{n}", f"s{n}"), job(f"r{n}", f"s{n}"), job(f"s{n}", following, **more)]
    return steps


def test_ten_diamonds_in_a_row_run_31_steps():
    """Without joins the steps double with each diamond."""
    walked = walk(*diamonds(10, join="all"))
    assert len(walked.step_runs) == 31
    assert len(set(walked.step_runs)) == 31
    assert len(walk(*diamonds(4)).step_runs) == 61


@pytest.mark.slow
def test_a_wide_plan_of_many_joins_is_walked_in_time():
    """The plan has 2,000 triggers, half of them joins, all with an edge to the next join."""
    steps = [{"id": "t", "next": {f"n{n}": True for n in range(1000)}}]
    for n in range(1000):
        steps.append({"id": f"n{n}", "next": {f"j{n}": True}})
        steps.append(
            {"id": f"j{n}", "join": "all", "next": {f"j{n + 1}": True} if n < 999 else {"z": True}}
        )
    assert walk(*steps, job("z")).step_runs == ["z"]


def test_a_state_with_an_error_report_keeps_its_place_in_a_join():
    """The report of a failed branch ends the run only if the branch is a leaf."""
    walked = walk(
        job("a", {"b": True, "c": True}), job("b", {"z": True}, FAIL), job("c", "z"), join("z")
    )
    assert walked.last.error is None
    assert walked.state["errors"]["b"]["name"] == make_report("RuntimeError", "x").name
