"""The walk through a workflow: edges, conditions, leaves, and the state that each step gets."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid

import pytest
from runs import finish, make_engine

from engine import Engine, RunOptions

SAME = "def main(state): return state"
FAILS = "def main(state):\n    state['touched'] = True\n    raise ValueError('no')"


def trace(step_id: str) -> str:
    """Return a job that appends its name to ``data.seen``."""
    return f"def main(state):\n    seen = state.data.get('seen', [])\n    return {{**state, 'data': {{**state.data, 'seen': [*seen, '{step_id}']}}}}"


def workflow(edges: dict[str, object], jobs: dict[str, str] | None = None, **rest: object) -> dict:
    """Return a plan from step ids and their ``next``."""
    jobs = jobs or {}
    steps = [
        {
            "id": step_id,
            "expression": jobs.get(step_id, trace(step_id)),
            **({"next": target} if target else {}),
        }
        for step_id, target in edges.items()
    ]
    return {"workflow": {"steps": steps, **rest}}


@pytest.fixture(scope="module")
def shared():
    """All tests share this engine, because runs have nothing else in common."""
    with make_engine("zygote") as engine:
        yield engine


@pytest.fixture(autouse=True)
def no_leak():
    """The engine outlives the single test."""


def test_the_plan_of_the_javascript_runtime_runs_as_it_is_written(shared: Engine):
    """The plan has ``jobs``, a condition with dotted state, and ``options.start``."""
    plan = {
        "id": "a",
        "workflow": {
            "jobs": [
                {
                    "id": "a",
                    "expression": "fn = lambda f: f\nfn(lambda state: {**state, 'data': {'age': 20}})",
                    "next": {
                        "b": {"condition": "state.data.age > 18", "label": "adult"},
                        "c": {"condition": "state.data.age <= 18"},
                    },
                },
                {"id": "b", "expression": "def main(state): return {**state, 'adult': True}"},
                {"id": "c", "expression": "def main(state): return {**state, 'adult': False}"},
            ]
        },
        "options": {"start": "a"},
    }
    run = shared.execute(plan)
    edges = [e for e in finish(run) if e.type == "edge-resolved"]
    assert [(e.to_step_id, e.taken) for e in edges] == [("b", True), ("c", False)]
    assert edges[0].condition == "state.data.age > 18"
    assert run.result().state == {"data": {"age": 20}, "adult": True}


def test_steps_run_breadth_first_in_the_order_of_edges(shared: Engine):
    """Steps run one after another; a step that is reached twice runs twice."""
    plan = workflow({"a": {"b": True, "c": True}, "b": {"z": True}, "c": "z", "z": None})
    run = shared.execute(plan)
    started = [e.step_run_id for e in finish(run) if e.type == "job-start"]
    assert started == ["a", "b", "c", "z", "z-1"]
    state = run.result().state
    assert {key: value["data"]["seen"] for key, value in state.items()} == {
        "z": ["a", "b", "z"],
        "z-1": ["a", "c", "z"],
    }


def test_a_suffix_never_makes_the_name_of_a_real_step(shared: Engine):
    """The name ``z-1`` may belong to another step."""
    plan = workflow({"a": {"z": True, "b": True, "z-1": True}, "b": "z", "z": None, "z-1": None})
    run = shared.execute(plan)
    started = [e.step_run_id for e in finish(run) if e.type == "job-start"]
    assert started == ["a", "z", "b", "z-1", "z-2"]


@pytest.mark.parametrize(
    ("condition", "ok", "failed"),
    [
        ("always", True, True),
        ("never", False, False),
        ("on_job_success", True, False),
        ("on_upstream_success", True, False),
        ("on_job_failure", False, True),
        ("on_job_fail", False, True),
        ("on_upstream_fail", False, True),
        (True, True, True),
        (False, False, False),
        ("true", True, True),
        ("not state.get('errors')", True, False),
        ("upstream_step_id == 'a'", True, True),
        ("state.data == null", False, False),
        ("state['data']['n'] > 1 and not false", True, True),
        ("len(state.data.items()) == 1", True, True),
    ],
)
def test_conditions(shared: Engine, condition, ok: bool, failed: bool):
    """Conditions are names, booleans, or Python over ``state`` and ``upstream_step_id``."""
    for job, taken in ((SAME, ok), (FAILS, failed)):
        plan = workflow({"a": {"b": condition}, "b": None}, {"a": job, "b": SAME})
        run = shared.execute(plan, {"data": {"n": 2}})
        [edge] = [e for e in finish(run) if e.type == "edge-resolved"]
        assert (edge.taken, edge.condition) == (taken, condition)


def test_a_disabled_edge_is_never_taken(shared: Engine):
    """The condition of such an edge does not matter."""
    plan = workflow({"a": {"b": {"condition": "always", "disabled": True}}, "b": None})
    assert shared.execute(plan).result(20).state == {"data": {"seen": ["a"]}}


def test_a_condition_cannot_change_what_the_next_step_gets(shared: Engine):
    """A condition sees a copy of the state."""
    plan = workflow(
        {"a": {"b": "state.pop('data') or True", "c": "state.data.n == 1"}, "b": None, "c": None},
        dict.fromkeys("abc", SAME),
    )
    state = shared.execute(plan, {"data": {"n": 1}}).result(20).state
    assert state == {"b": {"data": {"n": 1}}, "c": {"data": {"n": 1}}}


def test_a_condition_that_does_not_compile_is_told_before_the_first_job(shared: Engine):
    """The error comes before a job has done work in vain."""
    run = shared.execute(workflow({"a": {"b": "state.data ==="}, "b": None}))
    assert [e.type for e in finish(run)] == ["workflow-start", "workflow-error"]
    error = run.result().error
    assert (error.name, error.severity, error.step_id) == ("EdgeConditionError", "crash", "a")
    assert "state.data ===" in error.message


def test_a_condition_that_raises_comes_after_the_end_of_its_step(shared: Engine):
    """The event for the end of the step is not lost."""
    run = shared.execute(workflow({"a": {"b": "state.nothing['here'] > 1"}, "b": None}))
    types = [e.type for e in finish(run)]
    assert types[-2:] == ["job-complete", "workflow-error"]
    error = run.result().error
    assert error.name == "EdgeConditionError"
    assert "'a' -> 'b'" in error.message
    assert "the key 'nothing' is missing" in error.fix


def test_a_missing_key_in_a_comparison_is_logged_with_the_step_that_has_ended(shared: Engine):
    """The edge is not taken, and the line comes before the end event of the step."""
    run = shared.execute(
        workflow({"a": {"b": "state.data.age > 1", "c": "not state.age"}, "b": None, "c": None})
    )
    events = finish(run)
    types = [e.type for e in events]
    assert run.result().reason == "success"
    assert "b" not in [e.step_id for e in events if e.type == "job-start"]
    [line] = [e for e in events if e.type == "log"]
    assert (line.level, line.source, line.step_id) == ("warning", "runtime", "a")
    assert "the key 'age' is missing" in line.message
    assert types.index("job-start") < types.index("log") < types.index("job-complete")


def test_a_failed_job_can_be_handled(shared: Engine):
    """The handler sees the error in the state; the run succeeds because its leaf does."""
    plan = workflow(
        {
            "a": {"good": "on_job_success", "handler": "on_job_failure"},
            "good": None,
            "handler": None,
        },
        {"a": FAILS, "handler": "def main(state): return {'saw': state.errors.a.message, **state}"},
    )
    run = shared.execute(plan)
    finish(run)
    result = run.result()
    assert (result.reason, result.error) == ("success", None)
    assert result.state["saw"] == "no"
    assert result.state["touched"] is True


def test_a_leaf_that_failed_makes_the_run_a_fail(shared: Engine):
    """The run gets the report of the leaf, and the workflow was walked to its end."""
    run = shared.execute(workflow({"a": None}, {"a": FAILS}), {"data": {"x": 1}})
    events = finish(run)
    result = run.result()
    assert (result.reason, result.error.name, result.error.subtype) == (
        "fail",
        "RuntimeError",
        "ValueError",
    )
    assert events[-1].type == "workflow-complete"
    assert result.state["errors"]["a"]["severity"] == "fail"
    assert result.state["touched"] is True


def test_leaves_that_returned_nothing_are_left_out(shared: Engine):
    """A single leaf is left, and its state is the result."""
    jobs = {"b": "def main(state): pass", "c": "def main(state): return {'c': 1}"}
    plan = workflow({"a": {"b": True, "c": True}, "b": None, "c": None}, jobs)
    run = shared.execute(plan)
    warnings = [e for e in finish(run) if e.type == "log" and e.level == "warning"]
    assert run.result().state == {"c": 1}
    assert "main" in warnings[0].message
    assert "line 1" in warnings[0].message


def test_the_next_step_gets_an_empty_state_from_one_that_returned_nothing(shared: Engine):
    """The state is an empty dict and not None."""
    jobs = {"a": "def main(state): pass", "b": "def main(state): return {'got': sorted(state)}"}
    result = shared.execute(workflow({"a": "b", "b": None}, jobs)).result(20)
    assert set(result.state["got"]) <= {"data", "configuration"}


def test_the_run_ends_at_the_end_step(shared: Engine):
    """The state of the end step is the result, even if other steps still wait."""
    plan = workflow({"a": {"b": True, "c": True}, "b": "d", "c": None, "d": None})
    plan["options"] = {"end": "b"}
    run = shared.execute(plan)
    assert [e.step_id for e in finish(run) if e.type == "job-start"] == ["a", "b"]
    assert run.result().state == {"data": {"seen": ["a", "b"]}}
    state = shared.execute(plan, options=RunOptions(start="c", end="c")).result(20).state
    assert state == {"data": {"seen": ["c"]}}


def test_a_trigger_hands_its_input_on(shared: Engine):
    """A step without an expression has no job events."""
    plan = {
        "workflow": {
            "steps": [
                {"id": "t", "kind": "webhook", "next": {"a": True}},
                {"id": "a", "expression": SAME},
            ]
        }
    }
    run = shared.execute(plan, {"data": {"x": 1}})
    assert {e.step_id for e in finish(run) if e.type.startswith("job")} == {"a"}
    assert run.result().state == {"data": {"x": 1}}


def test_state_is_put_together_from_default_input_and_configuration(shared: Engine):
    """The input wins, ``data`` is merged key by key, and configurations in their order."""
    step = {
        "id": "a",
        "expression": "def main(state): return {**state, 'conf': state.configuration}",
        "state": {"data": {"a": 1, "b": 1}, "extra": 1, "references": []},
        "configuration": {"c": "step", "s": 3},
    }
    plan = {
        "workflow": {"steps": [step], "credentials": {"a": "shared", "b": "shared", "c": "shared"}}
    }
    given = {"data": {"b": 2}, "extra": 2, "configuration": {"b": "input", "c": "input"}}
    options = RunOptions(public_credential_keys=("a", "b", "c"))
    state = shared.execute(plan, given, options=options).result(20).state
    assert state == {
        "data": {"a": 1, "b": 2},
        "extra": 2,
        "references": [],
        "conf": {"a": "shared", "b": "input", "c": "step", "s": 3},
    }


@pytest.mark.parametrize(
    ("given", "seen"),
    [(None, {}), ({}, {}), ({"data": 5}, 5), ({"data": None}, None), ({"data": [1]}, [1])],
)
def test_data_that_is_not_a_dict_is_taken_as_it_is(shared: Engine, given, seen):
    """Without any data, a step gets an empty dict."""
    plan = {
        "workflow": {
            "steps": [{"id": "a", "expression": "def main(state): return {'seen': state['data']}"}]
        }
    }
    assert shared.execute(plan, given).result(20).state == {"seen": seen}


def test_every_step_gets_a_copy_of_its_own(shared: Engine):
    """A step does not see the changes of its siblings."""
    jobs = {
        "b": "def main(state):\n    state.data.rows.append('b')\n    return state",
        "c": SAME,
        "a": SAME,
    }
    plan = workflow({"a": {"b": True, "c": True}, "b": None, "c": None}, jobs)
    state = shared.execute(plan, {"data": {"rows": []}}).result(20).state
    assert state == {"b": {"data": {"rows": ["b"]}}, "c": {"data": {"rows": []}}}


VALUES = [
    {"big": 2**80, "negative": -(2**70), "bytes": b"\x00\xff", 5: "five", None: 0, 1.5: True},
    {"float": 1e300, "text": "é\x00\n", "nested": [[[{}]]], "none": None},
    {2**65: "big key", "list": [2**64 - 1, -(2**63)]},
    {"deep": [[[[[[[[[[1]]]]]]]]]]},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_state_comes_back_equal_to_what_went_in(shared: Engine, value):
    """The values include big integers, bytes, and keys that are not strings."""
    assert shared.execute(SAME, {"data": value}).result(20).state == {"data": value}


def test_richer_values_come_back_plain(shared: Engine):
    """Values become what msgspec writes; a tuple and a set become a list."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

    class Color(enum.Enum):
        RED = "red"

    given = {
        "data": {
            "moment": moment,
            "naive": moment.replace(tzinfo=None),
            "day": moment.date(),
            "price": decimal.Decimal("1.10"),
            "id": uuid.UUID(int=1),
            "color": Color.RED,
            "pair": (1, 2),
            "set": {1},
        }
    }
    assert shared.execute(SAME, given).result(20).state["data"] == {
        "moment": "2026-01-02T03:04:05Z",
        "naive": "2026-01-02T03:04:05",
        "day": "2026-01-02",
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "color": "red",
        "pair": [1, 2],
        "set": [1],
    }


