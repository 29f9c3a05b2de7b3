"""A plan file may name the files of its jobs; a problem in either is reported with its place."""

import json
from pathlib import Path

import pytest

from jobcell.input.inputs import BadInputError
from jobcell.input.plan_file import load_plan_file


@pytest.fixture
def write(tmp_path):
    def write(name: str, content) -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def lines_of(path, **options):
    with pytest.raises(BadInputError) as raised:
        load_plan_file(path, **options)
    return list(raised.value.lines)


@pytest.mark.parametrize("key", ["steps", "jobs"])
@pytest.mark.parametrize("flat", [False, True])
def test_an_expression_may_be_the_path_of_a_job(write, key, flat):
    """The path is relative to the plan, and not to the working directory."""
    write("jobs/a.py", "def main(state): return state\n")
    workflow = {key: [{"id": "a", "expression": "jobs/a.py"}, {"id": "b", "expression": "x.py\n"}]}

    plan = load_plan_file(write("plan.json", workflow if flat else {"workflow": workflow}))

    assert [step.expression for step in plan.workflow.steps] == [
        "def main(state): return state\n",
        "x.py\n",
    ]


def test_a_job_file_is_a_plan_of_one_step(write):
    """The step has the adaptors of the command line."""
    plan = load_plan_file(write("job.py", "x = 1"), adaptors=["common@1.0.0", "rest"])

    (step,) = plan.workflow.steps
    assert (step.id, step.expression, step.adaptors) == ("job-1", "x = 1", ("common@1.0.0", "rest"))


def test_missing_jobs_and_other_problems_are_told_together(write, tmp_path):
    """The command does not stop at the first problem."""
    (tmp_path / "binary.py").write_bytes(b"\x7fELF\x80")
    plan = write(
        "plan.json",
        {
            "workflow": {
                "steps": [
                    {"id": "a", "expression": "nowhere.py", "next": "c"},
                    {"id": "b", "expression": "binary.py"},
                ]
            },
            "option": {},
        },
    )

    assert lines_of(plan) == [
        (
            f"{plan}: workflow.steps[0].expression: nowhere.py cannot be read: "
            "No such file or directory"
        ),
        f"{plan}: workflow.steps[1].expression: binary.py is not text: byte 5 is not UTF-8",
        f"{plan}: option: unknown key; did you mean 'options'?",
        f"{plan}: workflow.steps[0].next: no step has the id 'c'; did you mean 'b'?",
    ]


@pytest.mark.parametrize(
    ("name", "content", "end"),
    [
        ("plan.json", "[]", "must be an object with a workflow, not a list"),
        (
            "plan.json",
            "{",
            "is not JSON: Expecting property name enclosed in double quotes at line",
        ),
        ("plan.json", "{}", "workflow: is missing; a plan has a workflow, which has steps"),
        ("plan.json", '{"workflow": {"steps": []}}', "workflow.steps: is empty;"),
        ("job.py", " \n", "is empty; a job has operations, or a function main"),
        ("plan.toml", "", "must be a plan (.json, .yaml) or a job (.py)"),
    ],
)
def test_a_file_that_holds_no_plan_is_told_in_one_line(write, name, content, end):
    """The line begins with the file, as a compiler writes it, so that an editor can jump to it."""
    file = write(name, content)

    (line,) = lines_of(file)

    assert line.startswith(f"{file}: {end}")


def test_a_directory_is_no_plan(tmp_path):
    """A place that does not exist gives an error as well."""
    assert lines_of(tmp_path) == [
        f"{tmp_path}: is a directory; give a plan (.json, .yaml) or a job (.py)"
    ]
    missing = tmp_path / "plan.json"
    assert lines_of(missing) == [f"{missing}: cannot be read: No such file or directory"]


def test_adaptors_are_for_a_single_job(write):
    """A plan names the adaptors of each step itself."""
    plan = write("plan.json", {"workflow": {"steps": [{"expression": "x"}]}})

    (line,) = lines_of(plan, adaptors=["rest"])

    assert "--adaptor is for a single job" in line


def test_a_job_file_that_is_empty_is_told_with_its_step(write):
    """An empty file would make a trigger of the step."""
    write("empty.py", " \n")
    plan = write("plan.json", {"workflow": {"steps": [{"id": "a", "expression": "empty.py"}]}})
    [line] = lines_of(plan)
    place, _, message = line.partition("expression: ")
    assert place == f"{plan}: workflow.steps[0]."
    assert message == "empty.py is empty; a job has operations, or a function main"


