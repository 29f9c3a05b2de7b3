"""Each view shows a run to its reader: lines, JSON, or a table that changes in its place."""

import io
import json

import msgspec
import pytest
from rich.console import Console

from engine import RunResult, event_from_json
from engine.reporting.result import Usage
from jobcell.output.live import LiveView
from jobcell.output.views import JsonView, LineView
from protocol.confinement import ConfinementReport, LayerReport
from protocol.events import (
    EdgeResolved,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    Memory,
    NetConnect,
    Versions,
    WorkflowComplete,
    WorkflowError,
    WorkflowStart,
)
from protocol.report import ErrorReport, OperationRef, Position, make_report

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
    """Each line has a time, a step and a fact; an edge has a line only if it had a condition."""
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
    """Two events contain the error, but a person wants to read it once."""
    stream = io.StringIO()
    view = LineView(stream)
    failed = events()[8]
    view.show(failed)
    view.show(WorkflowError(seq=10, **BASE, error=failed.error, duration_ms=40))

    assert stream.getvalue().count("JobError") == 1


def test_json_lines_are_the_events_and_the_result():
    """The output has whole events, in order, and one more line."""
    stream = io.BytesIO()
    view = JsonView(stream)
    for event in events():
        view.show(event)
    view.close(result("success"))

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["seq"] for line in lines[:-1]] == list(range(1, 11))
    assert lines[-1]["reason"] == "success"


def test_the_table_ends_with_every_step_in_its_last_state():
    """The table shows finished steps, failed ones with their errors, and the end of the run."""
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
    """The spinner stops even if the end of the step is unknown."""
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


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 500])
def test_the_table_fits_the_terminal(count):
    """The last steps are shown, and the others are counted."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=20, color_system=None)
    view = LiveView(console)
    for seq in range(count):
        view.show(JobStart(seq=seq + 1, **BASE, step_id="s", step_run_id=f"s-{seq}"))
    view._live.refresh()
    drawn = stream.getvalue()
    view.close(None)

    last = drawn[drawn.rindex("s-0" if count == 5 else "steps before") :]
    assert len(last.splitlines()) <= 20
    assert f"s-{count - 1}" in last
    final = stream.getvalue()[len(drawn) :]
    assert all(f"s-{seq} " in final for seq in range(count))


class Resizable(Console):
    """A console whose terminal can be made narrower."""

    now = 80

    @property
    def width(self):
        return self.now

    @width.setter
    def width(self, width):
        self.now = width


def test_a_terminal_that_gets_another_width_is_not_torn():
    """The old table stays: the terminal has wrapped it into an unknown number of lines."""
    stream = io.StringIO()
    console = Resizable(file=stream, force_terminal=True, width=80, height=20, color_system=None)
    view = LiveView(console)
    for seq in range(3):
        view.show(JobStart(seq=seq + 1, **BASE, step_id="s", step_run_id=f"s-{seq}"))
    view._live.refresh()
    written = []
    for width in (80, 30, 30):
        console.width = width
        before = len(stream.getvalue())
        view.show(Log(seq=9, **STEP, level="info", source="job", message="hello"))
        written.append(stream.getvalue()[before:])
    view.close(None)

    up = "\x1b[1A"
    assert [up in text.partition("hello")[0] for text in written] == [True, False, True]


@pytest.mark.parametrize(
    "name", ["界" * 70, "e\u0301" * 70, "x" * 70, "\U0001f468\u200d\U0001f469" * 40]
)
def test_a_long_or_wide_name_takes_one_line(name):
    """A row that wraps would make the table higher than its counted lines."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=60, height=20, color_system=None)
    view = LiveView(console, names={"s": name})
    view.show(JobStart(seq=1, **BASE, step_id="s", step_run_id="s"))
    before = len(stream.getvalue())
    view.close(None)

    table = stream.getvalue()[before:]
    assert table.count("s: ") == 1
    assert table.count("\n") <= 2


