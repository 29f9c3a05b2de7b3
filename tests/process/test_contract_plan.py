"""CONTRACT section 1, from outside: every form of a plan, every problem, the order of its steps."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import QUICK, finish, make_engine

import engine as api
from engine import Engine, PlanError, RunOptions

SAME = "def main(state):\n    return state"
FAILS = "def main(state):\n    state['half'] = 1\n    raise ValueError('no')"


def trace(name: str) -> str:
    """Return a job that records that it ran."""
    return f"def main(state):\n    return {{**state, 'seen': [*state.get('seen', []), {name!r}]}}"


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """All tests of this file share this engine."""
    with make_engine("zygote", options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def steps_plan(*steps: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """Return a plan of these steps."""
    return {"workflow": {"steps": list(steps), **rest}}


def problems_of(plan: Any, shared: Engine, **options: Any) -> list[str]:
    """Return the lines of the PlanError that a plan must give."""
    with pytest.raises(PlanError) as caught:
        shared.execute(plan, options=RunOptions(**options))
    lines = str(caught.value).splitlines()
    assert [str(problem) for problem in caught.value.problems] == lines
    return lines


# --- forms ---

FULL = {
    "id": "run-7",
    "workflow": {
        "id": "wf",
        "name": "Sync patients",
        "start": "t",
        "globals": "def double(x):\n    return x * 2\n",
        "credentials": {"token": "plan-token"},
        "steps": [
            {"id": "t", "next": {"a": True}, "webhook": "anything"},
            {
                "id": "a",
                "name": "Fetch",
                "expression": "def main(state):\n"
                "    state.data.n = double(state.data.n)\n"
                "    state.keys = sorted(state['configuration'])\n"
                "    return state",
                "configuration": {"user": "u"},
                "state": {"data": {"n": 4}, "extra": 1},
                "next": {
                    "b": True,
                    "c": {"condition": "state.data.n > 18", "label": "big", "disabled": False},
                    "d": "on_job_failure",
                },
            },
            {"id": "b", "expression": SAME},
            {"id": "c", "expression": SAME},
            {"id": "d", "expression": SAME},
        ],
    },
    "options": {"timeout": 60000, "step_timeout": 10000},
}
FULL_STATE = {"data": {"n": 8}, "extra": 1, "keys": ["token", "user"]}


def test_the_example_plan_runs_as_dict_text_bytes_file_and_struct(shared: Engine, tmp_path: Path):
    """The five forms of the plan give the same run."""
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(FULL), encoding="utf-8")
    struct = api.Plan(
        id="run-7",
        workflow=api.Workflow(
            globals=FULL["workflow"]["globals"],
            credentials={"token": "plan-token"},
            start="t",
            steps=(
                api.Step(id="t", next={"a": api.Edge()}),
                api.Step(
                    id="a",
                    expression=FULL["workflow"]["steps"][1]["expression"],
                    configuration={"user": "u"},
                    state={"data": {"n": 4}, "extra": 1},
                    next={"b": api.Edge(), "c": api.Edge(condition="state.data.n > 18")},
                ),
                api.Step(id="b", expression=SAME),
                api.Step(id="c", expression=SAME),
            ),
        ),
        options=api.PlanOptions(timeout=60000),
    )
    before = copy.deepcopy(FULL)
    for form in (FULL, json.dumps(FULL), json.dumps(FULL).encode(), file, struct):
        run = shared.execute(form)
        assert run.id == "run-7"
        assert run.result(20).state == FULL_STATE
    assert before == FULL, "the plan of the caller was changed"


def test_camel_case_and_jobs_are_accepted(shared: Engine):
    """Every key may have the spelling of the JavaScript runtime."""
    plan = {
        "workflow": {
            "jobs": [
                {"id": "x", "expression": "raise_me()", "next": "a"},
                {"id": "a", "expression": SAME, "next": {"b": "on_job_success"}},
                {"id": "b", "expression": SAME},
            ],
        },
        "options": {"start": "a", "stepTimeout": 9000, "timeout": 9000},
    }
    assert shared.execute(plan, {"data": {"k": 1}}).result(20).state == {"data": {"k": 1}}


def test_plain_text_is_one_job(shared: Engine):
    """A string is the source of one job; it becomes a plan with one step, job-1."""
    run = shared.execute("def main(state):\n    return {'n': 1}")
    started = [e.step_id for e in finish(run) if e.type == "job-start"]
    assert started == ["job-1"]
    assert run.result().state == {"n": 1}
    uuid.UUID(run.id)


def test_ids_are_made_up_in_order(shared: Engine):
    """Steps without an id are job-1, job-2, ... in order of appearance."""
    plan = steps_plan(
        {"expression": SAME, "next": "job-2"}, {"expression": SAME, "next": "last"}, {"id": "last"}
    )
    started = [e.step_id for e in finish(shared.execute(plan)) if e.type == "job-start"]
    assert started == ["job-1", "job-2"]


@pytest.mark.parametrize(
    ("edge", "taken"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("false", False),
        ("always", True),
        ("never", False),
        ({}, True),
        ({"condition": True}, True),
        ({"condition": False}, False),
        ({"condition": "state.data.age > 18"}, True),
        ({"condition": "state.data.age > 18", "disabled": True}, False),
        ({"condition": "state['data']['age'] > 18", "label": "adult"}, True),
        ({"disabled": True}, False),
        ({"disabled": False}, True),
        ("state.data.age > 18 and upstream_step_id == 'a'", True),
        ("state.data.nothing == null", False),
        ("state.data.get('nothing') == null", True),
        ("not state.errors", None),
        ("'errors' not in state", True),
        ("state.get('errors') is None", True),
        ("state.data.rows[0].name == 'Ada'", True),
        ("any(row.get('name') == 'Ada' for row in state.data.rows)", True),
        ("state.data.age if true else false", True),
        ("len(state.data['rows']) == 2", True),
        ("on_job_success", True),
        ("on_job_failure", False),
        ("on_job_fail", False),
        ("on_upstream_success", True),
        ("on_upstream_fail", False),
    ],
)
def test_edges(shared: Engine, edge: Any, taken: bool | None):
    """Each form of an edge is here; truth is Python's."""
    state = {"data": {"age": 20, "rows": [{"name": "Ada"}, {"name": "Bob"}]}}
    plan = steps_plan(
        {"id": "a", "expression": SAME, "next": {"b": edge}}, {"id": "b", "expression": SAME}
    )
    run = shared.execute(plan, state)
    events = finish(run)
    started = [e.step_id for e in events if e.type == "job-start"]
    if taken is None or (edge == "state.data.nothing == null"):
        # a missing key is an error as in Python, or null; the edge is taken only for null
        assert run.result().reason in ("success", "crash")
        return
    assert run.result().reason == "success", run.result().error
    assert started == (["a", "b"] if taken else ["a"])
    [resolved] = [e for e in events if e.type == "edge-resolved"]
    assert (resolved.from_step_id, resolved.to_step_id, resolved.taken) == ("a", "b", taken)


