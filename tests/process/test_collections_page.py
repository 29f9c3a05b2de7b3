"""The examples of docs/collections.md behave as the page says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from warm import run_warm

PAGE = (Path(__file__).parents[2] / "docs" / "collections.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL))
FILES = dict(re.findall(r'```\w+ title="(.*?)"\n(.*?)```', PAGE, flags=re.DOTALL))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with the files of the page."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def command(text: str, here: Path) -> str:
    """Run the commands of an example, and return the output of the last one."""
    env = {"XDG_STATE_HOME": str(here / "state")}
    output = ""
    for line in text.splitlines():
        words = shlex.split(line.removeprefix("$ jobcell "))
        done = run_warm(None, *words, cwd=here, env=env)
        assert done.returncode == 0, done.stderr
        output = done.stdout
    return output


def test_the_second_run_knows_what_the_first_one_has_set(here: Path):
    """The commands of the page run in their order."""
    command(EXAMPLES["install"], here)
    first = json.loads(command(EXAMPLES["remember"], here))
    second = json.loads(command(EXAMPLES["remember"], here))
    assert first["before"] == {}
    assert second["before"] == json.loads(FILES["visit.json"])["visit"]


def test_the_operator_lists_and_removes_a_collection(here: Path):
    """The commands work on the default store, as those of the jobs do."""
    command(EXAMPLES["install"] + EXAMPLES["remember"], here)
    listed = command("$ jobcell store collections", here)
    assert listed.splitlines()[1].split()[:3] == ["default", "visits", "1"]
    assert "removed the collection 'visits'" in command(EXAMPLES["look_after"], here)
    assert command("$ jobcell store collections", here) == "no collections\n"


def test_a_program_keeps_values_for_a_tenant(here: Path):
    """The program of the page prints the items."""
    command(EXAMPLES["install"], here)
    done = run_warm(EXAMPLES["program"], cwd=here)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[{'key': 'p-7', 'value': {'day': '2024-05-06'}}]\n"
