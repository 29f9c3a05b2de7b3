"""Jobs in JavaScript, run by node, to compare them with their translations."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine import Engine, ModuleRef, RunOptions
from jobcell.moving.script.job import translate_job

ADAPTORS = Path(__file__).parents[2] / "adaptors"


class Node:
    """A process of node that runs one job after the other."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("node is not installed")
        self._process = subprocess.Popen(
            [node, str(Path(__file__).with_name("node_jobs.js"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def ask(self, **question: Any) -> Any:
        """Return the answer to one question."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, script: str, state: Any) -> dict[str, Any]:
        """Return the final state of a job, or its error."""
        answer: dict[str, Any] = self.ask(script=script, state=state)
        return answer

    def test(self, condition: str, *states: Any) -> list[dict[str, Any]]:
        """Return whether a condition is true for each state, or its error."""
        answers: list[dict[str, Any]] = self.ask(condition=condition, states=states)
        return answers

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()


def engine_for_translations(*names: str, **options: Any) -> Engine:
    """Return an engine whose runs have adaptors of ours, without a repo."""
    modules = {
        name: ModuleRef(path=str(ADAPTORS / name)) for name in ("common", "javascript", *names)
    }
    return Engine(max_runs=1, options=RunOptions(modules=modules, timeout_s=60, **options))


def run_translated(engine: Engine, script: str, state: Any) -> Any:
    """Translate a script without a rest, and run it in the sandbox; return the result of the run."""
    translation = translate_job(script, "job.js", {"common": None})
    assert translation.left == (), translation.left
    step = {"id": "a", "adaptors": ["common", "javascript"], "expression": translation.source}
    return engine.execute({"workflow": {"steps": [step]}}, state).result(60)


def as_javascript_writes(value: Any) -> Any:
    """Return a value whose floats without a fraction are ints, as JavaScript writes them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: as_javascript_writes(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_javascript_writes(item) for item in value]
    return value


def text_of(value: Any) -> str:
    """Return a text that differs for 1 and true, which are equal in Python."""
    return json.dumps(as_javascript_writes(value), sort_keys=True, ensure_ascii=True)
