"""The adaptor of docs/writing-adaptors.md works as the page shows it."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from warm import run_warm

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "writing-adaptors.md"
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@pytest.fixture
def ledger(tmp_path):
    """Write the files of the page into a directory."""
    for name, text in BLOCK.findall(PAGE.read_text()):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


def repo_with(ledger):
    """Make a repo of the page's adaptor, as `jobcell repo add` would."""
    entry = {"name": "ledger", "version": "1.0.0", "path": "ledger_1.0.0", "module": "ledger"}
    (ledger / "repo" / "ledger_1.0.0").mkdir(parents=True)
    (ledger / "ledger").rename(ledger / "repo" / "ledger_1.0.0" / "ledger")
    (ledger / "repo" / "repo.json").write_text(json.dumps({"adaptors": [entry]}))
    return ledger / "repo"


def plan_for(expression):
    """Return a plan of one step that uses the page's adaptor."""
    step = {"id": "a", "expression": expression, "adaptor": "ledger@1.0.0"}
    return {"workflow": {"steps": [step]}}


def test_the_page_has_every_file_that_it_lists(ledger):
    """The listing at the top of the page shows the files of the blocks below it."""
    listing = re.search(r"```text\nledger/\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    named = {line.split()[0] for line in listing.splitlines()}
    assert named == {
        str(path.relative_to(ledger)) for path in ledger.rglob("*") if path.is_file()
    } - {"job.py", "final_state.json"}


def test_the_package_is_described_as_a_distribution(ledger):
    """Name, version and packages in the page's pyproject.toml are those of its other files."""
    project = tomllib.loads((ledger / "pyproject.toml").read_text())
    assert project["project"]["name"] == "ledger"
    assert [(ledger / name).is_dir() for name in project["tool"]["setuptools"]["packages"]] == [
        True
    ]


def test_the_tests_of_the_page_pass(ledger):
    """The tests run as the page says, in a process of their own, without the engine."""
    shown = "<!-- test: pytest -->\n```console\n$ python -m pytest\n```"
    assert shown in PAGE.read_text()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        command, cwd=ledger, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_the_commands_of_the_page_put_the_adaptor_into_a_repo(
    ledger, tmp_path_factory, monkeypatch
):
    """The package has no code to build, so its directory is copied, and no index is asked."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = tmp_path_factory.mktemp("author")
    shutil.copytree(ledger, folder / "ledger")
    name = "into-a-repo"
    marked = re.search(rf"<!-- test: {name} -->\n```console\n(.*?)```", PAGE.read_text(), re.DOTALL)

    for line in marked[1].splitlines():
        program, *words = line.removeprefix("$ ").split()
        assert program == "jobcell"
        done = run_warm(None, *words, cwd=folder)
        assert done.returncode == 0, done.stderr

    assert (folder / "stubs" / "ledger" / "__init__.pyi").is_file()
    (entry,) = json.loads((folder / "repo" / "repo.json").read_text())["adaptors"]
    assert (entry["name"], entry["version"]) == ("ledger", "1.0.0")


def test_the_verbs_of_the_page_are_typed(ledger):
    """The code of the page passes mypy as strictly as our own code."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null", "-p", "ledger"],
        cwd=ledger,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_job_of_the_page_uses_public_verbs_only(ledger):
    """Every function that the job calls is in the adaptor's __all__."""
    calls = {
        node.func.id
        for node in ast.walk(ast.parse((ledger / "job.py").read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    public = re.search(
        r"^__all__ = (.*)$", (ledger / "ledger" / "__init__.py").read_text(), re.MULTILINE
    )[1]
    assert calls <= set(ast.literal_eval(public))


def test_the_job_of_the_page_ends_with_the_state_that_it_says(ledger):
    """The adaptor and the job of the page give the final state of the page."""
    import engine

    plan = plan_for((ledger / "job.py").read_text())

    state = engine.run(plan, {"data": {"opening": 10}}, repo_dir=repo_with(ledger))

    assert state == json.loads((ledger / "final_state.json").read_text())


def test_an_error_of_the_page_is_reported_as_the_page_says(ledger):
    """The step fails with an AdaptorError whose details have the public attributes."""
    import engine

    errors = engine.run(plan_for('book("cash", -4)'), {"data": {}}, repo_dir=repo_with(ledger))[
        "errors"
    ]

    assert errors["a"]["name"] == "AdaptorError"
    assert errors["a"]["message"] == "account 'cash' would be overdrawn by 4"
    wanted = {"type": "LedgerError", "account": "cash", "amount": -4, "balance": 0}
    assert wanted.items() <= errors["a"]["details"].items()
