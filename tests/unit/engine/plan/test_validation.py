"""The engine checks a whole plan before anything runs, and reports each problem with its place."""

import json
import os
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import pytest
from ids import short

from engine.api.errors import PlanError
from engine.plan.validation import load_plan
from protocol.plan import Edge, Plan, PlanOptions, Step, Workflow

JAVASCRIPT_EXAMPLE = {
    "workflow": {
        "jobs": [
            {
                "id": "a",
                "expression": "source",
                "state": {},
                "configuration": {},
                "next": {
                    "b": True,
                    "c": {"condition": "state.data.age > 18", "label": "", "disabled": False},
                },
                "adaptor": "common",
            },
            {"id": "b", "expression": "source"},
            {"id": "c", "expression": "source"},
        ]
    },
    "options": {"start": "a"},
}


def steps(*found):
    return {"workflow": {"steps": list(found)}}


def job(step_id, **more):
    return {"id": step_id, "expression": "def main(state): return state", **more}


def problems_of(plan, **options):
    with pytest.raises(PlanError) as raised:
        load_plan(plan, **options)
    error = raised.value
    assert str(error).splitlines() == [str(problem) for problem in error.problems]
    return str(error).splitlines()


def test_the_javascript_example_is_accepted_as_it_is_written():
    """The frame of a plan for the JavaScript runtime is accepted without changes."""
    plan = load_plan(JAVASCRIPT_EXAMPLE)

    assert [step.id for step in plan.workflow.steps] == ["a", "b", "c"]
    assert plan.workflow.steps[0].adaptors == ("common",)
    assert plan.workflow.steps[0].next == {
        "b": Edge(),
        "c": Edge(condition="state.data.age > 18", label=""),
    }
    assert plan.start == "a"


def test_jobs_at_the_top_as_in_old_plans_are_accepted():
    """Plans that are older than the `workflow` key have start and jobs at the top."""
    plan = load_plan({"id": "p", "start": "b", "jobs": [job("a", next="b"), job("b")]})

    assert (plan.id, plan.start) == ("p", "b")
    assert problems_of({"jobs": [job("a", next="x")]}) == [
        "jobs[0].next: no step has the id 'x'; did you mean 'a'?"
    ]


def test_a_javascript_condition_is_not_our_business_yet():
    """The child compiles conditions, so the engine accepts any text as a condition."""
    condition = "state.data && !state.errors === false ? 1 : 2"

    plan = load_plan(steps(job("a", next={"b": {"condition": condition}}), job("b")))

    assert plan.workflow.steps[0].next["b"].condition == condition


def test_a_string_is_the_source_of_one_job():
    """The string may look like the name of a file, but the engine does not read that file."""
    for source in ("fn(lambda state: state)", "plan.json()", "[1]", "x = {"):
        plan = load_plan(source)
        assert [(step.id, step.expression) for step in plan.workflow.steps] == [("job-1", source)]


def test_text_that_begins_with_a_brace_is_json():
    """JSON as text and JSON as bytes give the same plan as data, with or without a byte order mark."""
    text = json.dumps({"id": "p", **JAVASCRIPT_EXAMPLE})
    expected = load_plan({"id": "p", **JAVASCRIPT_EXAMPLE})

    for source in (
        text,
        f"\n {text}",
        f"\ufeff{text}",
        text.encode(),
        b"\xef\xbb\xbf" + text.encode(),
    ):
        assert load_plan(source) == expected