def test_steps_are_called_by_their_names_beside_their_ids():
    """Every line of a view has the name; a second execution keeps its own id."""
    stream = io.StringIO()
    view = LineView(stream, {"a": "Fetch patients", "b": "Send\x1b[2J"})
    for event in events():
        view.show(event)

    text = stream.getvalue()
    assert "[a: Fetch patients] started" in text
    assert "[a: Fetch patients] info:" in text
    assert "then b: Send\\x1b[2J" in text
    assert "edge a: Fetch patients -> b: Send" in text
    assert "JobError in step 'b' (Send\\x1b[2J)" in text


HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\u202e\x9b2J"


def hostile_events():
    """Return events in which every text of a child contains commands for a terminal."""
    report = ErrorReport(
        name=HOSTILE,
        message=HOSTILE,
        severity="fail",
        step_id=HOSTILE,
        subtype=HOSTILE,
        operation=OperationRef(1, HOSTILE),
        position=Position(1, 2, 1, 3, HOSTILE),
        fix=HOSTILE,
        option="net",
        option_value=HOSTILE,
    )
    step = {**BASE, "step_id": HOSTILE, "step_run_id": HOSTILE}
    memory = Memory(1, 2, 3)
    return [
        InitStart(seq=1, **step),
        JobStart(seq=2, **step),
        Log(seq=3, **step, level="info", source="job", message=HOSTILE),
        JobComplete(seq=4, **step, state={}, next=(HOSTILE,), duration_ms=1, mem=memory),
        JobError(seq=5, **step, error=report, state={}, next=(HOSTILE,), duration_ms=1),
        EdgeResolved(
            seq=6,
            **BASE,
            from_step_id=HOSTILE,
            to_step_id=HOSTILE,
            condition=HOSTILE,
            taken=True,
        ),
        WorkflowError(seq=7, **BASE, error=make_report("Cancelled", HOSTILE), duration_ms=1),
    ]


@pytest.mark.parametrize("kind", ["lines", "json", "live"])
def test_no_text_of_a_run_steers_the_terminal(kind):
    """The text may be in any field, and the view may be any of the three."""
    text, binary = io.StringIO(), io.BytesIO()
    names = {HOSTILE: HOSTILE}
    view = {
        "lines": lambda: LineView(text, names),
        "json": lambda: JsonView(binary),
        "live": lambda: LiveView(
            Console(file=text, force_terminal=True, width=100, color_system=None), names
        ),
    }[kind]()
    for event in hostile_events():
        view.show(event)
    view.close(None)

    shown = text.getvalue() + binary.getvalue().decode()
    assert "PWNED" in shown
    for part in ("\x1b]0;", "\x07", "\x1b[2J\u202e", "\x9b"):
        assert part not in shown


def test_json_lines_hold_whatever_a_state_holds():
    """Huge integers, deep nesting, bytes and NaN come back equal, without an internal error."""
    deep = []
    for _ in range(500):
        deep = [deep]
    state = {"n": 10**6000, "deep": deep, "b": b"\x00", "k": {1: 2}}
    event = JobComplete(seq=1, **STEP, state=state, next=(), duration_ms=1, mem=Memory(1, 2, 3))
    stream = io.BytesIO()
    view = JsonView(stream)
    view.show(event)
    failed = make_report("AdaptorError", "x", details={"deep": deep * 1, "n": 10**6000})
    view.close(msgspec.structs.replace(result(), error=failed))

    first, last = stream.getvalue().splitlines()
    assert event_from_json(first) == event
    assert json.loads(last)["reason"] == "fail"