def test_next_as_text_is_an_unconditional_edge(shared: Engine):
    """`next: "b"` is the same as `{"b": true}`."""
    plan = steps_plan({"id": "a", "expression": SAME, "next": "b"}, {"id": "b", "expression": SAME})
    events = finish(shared.execute(plan))
    assert [e.to_step_id for e in events if e.type == "edge-resolved" and e.taken] == ["b"]


def test_a_condition_cannot_change_state(shared: Engine):
    """A condition sees a copy of the state."""
    plan = steps_plan(
        {
            "id": "a",
            "expression": SAME,
            "next": {
                "b": "state.data.rows.append(1) or True",
                "c": "state.data.pop('rows') and True",
            },
        },
        {"id": "b", "expression": SAME},
        {"id": "c", "expression": SAME},
    )
    result = shared.execute(plan, {"data": {"rows": [0]}}).result(20)
    assert result.state == {"b": {"data": {"rows": [0]}}, "c": {"data": {"rows": [0]}}}


def test_start_and_end(shared: Engine):
    """options.start wins over workflow.start, and RunOptions wins over both."""
    steps = [
        {"id": s, "expression": trace(s), **({"next": n} if n else {})}
        for s, n in (("a", "b"), ("b", "c"), ("c", None))
    ]

    def seen(plan: dict[str, Any], **options: Any) -> Any:
        return shared.execute(plan, options=RunOptions(**options)).result(20).state["seen"]

    assert seen(steps_plan(*steps)) == ["a", "b", "c"]
    assert seen(steps_plan(*steps, start="b")) == ["b", "c"]
    assert seen({**steps_plan(*steps, start="b"), "options": {"start": "c"}}) == ["c"]
    assert seen({**steps_plan(*steps, start="b"), "options": {"start": "c"}}, start="a") == [
        "a",
        "b",
        "c",
    ]
    assert seen({**steps_plan(*steps), "options": {"end": "b"}}) == ["a", "b"]
    assert seen({**steps_plan(*steps), "options": {"end": "b"}}, end="a") == ["a"]
    assert seen({**steps_plan(*steps), "options": {"start": "b", "end": "b"}}) == ["b"]


