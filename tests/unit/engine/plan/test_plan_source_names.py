"""A string is the source of a job; a string that is the name of a file is refused with the remedy."""

from __future__ import annotations

import pytest

from engine.api.errors import PlanError
from engine.plan.source import read_plan


@pytest.mark.parametrize("name", ["job.py", "jobs/fetch.py", "./job.py", "plan.json", "fetch job"])
def test_the_name_of_a_file_is_not_taken_for_a_job(tmp_path, monkeypatch, name):
    """A caller that passes such a string means the file, so the error says to pass a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("fn(lambda state: state)")

    with pytest.raises(PlanError, match=r"not the name of a file; pass a pathlib\.Path"):
        read_plan(name)


@pytest.mark.parametrize("source", ["job.py", "missing/plan.json"])
def test_what_looks_like_a_file_is_refused_even_if_it_is_not_there(source):
    """The source of a job does not look like the name of a file."""
    with pytest.raises(PlanError, match=r"pass a pathlib\.Path"):
        read_plan(source)


@pytest.mark.parametrize(
    "source",
    ["fn(lambda state: state)", "get('data.json')", "f(x).py", "a\nb.py", "x" * 5000, "\0"],
)
def test_a_job_is_not_taken_for_a_file(source):
    """Job sources are accepted, and so are texts that cannot be the name of a file."""
    assert read_plan(source)["workflow"]["steps"] == [{"expression": source}]
