"""`jobcell new`: a small project with jobs, a plan, tests, and settings for editors."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from jobcell.input.errors import BadInputError
from jobcell.output.exit_codes import SUCCESS

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_PLAN: Final = {
    "workflow": {
        "name": "",
        "steps": [
            {"id": "select", "expression": "jobs/select.py", "next": {"report": "state.n > 0"}},
            {"id": "report", "expression": "jobs/report.py"},
        ],
    }
}

_SELECT: Final = """def main(state):
    adults = [person for person in state.data.people if person["age"] >= 18]
    return {**state, "adults": adults, "n": len(adults)}
"""
_REPORT: Final = """def main(state):
    names = ", ".join(person["name"] for person in state.adults)
    print(f"{state.n} adults: {names}")
    return {**state, "report": names}
"""
_STATE: Final = {"data": {"people": [{"name": "Ada", "age": 36}, {"name": "Tim", "age": 7}]}}

_YAML: Final = """job: ../jobs/select.py
cases:
  - name: only adults are selected
    state:
      data: {people: [{name: Ada, age: 36}, {name: Tim, age: 7}]}
    expect:
      state: {adults: [{name: Ada, age: 36}], n: 1}
  - name: an age that is missing is an error
    state:
      data: {people: [{name: Ada}]}
    expect:
      error: {name: KeyError, message: age}
"""
_TEST: Final = """import pytest


@pytest.mark.parametrize(("ages", "steps"), [([7], ["select"]), ([36], ["select", "report"])])
def test_only_adults_are_reported(run_plan, ages, steps):
    people = [{"name": "Ada", "age": age} for age in ages]
    state = run_plan("../plan.json", {"data": {"people": people}})
    assert state.steps == steps
"""
_README: Final = """# {name}

```console
$ jobcell validate plan.json
$ jobcell run plan.json --state state.json
$ jobcell test
$ jobcell run plan.json --state state.json --events run.jsonl
$ jobcell report run.jsonl --plan plan.json
$ jobcell stubs -o stubs
```

- `plan.json`: the workflow
- `jobs/`: a file for each job
- `tests/`: tests of the jobs and the plan
- `stubs/`: what an editor knows about the language of jobs; make it again when the adaptors change
"""
_SETTINGS: Final = {
    "python.analysis.stubPath": "stubs",
    "python.analysis.extraPaths": ["stubs"],
    "python.analysis.typeshedPaths": ["stubs/typeshed"],
    "python.testing.pytestEnabled": True,
    "files.associations": {"*.job.yaml": "yaml"},
}
_PYRIGHT: Final = {
    "include": ["jobs"],
    "stubPath": "stubs",
    "extraPaths": ["stubs"],
    "typeshedPath": "stubs/typeshed",
}
_IGNORE: Final = "__pycache__/\n.pytest_cache/\nrun.html\n*.jsonl\n"


def run(target: Path) -> int:
    """Make a project in a new directory; return the exit code.

    Raises:
        BadInputError: The directory is not empty, cannot be made, or has no name for a project.

    """
    name = target.resolve().name
    if not _NAME.fullmatch(name):
        message = f"{name!r} is not a name for a project: use letters, digits, '.', '_' and '-'"
        raise BadInputError([message])
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise BadInputError([f"{target}: is there already; give a new or an empty directory"])
        for place, content in _files(name).items():
            path = target / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise BadInputError([f"{target}: cannot be made: {error.strerror}"]) from None
    _write_stubs(target)
    print(f"{target} is ready. Go on with: cd {target} && jobcell test", file=sys.stderr)
    return SUCCESS


def _files(name: str) -> dict[str, str]:
    plan = json.loads(json.dumps(_PLAN))
    plan["workflow"]["name"] = name
    return {
        "plan.json": _json(plan),
        "state.json": _json(_STATE),
        "jobs/select.py": _SELECT,
        "jobs/report.py": _REPORT,
        "tests/select.job.yaml": _YAML,
        # Pytest refuses two test files of one name, and a person may test several projects at once.
        f"tests/test_{re.sub(r'[.-]', '_', name)}.py": _TEST,
        "README.md": _README.format(name=name),
        "pyrightconfig.json": _json(_PYRIGHT),
        ".vscode/settings.json": _json(_SETTINGS),
        ".gitignore": _IGNORE,
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _write_stubs(target: Path) -> None:
    """Write what an editor knows; without stubs of the standard library, say so."""
    from jobcell.stubs.command import run as write_stubs

    try:
        write_stubs(adaptors=(), repo=None, output=target / "stubs")
    except BadInputError as error:
        print(f"stubs/ was not written: {error.lines[0]}", file=sys.stderr)