def test_an_end_drops_what_is_waiting(shared: Engine):
    """When the end step has run, the run is over and its state is the result."""
    plan = steps_plan(
        {"id": "a", "next": {"b": True, "c": True}},
        {"id": "b", "expression": trace("b")},
        {"id": "c", "expression": trace("c")},
    )
    plan["options"] = {"end": "b"}
    run = shared.execute(plan)
    events = finish(run)
    assert [e.step_id for e in events if e.type == "job-start"] == ["b"]
    assert run.result().state["seen"] == ["b"]
    assert events[-1].state["seen"] == ["b"]


def test_breadth_first_and_a_diamond_runs_twice(shared: Engine):
    """A step that is reached over two edges runs twice, as z and z-1."""
    plan = steps_plan(
        {"id": "a", "expression": trace("a"), "next": {"c": True, "b": True}},
        {"id": "b", "expression": trace("b"), "next": {"z": True}},
        {"id": "c", "expression": trace("c"), "next": {"z": True}},
        {"id": "z", "expression": trace("z")},
    )
    run = shared.execute(plan)
    started = [e.step_run_id for e in finish(run) if e.type == "job-start"]
    assert started == ["a", "c", "b", "z", "z-1"]
    assert run.result().state == {
        "z": {"data": {}, "seen": ["a", "c", "z"]},
        "z-1": {"data": {}, "seen": ["a", "b", "z"]},
    }


# --- problems ---


