"""A person at a terminal, and the files of a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from terminal import Person


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into the directory in which commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBCELL_REPO", raising=False)

    def to(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to


@pytest.fixture
def debug(tmp_path):
    """Starts `jobcell run ... --debug` on a terminal; see `Person` for the options."""
    people: list[Person] = []

    def start(*arguments: object, **options: Any) -> Person:
        person = Person("run", *arguments, "--debug", cwd=tmp_path, **options)
        people.append(person)
        return person

    yield start
    for person in people:
        person.__exit__()