def test_a_path_is_read(tmp_path: Path):
    """The suffix of a path decides whether the file is a plan or a job."""
    plan_file, job_file = tmp_path / "plan.json", tmp_path / "job.py"
    plan_file.write_text(json.dumps(steps(job("a"))))
    job_file.write_text("x = 1")

    assert load_plan(plan_file).workflow.steps[0].id == "a"
    assert load_plan(job_file).workflow.steps[0].expression == "x = 1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("none.json", None, "cannot be read: No such file or directory", id="missing"),
        pytest.param("plan.json", b"{,}", "is not JSON: Expecting property name", id="not-json"),
        pytest.param("plan.json", b"", "is not JSON: Expecting value at line 1", id="empty"),
        pytest.param("plan.json", b'{"a": "\xff"}', "byte 8 is not UTF-8", id="bad-utf-8"),
        pytest.param("job.py", b"\x7fELF\xff\x00", "is not text: byte 5 is not UTF-8", id="binary"),
        pytest.param("plan.yaml", b"a: 1", "must be a plan (.json) or a job (.py)", id="kind"),
        pytest.param("plan.json", b"[" * 100_000, "is nested too deeply", id="deep"),
        pytest.param("plan.json", b"[" + b"1" * 5000 + b"]", "4300 digits", id="long-number"),
        pytest.param(
            "plan.json",
            b'{"b": {"a": 1, "a": 2}}',
            "has the key 'a' twice in one object",
            id="twice",
        ),
    ],
)
def test_a_file_that_holds_no_plan_is_named(tmp_path, name, content, message):
    """For each kind of broken file, the message names the file and the problem."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)

    (line,) = problems_of(file)

    assert line.startswith(f"{file}: ")
    assert message in line


def test_a_directory_is_no_plan(tmp_path):
    """A directory is refused even if its name is that of a plan."""
    (tmp_path / "plan.json").mkdir()

    (line,) = problems_of(tmp_path / "plan.json")

    assert line.endswith("cannot be read: Is a directory")


@pytest.mark.parametrize(
    ("source", "line"),
    [
        pytest.param(b"\x00\x01", "plan: a job must be text, not bytes", id="binary"),
        pytest.param(b"x = 1", "plan: a job must be text, not bytes", id="bytes"),
        pytest.param(b'{"\xff"', "plan: is not text: byte 3 is not UTF-8", id="bad-utf-8"),
        pytest.param("{", "plan: is not JSON: Expecting property name", id="not-json"),
        pytest.param(None, "JSON text, a path, or the source of one job, not null", id="none"),
        pytest.param([], "JSON text, a path, or the source of one job, not a list", id="list"),
        pytest.param({}, "workflow: is missing; a plan has a workflow", id="empty-object"),
        pytest.param({"workflow": []}, "workflow: must be an object, not a list", id="list-inside"),
        pytest.param({"workflow": {}}, "workflow.steps: is missing;", id="no-steps"),
        pytest.param(steps(), "workflow.steps: is empty;", id="zero-steps"),
        pytest.param({"jobs": []}, "jobs: is empty;", id="zero-jobs"),
        pytest.param({"workflow": {"steps": {}}}, "workflow.steps: must be a list of", id="map"),
        pytest.param("x\0", "workflow.steps[0].expression: has a NUL at character 2", id="nul"),
        pytest.param(
            "\ud800", "workflow.steps[0].expression: has a lone surrogate", id="surrogate"
        ),
    ],
)
def test_what_is_no_plan_is_refused(source, line):
    """Input of a wrong kind gives exactly one line, which says the reason."""
    (found,) = problems_of(source)

    assert line in found


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"id": 5}, "id: must be text, not a number"),
        ({"id": ""}, "id: must be text, not an empty string"),
        ({"id": True}, "id: must be text, not true or false"),
        ({"id": ["a"]}, "id: must be text, not a list"),
        ({"name": 1}, "name: must be text, not a number"),
        ({"expression": b"x"}, "expression: must be text (Python source), not bytes"),
        ({"expression": 1}, "expression: must be text (Python source), not a number"),
        ({"expression": False}, "expression: must be text (Python source), not true or false"),
        ({"expresion": "x"}, "expresion: unknown key; did you mean 'expression'?"),
        ({"Next": "x"}, "Next: unknown key; did you mean 'next'?"),
        ({"zzzzzzzzz": 1}, "zzzzzzzzz: unknown key; known are: 'id', 'name',"),
        ({5: 1}, "[5]: a key must be text, not a number"),
        ({"adaptor": 1}, "adaptor: must be the name of an adaptor, such as"),
        ({"adaptor": ""}, "adaptor: must be the name of an adaptor, such as"),
        ({"adaptors": ["a", 1]}, "adaptors[1]: must be the name of an adaptor, such as"),
        ({"adaptor": "a", "adaptors": ["b"]}, "adaptors: says the same as 'adaptor'; leave one"),
        ({"configuration": 3}, "configuration: must be an object or the id of a credential, not a"),
        (
            {"configuration": ""},
            "configuration: must be an object or the id of a credential, not an",
        ),
        ({"configuration": {1: 2}}, "configuration: must have text as keys, not a number"),
        ({"configuration": {"f": print}}, "configuration.f: cannot carry a function"),
        ({"state": ""}, "state: must be a state or the id of one, not an empty string"),
        ({"state": {"rows": [1, {"f": len}]}}, "state.rows[1].f: cannot carry a function"),
        ({"state": {"a b": object()}}, "state['a b']: cannot carry an object"),
        ({"state": object()}, "state: cannot carry an object"),
        ({"state": {"s": "\ud800"}}, "state.s: cannot carry a string with a lone surrogate"),
        ({"next": 5}, "next: must be the id of a step, or an object with such ids as keys, not a"),
        ({"next": ["b"]}, "next: must be the id of a step, or an object with such ids as keys"),
        ({"next": ""}, "next: must be the id of a step, or an object with such ids as keys"),
        ({"next": "x"}, "next: no step has the id 'x'; did you mean 'y'?"),
        ({"next": {"x": True}}, "next.x: no step has the id 'x'; did you mean 'y'?"),
        ({"next": {"": True}}, "next['']: must be the id of a step, not an empty string"),
        ({"next": {1: True}}, "next[1]: must be the id of a step, not a number"),
        (
            {"next": {"y": None}},
            "next.y: must be true, false, or a condition as text, or an object",
        ),
        ({"next": {"y": 1}}, "next.y: must be true, false, or a condition as text, or an object"),
        ({"next": {"y": ""}}, "next.y: must be true, false, or a condition as text, not an empty"),
        (
            {"next": {"y": {"condition": 1}}},
            "next.y.condition: must be true, false, or a condition",
        ),
        ({"next": {"y": {"disabled": 1}}}, "next.y.disabled: must be true or false, not a number"),
        ({"next": {"y": {"label": 1}}}, "next.y.label: must be text, not a number"),
        (
            {"next": {"y": {"if": "x"}}},
            "next.y.if: unknown key; known are: 'condition', 'label', 'dis",
        ),
        ({"next": "a"}, "next: closes a cycle: a -> a"),
        ({"next": {"a": {"disabled": True}}}, "next.a: closes a cycle: a -> a"),
    ],
    ids=lambda value: short(value) if isinstance(value, dict) else "",
)
def test_a_wrong_member_of_a_step_is_told_with_its_path(more, line):
    """Each rule about a step reports the path of the wrong member."""
    (found,) = problems_of(steps({**job("a"), **more}, job("y")))

    assert found.startswith(f"workflow.steps[0]{'' if line.startswith('[') else '.'}{line}")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"timeout": 0}, "timeout: must be finite and more than 0 milliseconds, not 0"),
        ({"timeout": -1}, "timeout: must be finite and more than 0 milliseconds, not -1"),
        (
            {"timeout": float("nan")},
            "timeout: must be finite and more than 0 milliseconds, not nan",
        ),
        (
            {"timeout": float("inf")},
            "timeout: must be finite and more than 0 milliseconds, not inf",
        ),
        ({"timeout": 10**400}, "timeout: must be finite and more than 0 milliseconds, not inf"),
        ({"timeout": True}, "timeout: must be a number of milliseconds, not true or false"),
        ({"timeout": "5"}, "timeout: must be a number of milliseconds, not text"),
        ({"stepTimeout": 0}, "stepTimeout: must be finite and more than 0 milliseconds, not 0"),
        ({"step_timeout": 1, "stepTimeout": 2}, "stepTimeout: says the same as 'step_timeout'"),
        ({"start": "x"}, "start: no step has the id 'x'; did you mean 'y'?"),
        ({"end": "x"}, "end: no step has the id 'x'; did you mean 'y'?"),
        ({"end": 1}, "end: must be the id of a step, not a number"),
        ({"steptimeout": 1}, "steptimeout: unknown key; did you mean 'stepTimeout'?"),
    ],
    ids=str,
)
def test_a_wrong_option_is_told_with_its_path(options, line):
    """Each rule about options reports the path of the wrong option."""
    (found,) = problems_of({**steps(job("a"), job("y")), "options": options})

    assert found.startswith(f"options.{line}")


def test_both_spellings_of_a_key_mean_the_same():
    """The JavaScript runtime spells keys in camelCase, and this engine spells them in snake_case."""
    camel = load_plan({"id": "p", **steps(job("a")), "options": {"stepTimeout": 5}})
    snake = load_plan({"id": "p", **steps(job("a")), "options": {"step_timeout": 5}})

    assert camel == snake
    assert camel.options.step_timeout == 5


def test_every_problem_is_told_at_once():
    """An author sees all five mistakes of a plan after one check."""
    plan = {
        "id": 7,
        "workflow": {
            "steps": [
                job("a", next={"b": True, "zz": True}),
                job("b", next="a", state={"f": print}),
                job("a", configuration=[]),
                "text",
            ],
            "start": "missing",
            "globals": 3,
        },
        "options": {"timeout": -1, "end": "nobody"},
        "extra": True,
    }

    with pytest.raises(PlanError) as raised:
        load_plan(plan)
    paths = {problem.path for problem in raised.value.problems}

    assert paths == {
        "extra",
        "id",
        "options.end",
        "options.timeout",
        "workflow.globals",
        "workflow.start",
        "workflow.steps[0].next.zz",
        "workflow.steps[1].next",
        "workflow.steps[1].state.f",
        "workflow.steps[2].configuration",
        "workflow.steps[2].id",
        "workflow.steps[3]",
    }


def test_a_duplicate_id_names_the_other_step():
    """The engine never drops a step in silence."""
    assert problems_of(steps(job("a"), job("b"), job("a"))) == [
        "workflow.steps[2].id: workflow.steps[0] has the id 'a' too"
    ]


@pytest.mark.parametrize(
    ("edges", "lines"),
    [
        ({"a": "b", "b": "a"}, ["workflow.steps[1].next: closes a cycle: a -> b -> a"]),
        (
            {"a": {"b": True}, "b": {"c": "never"}, "c": {"a": False}},
            ["workflow.steps[2].next.a: closes a cycle: a -> b -> c -> a"],
        ),
        (
            {"a": {"b": True, "c": True}, "b": "a", "c": "a"},
            [
                "workflow.steps[1].next: closes a cycle: a -> b -> a",
                "workflow.steps[2].next: closes a cycle: a -> c -> a",
            ],
        ),
        ({"b": "c", "c": "b"}, ["workflow.steps[2].next: closes a cycle: b -> c -> b"]),
    ],
    ids=["strings", "never-taken", "two-through-one-step", "unreachable"],
)
def test_each_cycle_is_named_step_by_step(edges, lines):
    """The check reports every cycle, of any kind of edges and at any place."""
    assert problems_of(steps(*(job(i, next=edges.get(i)) for i in "abc"))) == lines


def test_diamonds_and_unreachable_steps_are_fine():
    """Two ways to the same step do not form a cycle, and an author may keep a step for later."""
    plan = load_plan(
        steps(
            job("a", next={"b": True, "c": True}),
            job("b", next="d"),
            job("c", next="d"),
            job("d"),
            job("alone"),
        )
    )

    assert len(plan.workflow.steps) == 5


def test_a_trigger_may_carry_any_key():
    """The engine does not judge the settings of a webhook or a timer."""
    plan = load_plan(
        steps(
            {"type": "webhook", "enabled": True, "reply": {"f": print}, "next": {"a": True}},
            job("a"),
        )
    )

    trigger = plan.workflow.steps[0]
    assert (trigger.id, trigger.expression, trigger.next) == ("job-1", None, {"a": Edge()})


def test_steps_without_id_are_counted_in_order_of_appearance():
    """The number counts only the steps without an id, and skips a number that another step has."""
    source = {"expression": "x = 1"}

    plan = load_plan(steps(source, job("named"), source, job("job-2", next="job-3"), {"id": None}))

    assert [step.id for step in plan.workflow.steps] == [
        "job-1",
        "named",
        "job-3",
        "job-2",
        "job-4",
    ]


def test_start_and_end_of_the_caller_win():
    """The values given at the call win, and are checked in the same way as values in the plan."""
    plan = {**steps(job("a"), job("b")), "options": {"start": "a", "end": "a"}}

    loaded = load_plan(plan, start="b", end="b")

    assert (loaded.start, loaded.options.end) == ("b", "b")
    assert problems_of(plan, start="c") == [
        "options.start: no step has the id 'c'; did you mean 'b'?"
    ]
    assert problems_of(plan, end=5) == ["options.end: must be the id of a step, not a number: 5"]


def test_the_start_is_the_first_that_is_given():
    """The plan's options come first, then the workflow, then the order of the steps."""
    plain = steps(job("a"), job("b"), job("c"))
    named = {"workflow": {**plain["workflow"], "start": "b"}}

    assert load_plan(plain).start == "a"
    assert load_plan(named).start == "b"
    assert load_plan({**named, "options": {"start": "c"}}).start == "c"