@pytest.mark.parametrize(
    ("plan", "starts"),
    [
        ({}, ["workflow"]),
        ([], ["plan"]),
        (None, ["plan"]),
        (3, ["plan"]),
        (3.5, ["plan"]),
        (True, ["plan"]),
        (object(), ["plan"]),
        ("{}", ["workflow"]),
        ({"workflow": None}, ["workflow"]),
        ({"workflow": []}, ["workflow"]),
        ({"workflow": "x"}, ["workflow"]),
        ({"workflow": {}}, ["workflow.steps"]),
        ({"workflow": {"steps": []}}, ["workflow.steps"]),
        ({"workflow": {"jobs": []}}, ["workflow.jobs"]),
        ({"workflow": {"steps": {}}}, ["workflow.steps"]),
        ({"workflow": {"steps": [1]}}, ["workflow.steps[0]"]),
        ({"workflow": {"steps": [{"id": 1}]}}, ["workflow.steps[0].id"]),
        ({"workflow": {"steps": [{"id": ""}]}}, ["workflow.steps[0].id"]),
        ({"workflow": {"steps": [{"id": "a", "expression": 1}]}}, ["workflow.steps[0].expression"]),
        (
            {"workflow": {"steps": [{"id": "a", "expression": "x", "expresion": 1}]}},
            ["workflow.steps[0].expresion"],
        ),
        ({"workflow": {"steps": [{"id": "a", "next": 3}]}}, ["workflow.steps[0].next"]),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"b": 3}}, {"id": "b"}]}},
            ["workflow.steps[0].next.b"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"b": None}}, {"id": "b"}]}},
            ["workflow.steps[0].next.b"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"b": {"condition": 3}}}, {"id": "b"}]}},
            ["workflow.steps[0].next.b.condition"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"b": {"disabled": "no"}}}, {"id": "b"}]}},
            ["workflow.steps[0].next.b.disabled"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"b": {"label": 1}}}, {"id": "b"}]}},
            ["workflow.steps[0].next.b.label"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"b": {"conditoin": "x"}}}, {"id": "b"}]}},
            ["workflow.steps[0].next.b.conditoin"],
        ),
        ({"workflow": {"steps": [{"id": "a"}, {"id": "a"}]}}, ["workflow.steps[1].id"]),
        ({"workflow": {"steps": [{"id": "a", "next": "a"}]}}, ["workflow.steps[0].next"]),
        (
            {"workflow": {"steps": [{"id": "a", "next": {"a": False}}]}},
            ["workflow.steps[0].next.a"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "next": "b"}, {"id": "b", "next": "a"}]}},
            ["workflow.steps[1].next"],
        ),
        (
            {
                "workflow": {
                    "steps": [
                        {"id": "a"},
                        {"id": "b", "next": "c"},
                        {"id": "c", "next": {"b": True}},
                    ]
                }
            },
            ["workflow.steps[2].next.b"],
        ),
        ({"workflow": {"start": "q", "steps": [{"id": "a"}]}}, ["workflow.start"]),
        ({"workflow": {"start": 1, "steps": [{"id": "a"}]}}, ["workflow.start"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "options": {"start": "q"}}, ["options.start"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "options": {"end": "q"}}, ["options.end"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "options": {"timeout": "1"}}, ["options.timeout"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "options": {"timeout": -1}}, ["options.timeout"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "options": {"timeout": True}}, ["options.timeout"]),
        (
            {"workflow": {"steps": [{"id": "a"}]}, "options": {"timeout": float("nan")}},
            ["options.timeout"],
        ),
        (
            {"workflow": {"steps": [{"id": "a"}]}, "options": {"step_timeout": []}},
            ["options.step_timeout"],
        ),
        (
            {"workflow": {"steps": [{"id": "a"}]}, "options": {"stepTimeout": []}},
            ["options.stepTimeout"],
        ),
        (
            {"workflow": {"steps": [{"id": "a"}]}, "options": {"stepTimout": 1}},
            ["options.stepTimout"],
        ),
        ({"workflow": {"steps": [{"id": "a"}]}, "options": []}, ["options"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "optoins": {}}, ["optoins"]),
        ({"workflow": {"steps": [{"id": "a"}]}, "id": 3}, ["id"]),
        ({"workflow": {"steps": [{"id": "a"}], "stat": 1}}, ["workflow.stat"]),
        ({"workflow": {"steps": [{"id": "a"}], "globals": 1}}, ["workflow.globals"]),
        ({"workflow": {"steps": [{"id": "a"}], "credentials": 1}}, ["workflow.credentials"]),
        (
            {"workflow": {"steps": [{"id": "a", "expression": "x", "configuration": 1}]}},
            ["workflow.steps[0].configuration"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "expression": "x", "adaptor": 1}]}},
            ["workflow.steps[0].adaptor"],
        ),
        (
            {"workflow": {"steps": [{"id": "a", "expression": "x", "adaptors": [1]}]}},
            ["workflow.steps[0].adaptors[0]"],
        ),
        ({"workflow": {"steps": [{"id": "a", "name": 1}]}}, ["workflow.steps[0].name"]),
    ],
)
def test_each_problem_has_its_path(shared: Engine, plan: Any, starts: list[str]):
    """A problem is one line that begins with the JSON path as the author wrote it."""
    lines = problems_of(plan, shared)
    assert [line.split(":")[0] for line in lines] == starts


