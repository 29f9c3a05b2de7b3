"""The code of the README and of the pages works as shown, and so does the example of `make run`."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from warm import run_warm

import engine

ROOT = Path(__file__).parents[2]
CLINIC = ROOT / "examples" / "clinic"


def example(page: str, name: str) -> str:
    text = (ROOT / page).read_text()
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)```", text, flags=re.DOTALL)
    assert found is not None
    return found[1]


def readme_example(name: str) -> str:
    return example("README.md", name)


def commands(page: str, name: str) -> list[list[str]]:
    """Return the commands of an example, without their comments."""
    lines = example(page, name).splitlines()
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run_warm(None, *words, cwd=folder)


def run_clinic(tmp_path, *options):
    output, events = tmp_path / "out.json", tmp_path / "events.jsonl"
    done = run_warm(
        *(None, "run", CLINIC / "plan.json", "--state", CLINIC / "state.json"),
        *("--output", output, "--events", events, *options),
    )
    assert done.returncode == 0, done.stderr
    lines = events.read_text().splitlines()
    return json.loads(output.read_text()), [json.loads(line) for line in lines]


def test_the_embedding_example_runs(capfd):
    """A reader may copy the example as it is."""
    script = run_warm(readme_example("embed"))

    assert script.returncode == 0, script.stderr
    assert script.stdout.splitlines()[0] == "1 workflow-start"
    assert script.stdout.splitlines()[-1] == "success {'data': 12}"


def test_the_job_example_runs():
    """The job is written as an author writes it."""
    people = [{"born": "2001-05-06"}, {"born": "1999-01-02"}]

    state = engine.run(readme_example("job"), {"data": {"people": people}})

    assert state == {"data": {"years": [1999, 2001]}}


def test_the_clinic_sorts_its_rows_and_survives_the_failing_step(tmp_path):
    """Of 300 rows, good ones are converted and bad ones reported; the failure is handled."""
    state, events = run_clinic(tmp_path)

    assert set(state) == {"queue", "reject"}
    queued = state["queue"]["data"]["queued"]
    rejected = state["reject"]["data"]
    assert sum(batch["patients"] for batch in queued) + rejected["rejected"] == 300
    assert len(rejected["lines"]) == rejected["rejected"] > 30
    assert sum(rejected["problems"].values()) > rejected["rejected"]
    kinds = [resource["resourceType"] for resource in state["queue"]["data"]["example"]]
    assert kinds == ["Patient", "Observation", "Observation"]

    (failed,) = [event for event in events if event["type"] == "job-error"]
    assert failed["step_id"] == "submit"
    assert failed["next"] == ["queue"]
    assert "confirm" not in {event.get("step_id") for event in events}


@pytest.mark.parametrize("end", ["validate"])
def test_the_clinic_can_be_stopped_half_way(tmp_path, end):
    """`--end` shows the data after a given step."""
    state, _ = run_clinic(tmp_path, "--end", end)

    assert len(state["data"]["good"]) + len(state["data"]["bad"]) == 300


@pytest.mark.parametrize(
    ("page", "name"), [("README.md", "make"), ("CONTRIBUTING.md", "contribute")]
)
def test_every_target_that_is_named_is_in_the_makefile(page, name):
    """The commands of the targets are other tests, or run these tests."""
    for program, *targets in commands(page, name):
        assert program == "make"
        done = subprocess.run(
            ["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_commands_of_the_readme_run(tmp_path):
    """The commands run in their order, in a clone with nothing else."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (pip, *_), *rest = commands("README.md", "commands")

    assert pip == "pip"  # this line is for a reader: the package is installed here
    for program, *words in rest:
        assert program == "jobcell"
        done = call(tmp_path, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert set(json.loads((tmp_path / "final.json").read_text())) == {"queue", "reject"}
    last = (tmp_path / "events.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["type"] == "workflow-complete"


def test_the_job_of_the_readme_runs_from_the_command_line(tmp_path):
    """The file and its state are those that the page says to make."""
    (tmp_path / "job.py").write_text(readme_example("job"))
    (echo, text, into, file), (program, *words) = commands("README.md", "run-job")
    assert (echo, into, program) == ("echo", ">", "jobcell")
    (tmp_path / file).write_text(text)

    done = call(tmp_path, *words)

    assert json.loads(done.stdout) == {"data": {"years": [2001]}}


def test_the_page_shows_what_check_says(tmp_path):
    """The page quotes the output of `jobcell check` word for word."""
    lines = [""] * 10
    lines[0] = "def main(state):"
    lines[2] = "    eval('1')"
    lines[8] = "    return state.__class__"
    (tmp_path / "fetch.py").write_text("\n".join(lines))
    (command,) = commands("docs/job-language.md", "check")
    assert command == ["jobcell", "check", "fetch.py"]

    shown = example("docs/job-language.md", "check").splitlines()[1:]

    done = call(tmp_path, *command[1:])
    assert [line for line in (done.stdout + done.stderr).splitlines() if line in shown] == shown


def test_the_three_forms_of_a_job_run(tmp_path):
    """Each form is as on the page, with an adaptor that has the verbs."""
    adaptor = (
        "def get(path, query):\n"
        "    return lambda state: {**state, 'data': [{'id': 7}], 'asked': [path, query(state)]}\n"
        "def fn(function):\n"
        "    return function\n"
    )
    (tmp_path / "http_.py").write_text(adaptor)
    options = engine.RunOptions(
        modules={"http_": engine.ModuleRef(path=str(tmp_path / "http_.py"))}
    )
    parts = re.split(r"^# \d\. .*\n", example("docs/job-language.md", "forms"), flags=re.MULTILINE)
    script, function, operations = parts[1:]
    state = {"data": {"cursor": 3}}

    def run(source, given):
        step = {"id": "a", "adaptor": "http_", "expression": source}
        return engine.run({"workflow": {"steps": [step]}}, given, options=options)

    assert run(script, state) == {
        "data": [{"id": 7}],
        "asked": ["patients", {"since": 3}],
        "n": 1,
    }
    assert run(function, {"data": [{"id": 7}]}) == {"data": [7]}
    defined = "def first(state): return {'n': 1}\ndef second(state): return {'n': state['n'] + 1}\n"
    assert run(defined + operations, {}) == {"n": 2}


def test_the_idioms_of_the_page_run():
    """Functions after an operation, camelCase names and fields that leave out what is missing."""
    modules = {"common": engine.ModuleRef(path=str(ROOT / "adaptors" / "common" / "common"))}
    step = {
        "id": "a",
        "adaptor": "common",
        "expression": example("docs/job-language.md", "idioms"),
    }
    final = engine.run(
        {"workflow": {"steps": [step]}},
        {"divisor": 0, "rows": ["a", "b"], "data": {"name": "Ada"}},
        options=engine.RunOptions(modules=modules),
    )
    assert final["problem"] == "division by zero"
    assert (final["seen"], final["done"]) == ([0, 1], True)
    assert final["body"] == {}  # `each` has left the last item in `data`


def test_the_repo_of_the_page_can_be_read(tmp_path):
    """The entry of the repo names a version that a step can have."""
    (tmp_path / "common_1.0.0" / "common").mkdir(parents=True)
    (tmp_path / "common_1.0.0" / "common" / "__init__.py").write_text("def fn(f): return f\n")
    (tmp_path / "repo.json").write_text(example("docs/repo.md", "repo.json"))
    step = {"id": "a", "adaptor": "common@1.0.0", "expression": "fn(lambda state: {'n': 1})"}
    assert engine.run({"workflow": {"steps": [step]}}, {}, repo_dir=tmp_path) == {"n": 1}


def test_the_typed_manager_runs_its_plan_in_both_styles():
    """The program that the type checkers read is one that works."""
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "typed_manager.py"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.count("info: loading") == 2
    assert ended.stdout.count("\nsuccess {'data': 12}") == 2
