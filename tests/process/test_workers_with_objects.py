"""A worker whose large states lie in an object store, which goes away and comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_stores import ObjectServer
from workers import PATIENCE_S, serving, story, wait_event, wait_for, warm_engine

from engine import Engine
from jobcell import Store

MAKES = """
import time

def main(state):
    print("here")
    time.sleep(1)
    return {"data": [f"{state.n} row {n}" for n in range(20_000)]}
"""
PLAN = {
    "workflow": {
        "steps": [
            {"id": "a", "expression": MAKES, "next": {"b": True}},
            {
                "id": "b",
                "expression": "def main(state):\n    return {'data': state.data[::-1]}",
            },
        ]
    }
}


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    """An engine for the workers in this process."""
    with warm_engine(max_runs=4) as made:
        yield made


def test_a_run_waits_for_its_object_store_and_repeats_nothing(
    store_url: str, tmp_path: Path, shared_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The next step begins when the state of the one before is safe."""
    caplog.set_level(logging.INFO, "jobcell.worker")
    server = ObjectServer("ftp", tmp_path)
    try:
        with Store.open(store_url, objects=server.url) as store:
            run = store.enqueue(PLAN, {"n": 7})
            with serving(store, shared_engine):
                wait_event(run, "log")
                server.stop()
                wait_for(lambda: "the object store" in caplog.text)
                assert "job-complete a 1" not in story(run)
                server.start()
                result = run.result(timeout_s=PATIENCE_S)
            assert result.reason == "success"
            assert result.state == {"data": [f"7 row {n}" for n in range(20_000)][::-1]}
            lines = story(run)
            assert [lines.count(f"job-start {step} 1") for step in "ab"] == [1, 1]
            assert "workflow-start 1" not in lines
            seqs = [event.seq for event in run.poll(after=0)]
            assert seqs == list(range(1, len(seqs) + 1))
    finally:
        server.stop()
