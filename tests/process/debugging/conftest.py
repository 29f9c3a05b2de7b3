"""A person at a terminal, and the files of a job."""

from __future__ import annotations

import json
from pathlib import Path

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
    """Starts `jobcell run ... --debug` on a terminal."""
    people: list[Person] = []

    def start(*arguments: object, environment: dict[str, str] | None = None) -> Person:
        person = Person("run", *arguments, "--debug", cwd=tmp_path, environment=environment or {})
        people.append(person)
        return person

    yield start
    for person in people:
        person.__exit__()