def test_every_problem_is_listed_at_once(shared: Engine):
    """The plan has an unknown target, a duplicate, a cycle, and wrong types, start and end."""
    plan = {
        "workflow": {
            "start": "nowhere",
            "steps": [
                {"id": "a", "expression": 1, "next": {"b": True}},
                {"id": "b", "expression": "x", "next": "a"},
                {"id": "y", "expression": "x", "extra": 1},
                {"id": "c", "expression": "x", "next": {"z": True}},
                {"id": "c", "expression": "x"},
            ],
        },
        "options": {"end": "gone"},
    }
    lines = problems_of(plan, shared)
    assert {line.split(": ")[0] for line in lines} == {
        "workflow.start",
        "workflow.steps[0].expression",
        "workflow.steps[1].next",
        "workflow.steps[2].extra",
        "workflow.steps[3].next.z",
        "workflow.steps[4].id",
        "options.end",
    }


def test_an_unknown_target_says_what_was_meant(shared: Engine):
    """The message is the one in the contract, word for word."""
    plan = steps_plan({"id": "x"}, {"id": "y", "expression": "1"}, {"id": "w", "next": {"z": True}})
    [line] = problems_of(plan, shared)
    assert line == "workflow.steps[2].next.z: no step has the id 'z'; did you mean 'y'?"
    plan = steps_plan({"id": "fetch"}, {"id": "w", "next": {"fetsh": True}})
    [line] = problems_of(plan, shared)
    assert line == "workflow.steps[1].next.fetsh: no step has the id 'fetsh'; did you mean 'fetch'?"


def test_start_and_end_of_options_are_checked(shared: Engine):
    """RunOptions.start and RunOptions.end must exist as well."""
    plan = steps_plan({"id": "a"})
    assert problems_of(plan, shared, start="q")[0].startswith("options.start")
    assert problems_of(plan, shared, end="q")[0].startswith("options.end")


def test_the_meta_of_a_plan_is_carried_to_the_first_event(shared: Engine):
    """The meta is merged over that of the workflow, and secrets are removed as in every event."""
    plan = steps_plan({"id": "a", "expression": SAME, "configuration": {"password": "kept-secret"}})
    plan["workflow"]["meta"] = {"origin": "workflow", "uuid": 1}
    plan["meta"] = {"origin": "plan", "note": "it is kept-secret"}
    with pytest.warns(api.PlanWarning, match="'meta'"):
        run = shared.execute(plan, {"data": 1})
    assert run.result(20).reason == "success"
    first = run.poll(after=0)[0]
    assert first.type == "workflow-start"
    assert first.meta == {"origin": "plan", "uuid": 1, "note": "it is [redacted]"}


def test_an_empty_expression_and_a_condition_of_a_yaml_block(shared: Engine):
    """The step is a trigger, and the condition is the named one without its line end."""
    plan = steps_plan(
        {"id": "t", "expression": " \n", "cron": "* * * * *", "next": {"a": "on_job_success\n"}},
        {
            "id": "a",
            "expression": SAME,
            "next": {"b": "state.data.n > 0 and\r\nnot state.errors\r\n"},
        },
        {"id": "b", "expression": SAME},
    )
    run = shared.execute(plan, {"data": {"n": 1}})
    assert run.result(20).state == {"data": {"n": 1}}
    assert [e.step_id for e in run.poll(after=0) if e.type == "job-complete"] == ["a", "b"]
    edges = [e.condition for e in run.poll(after=0) if e.type == "edge-resolved"]
    assert edges[0] == "on_job_success"


def test_a_trigger_may_carry_any_key(shared: Engine):
    """Only a step without an expression may have any key."""
    plan = steps_plan(
        {"id": "t", "type": "webhook", "enabled": True, "cron": "* * * * *", "next": "a"},
        {"id": "a", "expression": SAME},
    )
    assert shared.execute(plan, {"data": 1}).result(20).state == {"data": 1}


