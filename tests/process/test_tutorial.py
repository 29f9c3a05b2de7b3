"""The tutorial does what it says, from its first file to its last."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from warm import run_warm

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
MARKED = re.compile(r"<!-- (file|test): (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def blocks(kind: str) -> list[tuple[str, str]]:
    """Return name and text of the blocks of `docs/tutorial.md` after marks of one kind."""
    return [(name, text) for found, name, text in MARKED.findall(PAGE.read_text()) if found == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with the files of the page, each as the page leaves it."""
    directory = tmp_path_factory.mktemp("tutorial")
    for name, text in blocks("file"):
        (directory / name).write_text(text)
    return directory


def call(folder: Path, name: str) -> list[subprocess.CompletedProcess[str]]:
    """Run the commands of a block, one after the other."""
    (text,) = (text for found, text in blocks("test") if found == name)
    words = [shlex.split(line[2:], comments=True) for line in text.splitlines()]
    assert all(line[0] == "jobcell" for line in words)
    return [run_warm(None, *line[1:], cwd=folder) for line in words]


def shown(beginning: str) -> str:
    """Return the output that the page shows, by its first words."""
    (text,) = re.findall(rf"```text\n({re.escape(beginning)}.*?)```", PAGE.read_text(), re.DOTALL)
    return text


def test_the_first_job_has_the_mistake_that_the_page_shows(folder):
    """The error names the line and what to write, and the mended job prints the shown state."""
    first, mended = (text for name, text in blocks("file") if name == "visits.py")
    (folder / "visits.py").write_text(first)

    (failed,) = call(folder, "first")
    (folder / "visits.py").write_text(mended)
    (ended,) = call(folder, "first")

    assert failed.returncode == 1
    for line in shown("RuntimeError").splitlines():
        assert line.strip() in failed.stderr
    assert ended.returncode == 0
    assert ended.stdout == shown("{\n")


def test_check_finds_the_forbidden_module(folder):
    """The shown line is the beginning of the printed line."""
    (found,) = call(folder, "check")

    assert found.returncode == 1
    assert found.stdout.startswith(shown("spy.py").strip().removesuffix("...)"))


def test_the_plan_takes_the_way_that_the_page_says(folder):
    """The late visit leads to the report."""
    checked, ended = call(folder, "plan")

    assert (checked.returncode, ended.returncode) == (0, 0)
    assert json.loads((folder / "final.json").read_text()) == {"data": "late: Ben"}
    assert len((folder / "events.jsonl").read_text().splitlines()) > 5


def test_the_adaptors_are_installed_and_used(folder):
    """They come with jobcell, so no index is asked."""
    made, added, listed = call(folder, "repo")
    (ended,) = call(folder, "adaptor")

    assert [item.returncode for item in (made, added, listed)] == [0, 0, 0]
    assert "common@1.0.0" in listed.stdout
    assert len(json.loads(ended.stdout)["data"]["batches"]) == 2


def test_the_program_ends_with_the_shown_result():
    """It prints the events, and the result last."""
    (text,) = (text for name, text in blocks("test") if name == "program")
    ended = run_warm(text)

    assert ended.stdout.splitlines()[-1] == "success {'data': 41}"
