"""`jobcell run --cache-steps` takes results of earlier runs if nothing that they depend on has changed."""

from __future__ import annotations

import json
import os
import stat

import pytest
from warm import run_warm

SECRET = "hunter2-hunter2"
ADD = "def main(state):\n    print('ran {0}')\n    return {{'data': state.data + ['{0}']}}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s.json").write_text('{"data": []}')
    write(tmp_path)
    return tmp_path


def write(folder, **changes):
    """Write a plan with the steps a, b and c in a row; a keyword changes the job of a step."""
    steps = [
        {"id": one, "expression": changes.get(one, ADD.format(one))}
        | ({"next": after} if after else {})
        for one, after in (("a", "b"), ("b", "c"), ("c", None))
    ]
    (folder / "plan.json").write_text(json.dumps({"workflow": {"steps": steps}}))


def run(folder, *words):

    return run_warm(
        None,
        "run",
        "plan.json",
        "--state",
        "s.json",
        "--cache-steps",
        *words,
        cwd=folder,
        env={**os.environ, "JOBCELL_CACHE_DIR": str(folder / "cache")},
    )


def ran(done):
    assert done.returncode == 0, done.stderr
    return [line.rpartition("ran ")[2] for line in done.stderr.splitlines() if "info: ran" in line]


def test_a_second_run_takes_all_results_and_says_so(folder):
    """The final state is the same, and no job has run."""
    first, second, fresh = run(folder), run(folder), run(folder, "--no-cache")
    assert [ran(done) for done in (first, second, fresh)] == [list("abc"), [], list("abc")]
    assert first.stdout == second.stdout == fresh.stdout
    assert (
        "cache: results of 3 of 3 steps are taken from earlier runs: 'a', 'b', 'c'"
        " (--no-cache runs them again)"
    ) in second.stderr
    assert "journal" not in second.stderr
    assert "cache:" not in first.stderr + fresh.stderr


def test_a_changed_step_runs_with_all_after_it(folder):
    """The results of both versions stay."""
    run(folder)
    write(folder, b=ADD.format("b") + "# changed\n")
    assert ran(run(folder)) == ["b"] or ran(run(folder)) == []
    write(folder, b=ADD.format("other"))
    assert ran(run(folder)) == ["other", "c"]
    write(folder)
    assert ran(run(folder)) == []
    (folder / "s.json").write_text('{"data": [0]}')
    assert ran(run(folder)) == list("abc")


def test_globals_and_other_facts_count(folder):
    """A result depends on the helper functions of the workflow, and on the edges of its step."""
    run(folder)
    plan = json.loads((folder / "plan.json").read_text())
    plan["workflow"]["globals"] = "def help(): return 1\n"
    (folder / "plan.json").write_text(json.dumps(plan))
    assert ran(run(folder)) == list("abc")


def test_an_adaptor_whose_files_have_changed_counts(folder):
    """The version stays the same while an author works on it."""
    for words in (("init", "repo"), ("add", "common", "--repo", "repo")):
        assert run_warm(None, "repo", *words, cwd=folder).returncode == 0
    step = {
        "id": "a",
        "expression": "fn(lambda state: state)\nlog('ran a')",
        "adaptors": ["common"],
    }
    (folder / "plan.json").write_text(json.dumps({"workflow": {"steps": [step]}}))
    assert "cache:" not in run(folder).stderr
    assert "cache: results of 1 of 1 steps" in run(folder).stderr
    with next(folder.glob("repo/common_*/common/__init__.py")).open("a") as file:
        file.write("# changed\n")
    assert "cache:" not in run(folder).stderr


def test_a_result_with_a_secret_is_not_kept(folder):
    """Such a step runs each time, and so do the steps after it."""
    (folder / "c.json").write_text(json.dumps({"crm": {"password": SECRET}}))
    (folder / "c.json").chmod(0o600)
    plan = json.loads((folder / "plan.json").read_text())
    plan["workflow"]["steps"][1] |= {
        "configuration": "crm",
        "expression": ADD.format("b").replace("+ ['b']", "+ [state.configuration['password']]"),
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    for expected in (list("abc"), list("bc")):
        assert ran(run(folder, "--credentials", "c.json")) == expected
    kept = b"".join(path.read_bytes() for path in folder.rglob("*.step"))
    assert b"data" in kept
    assert SECRET.encode() not in kept


def test_a_failed_step_is_not_kept(folder):
    """It runs again."""
    write(folder, b="def main(state):\n    print('ran b')\n    1 / 0\n")
    assert ran(run(folder)) == list("abc")
    assert ran(run(folder)) == list("bc")


@pytest.mark.parametrize(
    ("edges", "known"),
    [
        ({"a": True}, 4),
        ({"a": "state is not None"}, 0),  # only the child knows where a condition leads
    ],
)
def test_branches_are_taken_in_the_order_of_the_walk(folder, edges, known):
    """A trigger passes the state on; a step that is reached twice is left to the run."""
    both = {"b": "len(state.data) > 0", "c": True, "z": "len(state.data) > 9"}
    steps = [
        {"id": "start", "next": edges},
        {"id": "a", "expression": ADD.format("a"), "next": both},
        {"id": "b", "expression": ADD.format("b"), "next": "d"},
        {"id": "c", "expression": ADD.format("c"), "next": "e"},
        *({"id": one, "expression": ADD.format(one), "next": "last"} for one in "de"),
        *({"id": one, "expression": ADD.format(one)} for one in ("z", "last")),
    ]
    steps[4] = {**steps[4], "next": "last"}
    (folder / "plan.json").write_text(json.dumps({"workflow": {"steps": steps}}))
    first, second = run(folder), run(folder)
    assert ran(first) == ["a", "b", "c", "d", "e", "last", "last"]
    assert len(ran(second)) == (2 if known else 7)
    assert first.stdout == second.stdout


def test_the_directory_is_private_or_not_used(folder):
    """Other users can neither read results nor give us theirs."""
    run(folder)
    cache = folder / "cache" / "steps"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o600}
    cache.chmod(0o770)
    done = run(folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "other users may use it" in done.stderr
    assert f"chmod 700 {cache}" in done.stderr


def test_damaged_results_are_run_again(folder):
    """Each file may be cut or replaced by other bytes."""
    run(folder)
    for number, path in enumerate(sorted((folder / "cache" / "steps").glob("*.step"))):
        path.write_bytes(path.read_bytes()[:-3] if number else b"\xff" * 9)
    assert ran(run(folder)) == list("abc")


def test_clear_removes_all_results(folder):
    """The number is printed."""

    run(folder)
    env = {**os.environ, "JOBCELL_CACHE_DIR": str(folder / "cache")}
    for count in (3, 0):
        done = run_warm(None, "cache", "clear", cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
        assert f"{count} results removed" in done.stdout
    assert ran(run(folder)) == list("abc")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cache-steps", "--journal", "j"], "--cache-steps: --journal is given as well"),
        (["--no-cache"], "--no-cache: has a meaning only with --cache-steps"),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, words, message):
    """Nothing runs."""
    done = run_warm(None, "run", "plan.json", *words, cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