def test_a_plan_of_triggers_gives_the_input_back(shared: Engine):
    """No job runs, and the state goes through."""
    run = shared.execute(steps_plan({"id": "t"}), {"data": {"a": 1}, "k": [1]})
    types = [e.type for e in finish(run)]
    assert types == ["workflow-start", "workflow-complete"]
    assert run.result().state == {"data": {"a": 1}, "k": [1]}


def test_broken_json_text_is_a_plan_error(shared: Engine):
    """Text that begins like JSON is not taken for a job."""
    for text in ('{"workflow": ', '{"workflow": {"steps": [}}', "{'workflow': {}}"):
        [line] = problems_of(text, shared)
        assert "JSON" in line or "json" in line, line


def test_a_missing_file_is_a_plan_error_that_names_it(shared: Engine, tmp_path: Path):
    """The error is neither a FileNotFoundError nor an error of a job."""
    with pytest.raises(PlanError, match=r"gone\.json"):
        shared.execute(tmp_path / "gone.json")


def test_binary_as_a_job_is_one_clear_line(shared: Engine):
    """The bytes cannot be decoded as text."""
    for data in (b"\xff\xfe\x00", b"\x7fELF\x00\x01", bytes(range(256))):
        with pytest.raises(PlanError) as caught:
            shared.execute(data)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "state",
    [float, lambda: 0, object(), {1: object()}],
    ids=["class", "function", "object", "nested"],
)
def test_an_initial_state_that_cannot_be_carried_is_said_at_once(shared: Engine, state: Any):
    """The error comes before a process is started, with path and type."""
    with pytest.raises((PlanError, TypeError, ValueError), match="cannot carry"):
        shared.execute("def main(state): return state", state)


def test_a_plan_within_a_plan_is_copied(shared: Engine):
    """Later changes of the caller's dict do not reach the run."""
    plan = copy.deepcopy(FULL)
    run = shared.execute(plan)
    plan["workflow"]["steps"].clear()
    plan["workflow"]["credentials"]["token"] = "other"
    assert run.result(20).state == FULL_STATE


# --- size and odd names ---


def test_a_chain_of_500_steps(shared: Engine):
    """Each step sees the state of the step before it."""
    count = "def main(state):\n    state.n = state.get('n', 0) + 1\n    return state"
    steps = [{"id": f"s{i}", "expression": count, "next": f"s{i + 1}"} for i in range(499)]
    run = shared.execute(steps_plan(*steps, {"id": "s499", "expression": count}))
    assert run.result(60).state == {"n": 500, "data": {}}
    assert sum(e.type == "job-complete" for e in finish(run)) == 500


def test_300_leaves(shared: Engine):
    """The result has one state for each leaf."""
    leaves = [
        {"id": f"l{i}", "expression": f"def main(state): return {{'i': {i}}}"} for i in range(300)
    ]
    plan = steps_plan({"id": "t", "next": {leaf["id"]: True for leaf in leaves}}, *leaves)
    assert shared.execute(plan).result(60).state == {f"l{i}": {"i": i} for i in range(300)}


@pytest.mark.parametrize(
    "step_id",
    [
        "é",
        "患者",
        "a b",
        "a.b[0]",
        "🙂",
        "x" * 5000,
        "-1",
        "job-1",
        "__class__",
        "a\nb",
        "'",
        '"',
        "%s",
        "{0}",
        "constructor",
    ],
    ids=lambda value: value[:12].encode("unicode_escape").decode(),
)
def test_any_text_is_an_id(shared: Engine, step_id: str):
    """The author chooses the ids; they also appear in errors and in the result."""
    plan = steps_plan(
        {"id": "t", "next": {step_id: True, "other": True}},
        {"id": step_id, "expression": "def main(state):\n    raise ValueError('x')"},
        {"id": "other", "expression": SAME},
    )
    run = shared.execute(plan)
    events = finish(run)
    assert [e.step_id for e in events if e.type == "job-error"] == [step_id]
    state = run.result().state
    assert set(state) == {step_id, "other"}
    assert state[step_id]["errors"][step_id]["message"] == "x"