def test_values_are_copied_and_kept():
    """A plan is immutable: later changes of the caller's data do not reach it."""
    state = {"n": 2**200, 3: b"\x00", "rows": (1, 2), "deep": {"x": [1.5, None]}}

    plan = load_plan(steps(job("a", state=state, configuration={"k": {"n": -(2**90)}})))
    state["deep"]["x"].clear()

    step = plan.workflow.steps[0]
    assert step.state == {"n": 2**200, 3: b"\x00", "rows": [1, 2], "deep": {"x": [1.5, None]}}
    assert step.configuration == {"k": {"n": -(2**90)}}


def test_ids_of_credentials_and_states_stay_ids():
    """The ids are resolved when the step starts, and not before."""
    plan = load_plan(
        {"workflow": {"steps": [job("a", state="s-1", configuration="c-1")], "credentials": "c-2"}}
    )

    assert plan.workflow.steps[0].state == "s-1"
    assert plan.workflow.steps[0].configuration == "c-1"
    assert plan.workflow.credentials == "c-2"


def test_a_cycle_in_a_value_is_told():
    """The engine cannot send a value that contains itself."""
    rows: list = []
    rows.append(rows)

    assert problems_of(steps(job("a", state={"rows": rows}))) == [
        "workflow.steps[0].state.rows[0]: cannot carry a cycle"
    ]