def test_a_key_that_is_ignored_is_told_with_the_file(write):
    """Each ignored key gives a single warning."""
    steps = [{"id": "a", "openfn": 1}, {"id": "b", "openfn": 2}]
    plan, lines = write("plan.json", {"workflow": {"steps": steps}}), []
    load_plan_file(plan, warn=lines.append)
    place = "'openfn' (workflow.steps[0].openfn)"
    assert lines == [f"{plan}: the key {place} is ignored: it has no meaning for a run"]


YAML_PLAN = """\
workflow:
  steps:
    - id: a
      name: no
      expression: jobs/a.py
      next:
        b: true
    - id: b
      expression: |
        def main(state):
            return state
      state: {data: {day: 2026-11-29, on: off}}
"""


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_plan_may_be_yaml(write, suffix):
    """It is the same plan as in JSON, and its jobs may be files as well."""
    write("jobs/a.py", "def main(state): return state\n")
    plan = load_plan_file(write(f"plan{suffix}", YAML_PLAN))

    first, second = plan.workflow.steps
    assert (first.name, first.expression) == ("no", "def main(state): return state\n")
    assert second.expression == "def main(state):\n    return state\n"
    assert second.state == {"data": {"day": "2026-11-29", "on": "off"}}


def test_a_problem_of_a_yaml_plan_has_line_and_column(write):
    """An editor can jump to each problem, also to that of a job file that is missing."""
    text = YAML_PLAN.replace("        b: true", "        c: no\n        'd e': x")
    plan = write("plan.yaml", text)
    assert lines_of(plan) == [
        f"{plan}:5:19: workflow.steps[0].expression: jobs/a.py cannot be read: No such file or directory",
        f"{plan}:7:12: workflow.steps[0].next.c: no step has the id 'c'; did you mean 'b'?",
        f"{plan}:8:16: workflow.steps[0].next['d e']: no step has the id 'd e'; there are: 'a', 'b'",
    ]


def test_a_yaml_plan_that_is_not_an_object_is_one_error(write):
    """An empty file is a value as well: null."""
    plan = write("plan.yaml", "")
    assert lines_of(plan) == [f"{plan}: must be an object with a workflow, not null"]


@pytest.mark.parametrize("flat", [False, True])
def test_globals_and_the_state_of_a_step_may_be_files(write, flat):
    """Both are relative to the plan; the engine gets their content."""
    write("lib/help.py", "def twice(n): return 2 * n\n")
    write("data/a.json", {"data": 1})
    write("data/b.yaml", "data: {country: no}\n")
    step = {"expression": "x = 1"}
    workflow = {
        "globals": "lib/help.py",
        "steps": [{"id": "a", "state": "data/a.json", **step}, {"state": "data/b.yaml", **step}],
    }

    plan = load_plan_file(write("plan.json", workflow if flat else {"workflow": workflow}))

    assert plan.workflow.globals == "def twice(n): return 2 * n\n"
    assert [step.state for step in plan.workflow.steps] == [
        {"data": 1},
        {"data": {"country": "no"}},
    ]


def test_a_part_that_cannot_be_read_is_a_problem_of_the_plan(write):
    """No line shows the content of a state: its configuration may have secrets."""
    write("list.json", [1])
    write("bad.yaml", "configuration: {password: *s3cret-s3cret}\n")
    write("bad.json", '{"a": s3cret}')
    step = {"expression": "x = 1"}
    states = ["no.json", "list.json", "bad.yaml", "bad.json"]
    workflow = {"globals": "no.py", "steps": [{"state": one, **step} for one in states]}
    plan = write("plan.json", {"workflow": workflow})

    assert lines_of(plan) == [
        f"{plan}: workflow.globals: no.py cannot be read: No such file or directory",
        f"{plan}: workflow.steps[0].state: no.json cannot be read: No such file or directory",
        f"{plan}: workflow.steps[1].state: list.json must be an object, not a list",
        f"{plan}: workflow.steps[2].state: bad.yaml:1:27: has an alias; write the value again",
        f"{plan}: workflow.steps[3].state: bad.json is not JSON: Expecting value at line 1, column 7",
    ]
