"""The page about the command line does what it says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from warm import run_warm

PAGE = Path(__file__).parents[2] / "docs" / "running.md"
MARKED = re.compile(r"<!-- (file|test): (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def blocks(kind: str) -> list[tuple[str, str]]:
    """Return name and text of the blocks of `docs/running.md` after marks of one kind."""
    return [(name, text) for found, name, text in MARKED.findall(PAGE.read_text()) if found == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with the files of the page."""
    directory = tmp_path_factory.mktemp("running")
    for name, text in blocks("file"):
        path = directory / name
        path.write_text(text)
        path.chmod(0o600)
    return directory


def call(folder: Path, name: str) -> list[subprocess.CompletedProcess[str]]:
    """Run the commands of a block, one after the other."""
    (text,) = (text for found, text in blocks("test") if found == name)
    words = [shlex.split(line[2:], comments=True) for line in text.splitlines()]
    assert all(line[0] == "jobcell" for line in words)
    done = [run_warm(None, *line[1:], cwd=folder) for line in words]
    for one in done:
        assert one.returncode == 0, one.stderr
    return done


def shown(beginning: str) -> str:
    """Return the output that the page shows, by its first words."""
    (text,) = re.findall(rf"```text\n({re.escape(beginning)}.*?)```", PAGE.read_text(), re.DOTALL)
    return text


def test_a_part_of_a_plan_runs_by_the_name_of_a_step(folder):
    """The steps of the page give these states, and a near name is said."""
    whole, alone, rest = (json.loads(done.stdout)["data"] for done in call(folder, "part"))
    assert (whole, alone, rest) == ("2 late visits", 2, "2 late visits")
    (near,) = call(folder, "near")
    assert json.loads(near.stdout) == {"data": 2}
    assert shown("--only:") in near.stderr


def test_a_plan_may_be_yaml(folder):
    """The page's plan in YAML is valid, and runs."""
    valid, ran = call(folder, "yaml")
    assert valid.stdout.startswith("plan.yaml: ok (2 steps, 1 edge")
    assert json.loads(ran.stdout) == {"data": 1}


def test_credentials_come_from_an_env_file(folder):
    """The job has the password of the page, and the log does not show it."""
    (done,) = call(folder, "credentials")
    assert "correct horse" not in done.stdout + done.stderr
    assert "logs in with [redacted]" in done.stderr


def test_results_of_steps_are_kept(folder, tmp_path, monkeypatch):
    """The second run takes all of them, and the third none."""
    monkeypatch.setenv("JOBCELL_CACHE_DIR", str(tmp_path))
    first, second, third, cleared = call(folder, "cache")
    assert shown("cache:") in second.stderr
    assert "cache:" not in first.stderr + third.stderr
    assert first.stdout == second.stdout == third.stdout
    assert "3 results removed" in cleared.stdout