@pytest.mark.slow
def test_a_value_nested_too_deeply_is_a_problem_and_no_crash():
    """Depth needs stack in the child, so the engine refuses such a value before a child starts."""
    value: list = []
    for _ in range(100_000):
        value = [value]

    (line,) = problems_of(steps(job("a", state=value)))

    assert line.startswith("workflow.steps[0].state")
    assert "nested" in line
    while value:  # or the interpreter frees it recursively
        value = value.pop()


def test_a_secret_never_stands_in_a_message():
    """The message about a wrong configuration gives only the keys."""
    secret = "hunter2-hunter2"

    text = "\n".join(
        problems_of(
            {
                "workflow": {
                    "steps": [job("a", configuration={"password": secret, "f": print})],
                    "credentials": [secret],
                }
            }
        )
    )

    assert secret not in text
    assert "workflow.steps[0].configuration.f" in text


def test_other_mappings_than_dicts_are_read():
    """The engine reads any object that behaves as a dict."""
    plan = MappingProxyType(OrderedDict(workflow=MappingProxyType({"steps": (job("a"),)})))

    assert load_plan(plan).workflow.steps[0].id == "a"


def test_a_plan_struct_is_checked_like_data():
    """Structs that a caller builds by hand give the same errors as data."""
    bad = Plan(
        id="p",
        workflow=Workflow(steps=(Step(id="a", expression="x", next={"b": Edge(condition=5)}),)),
        options=PlanOptions(timeout=-1),
    )

    assert (
        problems_of(bad)
        == [
            "options.timeout: must be finite and more than 0 milliseconds, not -1",
            "workflow.steps[0].next.b.condition: must be true, false, or a condition as text, not a number",
            "workflow.steps[0].next.b: no step has the id 'b'; did you mean 'a'?",
        ][:2]
        + problems_of(bad)[2:]
    )


