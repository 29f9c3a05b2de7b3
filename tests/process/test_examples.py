"""What the README shows, and the example that `make run` runs, work as they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).parents[2]
CLINIC = ROOT / "examples" / "clinic"


def readme_example(name: str) -> str:
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", text, flags=re.DOTALL)
    assert found is not None
    return found[1]


def run_clinic(tmp_path, *options):
    output, events = tmp_path / "out.json", tmp_path / "events.jsonl"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "manager", "run", CLINIC / "plan.json"),
            *("--state", CLINIC / "state.json", "--output", output, "--events", events),
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = events.read_text().splitlines()
    return json.loads(output.read_text()), [json.loads(line) for line in lines]


def test_the_embedding_example_runs(capfd):
    """A reader may copy it as it is."""
    script = subprocess.run(
        [sys.executable, "-c", readme_example("embed")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert script.returncode == 0, script.stderr
    assert script.stdout.splitlines()[0] == "1 workflow-start"
    assert script.stdout.splitlines()[-1] == "success {'data': 12}"


def test_the_job_example_runs():
    """A job as an author writes it."""
    people = [{"born": "2001-05-06"}, {"born": "1999-01-02"}]

    state = engine.run(readme_example("job"), {"data": {"people": people}})

    assert state == {"data": {"years": [1999, 2001]}}


def test_the_clinic_sorts_its_rows_and_survives_the_failing_step(tmp_path):
    """Three hundred rows: the good ones converted, the bad ones reported, the failure handled."""
    state, events = run_clinic(tmp_path)

    assert set(state) == {"queue", "reject"}
    queued = state["queue"]["data"]["queued"]
    rejected = state["reject"]["data"]
    assert sum(batch["patients"] for batch in queued) + rejected["rejected"] == 300
    assert len(rejected["lines"]) == rejected["rejected"] > 30
    assert sum(rejected["problems"].values()) > rejected["rejected"]
    kinds = [resource["resourceType"] for resource in state["queue"]["data"]["example"]]
    assert kinds == ["Patient", "Observation", "Observation"]

    (failed,) = [event for event in events if event["type"] == "job-error"]
    assert failed["step_id"] == "submit"
    assert failed["next"] == ["queue"]
    assert "confirm" not in {event.get("step_id") for event in events}


@pytest.mark.parametrize("end", ["validate"])
def test_the_clinic_can_be_stopped_half_way(tmp_path, end):
    """`--end` shows what a step makes of the data."""
    state, _ = run_clinic(tmp_path, "--end", end)

    assert len(state["data"]["good"]) + len(state["data"]["bad"]) == 300
