"""Every command that takes a plan takes a plan in YAML."""

from __future__ import annotations

import shlex

import pytest
from warm import run_warm

PLAN = """\
workflow:
  steps:
    - id: add
      expression: |
        def main(state):
            return {"data": state.data + 1, "day": "no"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A plan, a broken plan, a state and a test."""
    directory = tmp_path_factory.mktemp("yaml")
    (directory / "plan.yaml").write_text(PLAN)
    (directory / "bad.yml").write_text(PLAN + "      next: ad\n")
    (directory / "state.yaml").write_text("data: 1\nday: 2026-11-29\n")
    (directory / "add.job.yaml").write_text(
        "plan: plan.yaml\nstate: {data: 1}\nexpect:\n  state: {data: 2}\n"
    )
    return directory


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("validate plan.yaml", "plan.yaml: ok (1 step, 0 edges, starts with 'add')"),
        ("run plan.yaml --state state.yaml", '"data": 2'),
        ("enqueue plan.yaml --state state.yaml --id r --store sqlite:///s.db", "r"),
        ("schedule add s plan.yaml --cron '0 5 * * *' --store sqlite:///s.db", ""),
        ("test add.job.yaml", "1 passed"),
        ("run plan.yaml --state state.yaml --journal j", '"data": 2'),
        ("run plan.yaml --state state.yaml --journal j --only add", '"data": 2'),
    ],
)
def test_a_command_takes_it(folder, words, expected):
    """Each says what it says of the same plan in JSON."""
    done = run_warm(None, *shlex.split(words), cwd=folder, timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


@pytest.mark.parametrize("words", ["validate bad.yml", "run bad.yml", "enqueue bad.yml"])
def test_a_wrong_plan_is_refused_with_its_place(folder, words):
    """Nothing was started, and an editor can jump to the line."""
    done = run_warm(None, *shlex.split(words), cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: bad.yml:7:13: workflow.steps[0].next: no step has the id 'ad'; did you mean 'add'?\n"
    )


def test_check_names_the_command_for_plans(folder):
    """`check` is for jobs."""
    done = run_warm(None, "check", "plan.yaml", cwd=folder)
    assert "plan.yaml: is a plan; write jobcell validate plan.yaml" in done.stderr
