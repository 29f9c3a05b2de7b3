"""The examples of docs/surviving.md behave as the page says."""

import json
import re
import shlex
from pathlib import Path

import pytest
from warm import run_warm

import engine

PAGE = (Path(__file__).parents[2] / "docs" / "surviving.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL))


@pytest.fixture(scope="module")
def shared():
    options = engine.RunOptions(permissions=engine.Permissions(net=("api.example.org:443",)))
    with engine.Engine(max_runs=1, options=options) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def test_the_commands_of_the_page_run(tmp_path):
    """Each command is run as it is written, one after the other."""
    add = "def main(state):\n    return {'data': state.data + 1}\n"
    steps = [
        {"id": "first", "expression": add, "next": "second"},
        {"id": "second", "expression": add, "next": "third"},
        {"id": "third", "expression": add},
    ]
    (tmp_path / "plan.json").write_text(json.dumps({"workflow": {"steps": steps}}))
    (tmp_path / "state.json").write_text('{"data": 0}')
    results = []
    for line in (EXAMPLES["resume"] + EXAMPLES["part"]).splitlines():
        program, *words = shlex.split(line.removeprefix("$ "))
        assert program == "jobcell"
        done = run_warm(None, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout)["data"])
    assert results == [3, 3, 3, 2]


def test_the_step_of_the_page_is_tried_three_times(shared):
    """Two of the errors say when the next attempt begins."""
    run = shared.execute(EXAMPLES["retry"])
    assert run.result(30).reason == "fail"
    failed = [event for event in run.poll(after=0) if event.type == "job-error"]
    assert [(one.attempt, one.retry_in_ms is None) for one in failed] == [
        (1, False),
        (2, False),
        (3, True),
    ]


def test_the_limit_of_the_page_fails_the_step(shared):
    """The run goes on in a second child."""
    result = shared.execute(EXAMPLES["death"]).result(30)
    assert (result.reason, result.state["data"], result.children) == ("success", "TimeoutError", 2)


def test_the_steps_of_the_page_have_a_child_each(shared):
    """Each set of permissions has a child of its own."""
    result = shared.execute(EXAMPLES["permissions"]).result(30)
    assert (result.reason, result.state, result.children) == ("success", {"data": 2}, 2)