def test_control_characters_of_a_plan_do_not_reach_the_terminal():
    """A quoted key cannot move the cursor of a terminal."""
    (line,) = problems_of(steps(job("a", next={"\x1b[2Jx" * 100: True})))

    assert line.isprintable()
    assert len(line) < 250


@pytest.mark.slow
def test_large_plans_are_checked_in_linear_time():
    """2,000 steps and 100,000 edges are checked without recursion and without quadratic work."""
    ids = [f"s{i}" for i in range(2000)]
    plan = steps(
        *(job(name, next=dict.fromkeys(ids[i + 1 : i + 52], True)) for i, name in enumerate(ids))
    )

    assert len(load_plan(plan).workflow.steps) == 2000

    plan["workflow"]["steps"][-1]["next"] = "s0"
    (line,) = problems_of(plan)
    assert line == (
        "workflow.steps[1999].next: closes a cycle: s0 -> s1 -> s2 -> s3 -> ... (1992 more) -> "
        "s1996 -> s1997 -> s1998 -> s1999 -> s0"
    )


@pytest.mark.slow
def test_many_unknown_ids_are_all_told_quickly():
    """The engine suggests names only for the first few ids, because the comparison is slow."""
    plan = steps(
        *(job(f"step-{i}", next={f"step-{i}x{j}": True for j in range(10)}) for i in range(1000))
    )

    lines = problems_of(plan)

    assert len(lines) == 10_000
    assert "did you mean" in lines[0]
    assert lines[-1] == "workflow.steps[999].next.step-999x9: no step has the id 'step-999x9'"


