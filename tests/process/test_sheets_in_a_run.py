"""The adaptor `sheets` in the sandbox, and openpyxl itself with a scratch directory."""

from __future__ import annotations

import compileall
import importlib.util
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modes import let_everybody_in
from runs import make_engine

from engine import Engine, Permissions, RunOptions

ADAPTORS = Path(__file__).parents[2] / "adaptors"
LIBRARIES = ("openpyxl", "et_xmlfile", "defusedxml")

SAVING = '''
"""Saves a workbook as the library does it, with a temporary file for each sheet."""
import io
import openpyxl

def save(rows):
    def operation(state):
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("many")
        for number in range(rows):
            sheet.append([number, "text", state["name"]])
        out = io.BytesIO()
        book.save(out)
        return {**state, "data": out.getvalue()}
    return operation
'''


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with the adaptor, and with another one on the same library."""
    root = tmp_path_factory.mktemp("repo")
    entries = []
    for name in ("sheets", "saving"):
        place = root / f"{name}_1.0.0"
        place.mkdir()
        if name == "sheets":
            shutil.copytree(ADAPTORS / "sheets" / "sheets", place / "sheets")
            compileall.compile_dir(place / "sheets", quiet=1)  # as `jobcell repo add` does it
        else:
            (place / "saving").mkdir()
            (place / "saving" / "__init__.py").write_text(SAVING)
        for library in LIBRARIES:
            spec = importlib.util.find_spec(library)
            if spec is None or spec.origin is None:
                pytest.skip(f"{library} is not installed")
            shutil.copytree(Path(spec.origin).parent, place / library)
        entries.append({"name": name, "version": "1.0.0", "path": place.name, "module": name})
    (root / "repo.json").write_text(json.dumps({"adaptors": entries}))
    let_everybody_in(root)
    return root


@pytest.fixture(scope="module")
def engine(repo: Path) -> Iterator[Engine]:
    """An engine with the repo, for tests that do not depend on the start of the child."""
    with make_engine("zygote", repo_dir=repo, max_runs=2) as running:
        yield running


@pytest.fixture(params=["exec", "zygote"])
def each_engine(request: pytest.FixtureRequest, repo: Path) -> Iterator[Engine]:
    """An engine of each start mode."""
    if request.param == "zygote":
        yield request.getfixturevalue("engine")
        return
    with make_engine("exec", repo_dir=repo, max_runs=2) as running:
        yield running


@pytest.fixture(autouse=True)
def no_leak(no_leak_of_file: None) -> None:
    """The engine of this file outlives each test."""


def run(engine: Engine, job: str, state: Any, *adaptors: str, **options: Any) -> Any:
    """Run a job of one step."""
    step = {"id": "a", "adaptors": list(adaptors) or ["sheets"], "expression": job}
    return engine.execute(
        {"workflow": {"steps": [step]}}, state, options=RunOptions(**options)
    ).result(60)


def test_the_example_of_the_readme_runs(each_engine: Engine):
    """Without any permission: workbooks are written in memory."""
    text = (ADAPTORS / "sheets" / "README.md").read_text()
    [example] = re.findall(r"<!-- test: run -->\n```python\n(.*?)```", text, re.DOTALL)
    visits = [{"id": "007", "day": "2024-05-06", "paid": "1.50", "note": "=1+1"}]
    result = run(each_engine, example, {"visits": visits})
    assert result.reason == "success", result.error
    assert result.state["data"] == [{"id": "007", "day": "2024-05-06", "paid": "1.5"}]
    content, found = result.state["references"][1:3]
    assert content.startswith(b"PK")
    assert found[0] == {"id": "007", "day": "2024-05-06", "paid": 1.5, "note": "=1+1"}


def bomb() -> bytes:
    """Return 150 MB of nothing as a workbook."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("xl/workbook.xml", b" " * 150_000_000)
    return out.getvalue()


def test_a_bomb_fails_the_step_and_nothing_else(engine: Engine):
    """With a limit of memory that its content would exceed."""
    result = run(engine, "read_xlsx(state.data)", {"data": bomb()}, memory_mb=120)
    assert (result.reason, result.error.subtype) == ("fail", "TooLargeError")
    assert "150.0 MB" in result.error.message


def test_the_library_writes_its_own_way_with_a_scratch_directory(engine: Engine):
    """Streams of rows go through files; too little room is ENOSPC with a hint."""
    state = {"name": "x"}
    permissions = Permissions(scratch_mb=8)
    result = run(engine, "save(500)", state, "saving", permissions=permissions)
    assert result.reason == "success", result.error
    counted = run(engine, "read_xlsx(state.data, header=False)", result.state)
    assert len(counted.state["data"]) == 500
    without = run(engine, "save(500)", state, "saving")
    assert without.error.option == "scratch_mb"
    assert "Permissions(scratch_mb=64)" in without.error.fix
    small = run(engine, "save(20000)", state, "saving", permissions=Permissions(scratch_mb=0.2))
    assert small.error.subtype == "OSError"
    assert "the scratch directory /tmp is full: it holds 0.2 MB" in small.error.fix
