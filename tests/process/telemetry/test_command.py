"""The commands with ``--otel``, and collectors that do not do what they should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from otlp_receiver import Receiver, receiving
from telemetered import PARENT
from warm import run_warm

from engine import event_from_json
from jobcell.input.errors import BadInputError
from jobcell.input.following import read_trace

JOB = """
import jobcell_context

def main(state):
    print("a line of a job")
    return {"data": jobcell_context.traceparent}
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A file with a job that returns its own place in the trace."""
    path = tmp_path / "job.py"
    path.write_text(JOB)
    return path


@pytest.fixture
def collector() -> Iterator[Receiver]:
    """A collector that takes everything."""
    with receiving() as found:
        yield found


def jobcell(*arguments, **env):
    """Run the command with an environment that has these variables more."""
    return run_warm(None, *arguments, env={**os.environ, **env}, timeout_s=120, kind="telemetry")


def test_a_run_is_exported_before_the_command_ends(job_file, collector):
    """The parent is that of the environment, and the service has a name."""
    ran = jobcell(
        "run", "--otel", job_file, TRACEPARENT=PARENT, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url
    )
    assert ran.returncode == 0, ran.stderr
    spans = {span["name"]: span for span in collector.spans()}
    assert set(spans) == {"run", "step job-1", "attempt job-1"}
    trace = json.loads(ran.stdout)["data"]
    assert trace.split("-")[1] == PARENT.split("-")[1]
    assert {"key": "service.name", "value": {"stringValue": "jobcell"}} in spans["run"]["service"]
    assert "a line of a job" not in json.dumps(collector.got())


def test_log_lines_are_exported_if_the_environment_asks_for_it(job_file, collector):
    """They are within the span of their attempt."""
    ran = jobcell(
        *("run", "--otel", job_file),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_LOGS_EXPORTER="otlp",
        OTEL_METRICS_EXPORTER="none",
    )
    assert ran.returncode == 0, ran.stderr
    (logs,) = [request["/v1/logs"] for request in collector.got() if "/v1/logs" in request]
    (record,) = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    (attempt,) = [span for span in collector.spans() if span["name"] == "attempt job-1"]
    assert record["body"]["stringValue"] == "a line of a job"
    assert (record["traceId"], record["spanId"]) == (attempt["traceId"], attempt["spanId"])
    assert {"key": "step_id", "value": {"stringValue": "job-1"}} in record["attributes"]


@pytest.mark.parametrize("mood", ["dead", "refusing", "hanging"])
def test_a_collector_that_does_not_answer_changes_no_run(job_file, tmp_path, mood):
    """The result and all events are there, and the command ends in a few seconds."""
    with receiving("hanging" if mood == "dead" else mood) as found:
        url = "http://127.0.0.1:9" if mood == "dead" else found.url
        began = time.monotonic()
        ran = jobcell(
            *("run", "--otel", job_file, "--events", tmp_path / "events"),
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
        )
        took_s = time.monotonic() - began
    assert ran.returncode == 0
    assert "data" in json.loads(ran.stdout)
    events = [event_from_json(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "workflow-complete"
    assert events[-1].time - events[0].time < 5  # it did not wait while it ran
    assert "Traceback" not in ran.stderr
    assert took_s < 60


def test_the_sdk_can_be_switched_off(job_file):
    """`OTEL_SDK_DISABLED` is the standard variable for it."""
    ran = jobcell("run", "--otel", job_file, OTEL_SDK_DISABLED="true", TRACEPARENT=PARENT)
    assert (ran.returncode, json.loads(ran.stdout)["data"]) == (0, PARENT)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zebra"}, "OTEL_TRACES_EXPORTER: 'zebra' is not installed"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: there is no 'http/json'",
        ),
    ],
)
def test_a_wrong_variable_is_an_error_before_the_run(job_file, env, words):
    """The line names the variable, and what would be right."""
    ran = jobcell("run", "--otel", job_file, **env)
    assert ran.returncode == 2
    assert f"--otel: {words}" in ran.stderr
    assert ran.stdout == ""


def test_a_wrong_option_is_an_error_and_a_wrong_variable_is_ignored(capsys):
    """A variable comes from elsewhere: W3C Trace Context wants a wrong one to be ignored."""
    with pytest.raises(BadInputError, match="--trace: traceparent must be"):
        read_trace("nonsense", {})
    assert read_trace(None, {"TRACEPARENT": "nonsense"}) is None
    assert "TRACEPARENT is ignored" in capsys.readouterr().err
    assert read_trace(PARENT, {"TRACEPARENT": "nonsense"}).traceparent == PARENT
    assert read_trace(None, {"TRACEPARENT": PARENT, "TRACESTATE": "a=1"}).tracestate == "a=1"
    assert read_trace(None, {}) is None


def test_nothing_of_opentelemetry_is_imported_without_it():
    """Neither by the package nor by a command, a worker or a store, nor by a child."""
    program = """
import sys
import jobcell, jobcell.telemetry, jobcell.worker, jobcell.store, jobcell.running.starting
run = jobcell.run("import jobcell_context\\ndef main(state): return state", trace=%r)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program % PARENT], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"


def test_without_the_extra_an_error_says_what_to_install():
    """A module that is None cannot be imported."""
    program = """
import sys
sys.modules["opentelemetry"] = None
import jobcell.telemetry
try:
    with jobcell.Engine(start_mode="exec") as engine:
        jobcell.telemetry.from_environment(engine)
except jobcell.telemetry.TelemetryError as error:
    print(error)
"""
    import engine

    program = program.replace("jobcell.Engine", "__import__('engine').Engine")
    assert engine is not None
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'jobcell[otel]'" in ran.stdout