def retried_events():
    """Return events of a resumed run whose step fails, waits, and succeeds."""
    report = make_report("AdaptorError", "busy", step_id="a")
    failed = {"error": report, "state": {}, "next": (), "duration_ms": 5}
    memory = Memory(1, 2, 18_200_000)
    return [
        WorkflowStart(seq=1, **BASE, versions=VERSIONS, confinement=CONFINEMENT, replayed=2),
        JobStart(seq=2, **STEP),
        JobError(seq=3, **STEP, **failed, retry_in_ms=90_000),
        JobStart(seq=4, **STEP, attempt=2),
        JobComplete(seq=5, **STEP, attempt=2, state={}, next=("b",), duration_ms=12, mem=memory),
    ]


def test_lines_tell_attempts_replayed_steps_and_children():
    """The reader sees which attempt runs, how long the run waits, and what was not run again."""
    stream = io.StringIO()
    view = LineView(stream, attempts={"a": 3})
    for event in retried_events():
        view.show(event)
    view.close(msgspec.structs.replace(result("success"), children=2))

    assert [line[14:] for line in stream.getvalue().splitlines()[1:-1]] == [
        "2 steps were replayed from the journal",
        "[a] started",
        "[a] failed after 5 ms, attempt 2 of 3 in 90.0 s",
        "  AdaptorError in step 'a': busy",
        "[a] started, attempt 2 of 3",
        "[a] done in 12 ms, 18.2 MB, then b",
    ]
    assert stream.getvalue().endswith("\nsuccess after 40 ms, peak memory 20.0 MB, 2 children\n")


def test_the_table_shows_the_wait_for_an_attempt():
    """The row of a step that waits counts down; the next attempt takes the row over."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, height=40, color_system=None)
    view = LiveView(console, attempts={"a": 3})
    shown = []
    for event in retried_events()[1:]:
        view.show(event)
        before = len(stream.getvalue())
        view._live.refresh()
        shown.append(stream.getvalue()[before:])
    view.close(result("success"))

    assert "AdaptorError, attempt 2 of 3 in " in shown[1]
    assert "✗" not in shown[1]
    assert "running, attempt 2 of 3" in shown[2]
    assert "✓" in shown[3]
    text = stream.getvalue()
    assert "[a] failed after 5 ms, attempt 2 of 3 in 90.0 s" in text
    assert "AdaptorError in step 'a': busy" in text


def test_the_result_line_has_the_children():
    """A program sees how many children the run took."""
    stream = io.BytesIO()
    JsonView(stream).close(msgspec.structs.replace(result(), children=3))
    assert json.loads(stream.getvalue())["children"] == 3


def test_connections_are_lines_and_each_place_is_shown_once():
    """A job may make thousands; the totals are in the last line."""
    base = {**BASE, "seq": 1}
    seen = [
        NetConnect(
            **base, host="a.org", port=443, outcome="open", bytes_sent=812, bytes_received=1_234_567
        ),
        NetConnect(**base, host="a.org", port=443, outcome="open"),
        NetConnect(**base, host="::1", port=80, outcome="failed", reason="connection refused"),
        NetConnect(**base, host="\x1b[2J", port=0, outcome="refused", reason="no rule allows it"),
    ]
    wanted = [
        "net a.org:443 open for 0 ms, 812 B out, 1.2 MB in",
        "net [::1]:80 failed: connection refused",
        r"net \x1b[2J refused: no rule allows it",
    ]
    stream = io.StringIO()
    lines = LineView(stream)
    console = Console(file=(drawn := io.StringIO()), force_terminal=True, width=100)
    live = LiveView(console)
    for event in seen:
        lines.show(event)
        live.show(event)
    usage = Usage(connections=2, net_sent_bytes=1_500, net_received_bytes=7)
    result = RunResult(
        state={},
        reason="success",
        error=None,
        duration_ms=5,
        usage=usage,
        confinement=CONFINEMENT,
        versions=VERSIONS,
    )
    lines.close(result)
    live.close(result)
    *shown, last = [line.split("  ", 1)[-1] for line in stream.getvalue().splitlines()]
    assert shown == wanted
    assert last == "success after 5 ms, 2 connections (1.5 kB out, 7 B in)"
    for line in wanted:
        assert line in drawn.getvalue()
