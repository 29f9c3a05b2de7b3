"""The examples of docs/store.md behave as the page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path

import pytest
from warm import WarmProcess, run_warm

from jobcell.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "store.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL))
STEPS = [
    {"id": "add", "expression": "def main(s):\n    return {'n': s['n'] + 1}\n", "next": "double"},
    {"id": "double", "expression": "def main(s):\n    return {'n': s['n'] * 2}\n"},
]


@pytest.fixture
def here(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"workflow": {"steps": STEPS}}))
    (tmp_path / "state.json").write_text('{"n": 1}')
    return tmp_path


@pytest.fixture
def run_all(here):
    """Runs the commands of an example, one after the other, and returns their outputs."""

    def run(name):
        outputs = []
        for line in EXAMPLES[name].splitlines():
            words = shlex.split(line.removeprefix("$ jobcell "))
            done = run_warm(
                None, *words, cwd=here, env={"JOBCELL_STORE": f"sqlite:///{here}/runs.db"}
            )
            assert done.returncode == 0, done.stderr
            outputs.append(done.stdout)
        return outputs

    return run


@pytest.fixture
def serve(here):
    """Starts a worker for an example, a program or a command, and ends it with SIGTERM."""
    started = []
    errors = (here / "errors").open("w+")

    def start(source, *words):
        with Path(os.devnull).open("r+") as nothing:
            process = WarmProcess(
                source,
                *words,
                streams=(nothing.fileno(), nothing.fileno(), errors.fileno()),
                cwd=here,
                env={"JOBCELL_STORE": f"sqlite:///{here}/runs.db"},
                kind="commands",
            )
        started.append(process)

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        assert code == 0, (here / "errors").read_text()
    errors.close()


def test_the_commands_of_the_page_run_in_their_order(here, run_all, serve):
    """A worker of the page carries out the run of the page."""
    assert run_all("enqueue") == ["order-17\n"]
    serve(None, *shlex.split(EXAMPLES["worker"].removeprefix("$ jobcell ")))
    events, result = run_all("follow")
    assert "[double] done" in events
    assert json.loads(result) == {"n": 4}
    runs, retried, _, status = run_all("look")
    assert "order-17" in runs
    with Store.open(here / "runs.db") as store:
        assert store.run(retried.strip()).result(60).state == {"n": 4}
    assert "1 of 1 known workers are alive" in status
    assert run_all("prune") == ["removed 0 runs\n"]


def test_the_programs_of_the_page_enqueue_and_serve(here, serve):
    """The run of the program and that of the transaction are carried out by the worker of the page."""
    program = run_warm(EXAMPLES["program"], cwd=here, kind="commands")
    assert (program.returncode, program.stdout, program.stderr) == (0, "", "")
    transaction = run_warm(EXAMPLES["transaction"], cwd=here, kind="commands")
    assert (transaction.returncode, transaction.stdout) == (0, "False\n"), transaction.stderr
    with Store.open(here / "runs.db") as store:
        serve(EXAMPLES["serve"])
        assert store.run("order-18").result(60).state == {"data": 42}
        (other,) = (run.id for run in store.runs() if run.id != "order-18")
        assert store.run(other).result(60).state == {"order": "19", "data": {}}
