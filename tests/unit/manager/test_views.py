"""Each view shows a run to its reader: lines, JSON, or a table that changes in its place."""

import io
import json

import pytest
from rich.console import Console

from engine import RunResult
from engine.run import Usage
from manager.live import LiveView
from manager.views import JsonView, LineView
from protocol.confinement import ConfinementReport, LayerReport
from protocol.events import (
    EdgeResolved,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    Memory,
    Versions,
    WorkflowComplete,
    WorkflowError,
    WorkflowStart,
)
from protocol.report import make_report

VERSIONS = Versions(python="3.11.2", engine="0.1.0")
CONFINEMENT = ConfinementReport(
    level="default",
    language=True,
    layers=(LayerReport("seccomp", "on"), LayerReport("mdwe", "off")),
)
BASE = {"run_id": "r", "time": 1.25}
STEP = {**BASE, "step_id": "a", "step_run_id": "a"}


def events():
    report = make_report("JobError", "no \x1b[31mmore", step_id="b")
    return [
        WorkflowStart(seq=1, **BASE, versions=VERSIONS, confinement=CONFINEMENT),
        InitStart(seq=2, **STEP),
        JobStart(seq=3, **STEP),
        Log(seq=4, **STEP, level="info", source="job", message="two\nlines\x07"),
        JobComplete(
            seq=5, **STEP, state={}, next=("b",), duration_ms=12, mem=Memory(1, 2, 18_200_000)
        ),
        EdgeResolved(
            seq=6, **BASE, from_step_id="a", to_step_id="b", condition="state.n > 1", taken=True
        ),
        EdgeResolved(seq=7, **BASE, from_step_id="a", to_step_id="c", condition=False, taken=False),
        JobStart(seq=8, **BASE, step_id="b", step_run_id="b"),
        JobError(
            seq=9,
            **BASE,
            step_id="b",
            step_run_id="b",
            error=report,
            state={},
            next=(),
            duration_ms=3,
        ),
        WorkflowComplete(seq=10, **BASE, state={}, duration_ms=40),
    ]


def result(reason="fail"):
    return RunResult(
        state={},
        reason=reason,
        error=None,
        duration_ms=40,
        usage=Usage(peak_memory_bytes=20_000_000),
        confinement=CONFINEMENT,
        versions=VERSIONS,
    )


def test_lines_tell_what_a_person_wants_to_know():
    """A moment, a step and a fact on each; edges only where there was a question."""
    stream = io.StringIO()
    view = LineView(stream)
    for event in events():
        view.show(event)
    view.close(result())

    assert [line[14:] for line in stream.getvalue().splitlines()[:-1]] == [
        "started: Python 3.11.2, jobcell 0.1.0, sandbox default (1 of 2 layers)",
        "[a] started",
        r"[a] info: two\nlines\x07",
        "[a] done in 12 ms, 18.2 MB, then b",
        "edge a -> b taken: state.n > 1",
        "[b] started",
        "[b] failed after 3 ms",
        r"  JobError in step 'b': no \x1b[31mmore",
    ]
    assert stream.getvalue().endswith("\nfail after 40 ms, peak memory 20.0 MB\n")


def test_an_error_that_ended_a_step_and_the_run_is_told_once():
    """Two events carry it; a person wants to read it once."""
    stream = io.StringIO()
    view = LineView(stream)
    failed = events()[8]
    view.show(failed)
    view.show(WorkflowError(seq=10, **BASE, error=failed.error, duration_ms=40))

    assert stream.getvalue().count("JobError") == 1


def test_json_lines_are_the_events_and_the_result():
    """Whole events, in order, and one line more."""
    stream = io.BytesIO()
    view = JsonView(stream)
    for event in events():
        view.show(event)
    view.close(result("success"))

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["seq"] for line in lines[:-1]] == list(range(1, 11))
    assert lines[-1]["reason"] == "success"


def test_the_table_ends_with_every_step_in_its_last_state():
    """What was done, what failed and how, and how the run ended."""
    stream = io.StringIO()
    view = LiveView(
        Console(file=stream, force_terminal=True, width=100, height=40, color_system=None)
    )
    for event in events():
        view.show(event)
    view.close(result())

    text = stream.getvalue()
    table = text[text.rindex("✓") :]
    assert [line.split() for line in table.splitlines()[:2]] == [
        ["✓", "a", "done", "12", "ms", "18.2", "MB", "→", "b"],
        ["✗", "b", "JobError", "3", "ms"],
    ]
    assert "fail after 40 ms" in table
    assert "\x1b[31mmore" not in text
    assert "\x07" not in text


def test_a_step_within_which_the_run_ended_is_not_left_running():
    """The spinner stops, whatever became of the step."""
    stream = io.StringIO()
    view = LiveView(
        Console(file=stream, force_terminal=True, width=100, height=40, color_system=None)
    )
    for event in events()[:3]:
        view.show(event)
    error = make_report("TimeoutError", "the run took more than 1 s")
    view.show(WorkflowError(seq=4, **BASE, error=error, duration_ms=1000))
    view.close(result("kill"))

    text = stream.getvalue()
    assert "TimeoutError: the run took more than 1 s" in text
    assert "ended" in text[text.rindex("✗") :]
    assert "kill after 40 ms" in text


@pytest.mark.parametrize("count", [5, 500])
def test_the_table_fits_the_terminal(count):
    """Of many steps the last are shown, the others counted."""
    stream = io.StringIO()
    view = LiveView(
        Console(file=stream, force_terminal=True, width=80, height=20, color_system=None)
    )
    for seq in range(count):
        view.show(JobStart(seq=seq + 1, **BASE, step_id="s", step_run_id=f"s-{seq}"))
    view.close(None)

    last = stream.getvalue()[stream.getvalue().rindex("s-0" if count == 5 else "steps before") :]
    assert len(last.splitlines()) <= 20
    assert f"s-{count - 1}" in last