def test_what_cannot_be_carried_fails_the_step(shared: Engine):
    """The error has the path and the type of the first such value, and the state is the input."""
    source = "def main(state):\n    state.data.rows[1]['callback'] = lambda: 1\n    return state"
    run = shared.execute(source, {"data": {"rows": [{}, {}]}})
    finish(run)
    result = run.result()
    assert (result.error.name, result.reason) == ("StateError", "fail")
    assert "state.data.rows[1].callback: cannot carry a function" in result.error.message
    assert result.state["data"] == {"rows": [{}, {}]}
    assert set(result.state["errors"]) == {"job-1"}


def test_globals_are_in_scope_of_every_job(shared: Engine):
    """Jobs do not share anything else."""
    jobs = {
        "a": "seen = 1\ndef main(state): return {'n': double(2)}",
        "b": "def main(state): return {'n': double(state.n), 'seen': seen}",
    }
    plan = workflow({"a": "b", "b": None}, jobs, globals="def double(x):\n    return x * 2\n")
    result = shared.execute(plan).result(20)
    assert result.error.name == "RuntimeCrash"
    assert "seen" in result.error.message
    jobs["b"] = "def main(state): return {'n': double(state.n)}"
    plan = workflow({"a": "b", "b": None}, jobs, globals="def double(x):\n    return x * 2\n")
    assert shared.execute(plan).result(20).state == {"n": 8}