@pytest.mark.slow
def test_among_very_many_steps_nothing_is_suggested():
    """Comparing one name with all the others would take longer than the rest of the check."""
    plan = steps(*(job(f"s{i}") for i in range(6000)), job("last", next="s6000"))

    assert problems_of(plan) == ["workflow.steps[6000].next: no step has the id 's6000'"]


def test_a_file_with_json_that_is_no_object_is_no_plan(tmp_path):
    """The content of the file is JSON, but not of the right kind."""
    file = tmp_path / "plan.json"
    file.write_text("[]")

    assert problems_of(file) == ["plan: must be an object, not a list"]


def test_values_that_json_does_not_know_have_a_name_too():
    """Programs also make plans, and may put Python values of any type into them."""
    assert problems_of(steps(job("a", adaptors={"rest"}, next=print))) == [
        (
            "workflow.steps[0].next: must be the id of a step, or an object with such ids as keys, "
            "not a builtin_function_or_method"
        ),
        (
            "workflow.steps[0].adaptors: must be the name of an adaptor, such as 'http' or "
            "'http@1.0.0', or a list of such, not a set"
        ),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told(tmp_path):
    """A missing permission is a problem with the file of the plan, and not a crash of the engine."""
    file = tmp_path / "plan.json"
    file.touch(mode=0)

    (line,) = problems_of(file)

    assert line.endswith("cannot be read: Permission denied")


def test_a_file_name_given_as_text_is_told_what_it_is():
    """A text that ends in ``.json`` is not meant as a job; a string never names a file."""
    with pytest.raises(PlanError, match=r"pass a pathlib\.Path"):
        load_plan("plans/plan.json")
