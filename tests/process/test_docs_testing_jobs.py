"""The files on the page about testing jobs work as the page shows them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from warm import run_warm

PAGE = Path(__file__).parents[2] / "docs" / "testing-jobs.md"
FILES = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write every file of the page into one folder."""
    written = tmp_path_factory.mktemp("jobs")
    for name, text in FILES.findall(PAGE.read_text()):
        (written / name).write_text(text)
    return written


def environment():
    return {name: value for name, value in os.environ.items() if name != "JOBCELL_REPO"}


def test_the_tests_of_the_page_pass(folder):
    """A reader may copy the tests as they are."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", os.devnull, "--rootdir", ".", "-p", "jobcell.testing.plugin", "."),
        ],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "12 passed" in done.stdout


@pytest.mark.parametrize("words", [("check", "years.py"), ("validate", "plan.json")])
def test_the_commands_of_the_page_find_nothing(folder, words):
    """The job and the plan of the page are correct."""
    done = run_warm(None, *words, cwd=folder, env=environment())
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_page_says_of_warnings_is_true(folder):
    """The command finds a verb of the job itself whose operation is thrown away."""
    lost = (
        "def put(k): return lambda state: state\ndef main(state):\n    put(1)\n    return state\n"
    )
    (folder / "lost.py").write_text(lost)
    done = run_warm(None, "check", "lost.py", cwd=folder, env=environment())
    assert (done.returncode, "put(...) on line 3" in done.stdout) == (1, True)
