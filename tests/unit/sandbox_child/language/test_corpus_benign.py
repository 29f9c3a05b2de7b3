"""The jobs of the benign corpus run, and give the state in their header."""

import json
import re
from pathlib import Path

import pytest

JOBS = sorted((Path(__file__).parents[3] / "jobs" / "benign").glob("*.py"))


def _header(source, key):
    return json.loads(re.search(rf"^# {key}:\s*(.*)$", source, re.MULTILINE)[1])


def _as_json(value):
    return json.loads(json.dumps(value))


def test_there_are_jobs():
    """An empty directory would pass every test below."""
    assert len(JOBS) > 30


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_benign_jobs_run_as_functions(result_of, path):
    """The second form: ``def main(state)``."""
    source = path.read_text()
    assert _as_json(result_of(source, _header(source, "in"))) == _header(source, "out")


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_benign_jobs_run_as_scripts(result_of, path):
    """The first form: the same function, given to a top-level call."""
    source = path.read_text()
    script = re.sub(r"\bmain\b", "job", source) + "\nfn(job)\n"
    assert _as_json(result_of(script, _header(source, "in"))) == _header(source, "out")


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_benign_jobs_run_as_lists(result_of, path):
    """The third form: ``operations = [...]``."""
    source = path.read_text()
    listed = re.sub(r"\bmain\b", "job", source) + "\noperations = [job]\n"
    assert _as_json(result_of(listed, _header(source, "in"))) == _header(source, "out")


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_benign_jobs_run_without_the_language_wall(result_of, path):
    """A job that passes with the wall is Python, so it gives the same result without the wall."""
    source = path.read_text()
    result = result_of(source, _header(source, "in"), language=False)
    assert _as_json(result) == _header(source, "out")
