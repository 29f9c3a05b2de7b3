"""A page shows what the events of a run say, and names what it leaves out."""

from __future__ import annotations

import base64
import gzip
import json
import re

import pytest

import jobcell
from jobcell.input.errors import BadInputError
from jobcell.report import make_page, make_report, make_report_of_records, read_events
from jobcell.report.model import STATE_BYTES

pytestmark = pytest.mark.slow

PLAN = {
    "workflow": {
        "name": "Four steps",
        "steps": [
            {"id": "begin", "next": "a"},
            {
                "id": "a",
                "name": "First",
                "expression": "def main(state):\n    print('hello')\n    return {**state, 'n': 1}",
                "next": {"b": "state.n == 1", "c": "state.n == 2"},
            },
            {
                "id": "b",
                "expression": "def main(state):\n    return 1 / 0",
                "retry": {"attempts": 2, "delay": 1, "on": ["RuntimeError"]},
                "next": {"d": "on_job_failure"},
            },
            {"id": "c", "expression": "def main(state): return state"},
            {"id": "d", "expression": "def main(state): return state"},
        ],
    }
}


@pytest.fixture(scope="module")
def run():
    """Run the plan once; return its events and the checked plan."""
    events = []
    with jobcell.Engine(start_mode="exec", max_runs=1) as eng:
        run = eng.execute(PLAN, {"x": 1})
        assert run.result().reason == "success"
        events += run.poll(after=0)
    from engine.plan import load_plan

    return events, load_plan(PLAN)


@pytest.fixture
def report(run):
    events, plan = run
    return make_report(events, plan=plan)


def test_each_step_has_its_status(report):
    """A trigger that passed its state on succeeded, and a step that no edge reached was skipped."""
    found = {step.id: step.status for step in report.steps}
    assert found == {
        "begin": "succeeded",
        "a": "succeeded",
        "b": "failed",
        "c": "skipped",
        "d": "succeeded",
    }
    assert (report.name, report.over) == ("Four steps", True)


@pytest.mark.parametrize("edge", ["on_job_failure", "on_job_success"])
def test_the_reason_is_that_of_the_run(edge):
    """A failure that another step follows is not one of the run; the result of a real run is the oracle."""
    steps = [
        {"id": "a", "expression": "def main(state): return 1 / 0", "next": {"b": edge}},
        {"id": "b", "expression": "def main(state): return state"},
    ]
    with jobcell.Engine(start_mode="exec", max_runs=1) as eng:
        run = eng.execute({"workflow": {"steps": steps}})
        reason = run.result().reason
        assert reason == ("success" if edge == "on_job_failure" else "fail")
        assert make_report(run.poll(after=0)).reason == reason


def test_an_attempt_took_as_long_as_its_limit_counts(run, report):
    """Its last event comes later, so that the two times differ; the page tells that of the event."""
    events, _ = run
    found = {
        (e.step_id, e.attempt): e.duration_ms
        for e in events
        if hasattr(e, "mem") or hasattr(e, "retry_in_ms")
    }
    told = {(s.id, a.number): a.duration_ms for s in report.steps for a in s.attempts}
    assert told == found


def test_each_attempt_is_there(report):
    """A retried attempt says when the next one comes; the last one has the error."""
    first, second = next(step for step in report.steps if step.id == "b").attempts
    assert (first.number, first.status, first.retry_in_ms is not None) == (1, "retried", True)
    assert (second.number, second.status, second.retry_in_ms) == (2, "failed", None)
    assert second.error.subtype == "ZeroDivisionError"
    assert second.begin >= first.end


def test_edges_say_whether_they_were_taken(report):
    """Each edge of the plan has its condition, and how often it was taken."""
    found = {(e.source, e.target): (e.label, e.taken, e.refused) for e in report.edges}
    assert found["a", "b"] == ("state.n == 1", 1, 0)
    assert found["a", "c"] == ("state.n == 2", 0, 1)
    assert found["b", "d"] == ("on_job_failure", 1, 0)


def test_the_input_of_a_step_is_the_output_of_the_step_before(report):
    """Equal states are kept once, and both attempts have the same input."""
    steps = {step.id: step for step in report.steps}
    output = steps["a"].attempts[0].output
    assert [attempt.input for attempt in steps["b"].attempts] == [[output], [output]]
    assert json.loads(report.states[output])["n"] == 1


def test_lines_keep_their_step_and_level(report):
    """A printed line is on the page with its step."""
    (line,) = [line for line in report.lines if line.message == "hello"]
    assert (line.step, line.source) == ("a", "job")


def test_a_run_that_is_not_over_has_no_end(run):
    """A page of half of the events shows a step that runs, and steps that wait."""
    events, plan = run
    half = events[: next(i for i, e in enumerate(events) if e.type == "job-complete")]
    report = make_report(half, plan=plan)
    statuses = {step.id: step.status for step in report.steps}
    assert (report.over, statuses["a"], statuses["d"]) == (False, "running", "waiting")


def test_without_a_plan_the_events_make_the_graph(run):
    """Steps and edges that the events name are there; a step that nothing reached is unknown."""
    report = make_report(run[0])
    assert {step.id for step in report.steps} == {"begin", "a", "b", "d"}
    assert ("a", "c") in {(e.source, e.target) for e in report.edges}


def test_a_large_state_is_left_out_with_a_note():
    """The page says how much it does not show."""
    events = []
    size = STATE_BYTES + 1
    jobcell.run(f"def main(state): return {{'text': 'x' * {size}}}", {}, on_event=events.append)
    report = make_report(events)
    assert report.notes == ["1 large state left out; the events have them"]
    assert sum(map(len, report.states)) < 1000


def test_a_journal_shows_no_state(tmp_path):
    """Its states are not redacted, so none of them is on the page."""
    with jobcell.FileJournal(tmp_path / "j") as journal:
        jobcell.run(PLAN, {"secret": "sesame-4711"}, journal=journal)
        report = make_report_of_records(journal.records())
    assert "sesame" not in make_page(report)
    assert report.states == []
    assert {step.id: step.status for step in report.steps}["b"] == "failed"


def packed(page):
    text = re.search(r'id="data">([^<]*)<', page)[1]
    return gzip.decompress(base64.b64decode(text)).decode()


def test_text_of_a_job_is_data_and_never_a_part_of_the_page():
    """Tags in a name, a line, a state and an id change nothing: the page has its own four scripts."""
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    plan = {
        "workflow": {
            "name": evil,
            "steps": [
                {
                    "id": "a<b>",
                    "expression": f"def main(state):\n    print({evil!r})\n    return {{'x': {evil!r}}}",
                }
            ],
        }
    }
    events = []
    jobcell.run(plan, {}, on_event=events.append)
    from engine.plan import load_plan

    page = make_page(make_report(events, plan=load_plan(plan)))
    assert page.count("<script") == 4
    assert "<script>alert(" not in page
    assert evil in json.loads(packed(page))["lines"][0][5]


def test_the_policy_of_the_page_names_its_own_scripts_only():
    """Nothing is loaded, and a browser runs only scripts with the digests of ours."""
    page = make_page(make_report((), run_id="r"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src &#x27;none&#x27;; script-src &#x27;sha256-")
    assert "unsafe" not in policy
    assert not re.search(r'(?:src|href)=["\']?https?:', page)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no event"),
        (b"[1]\n{}\n", "line 1 is not an event"),
        (b'{"type":"zebra"}\n{}\n', "line 1 is not an event"),
        (b"\xff\xfe\n\n", "line 1 is not an event"),
    ],
)
def test_a_file_that_is_not_one_of_events_is_one_clear_error(tmp_path, content, message):
    """The error names the file, the line and what would be right."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        read_events(path)
    assert f"{path}: {message}" in caught.value.lines[0]


def test_a_line_that_is_being_written_is_left_out(tmp_path, run):
    """A page of a run that goes on needs no complete last line."""
    path = tmp_path / "x.jsonl"
    lines = [jobcell.to_json(event) for event in run[0][:3]]
    path.write_text("\n".join(lines) + '\n{"type":"lo')
    events, counted = read_events(path)
    assert events == run[0][:3]
    assert counted is None


SECRET = "sesame-4711-open"


def test_a_journal_shows_no_secret_of_an_error(tmp_path):
    """The page has the kind and the line of an error, but not the message with a secret in it."""
    text = "def main(state):\n    raise ValueError('token ' + state.configuration['token'])"
    plain = "def main(state):\n    raise ValueError('all is known')"
    steps = [
        {"id": "start", "next": {"a": True, "b": True}},
        {"id": "a", "expression": text, "configuration": {"token": SECRET}},
        {"id": "b", "expression": plain},
    ]
    with jobcell.FileJournal(tmp_path / "j", key=bytes(32)) as journal:
        jobcell.run({"workflow": {"steps": steps}}, journal=journal)
        records = list(journal.records())
    assert SECRET in records[0].error.message
    report = make_report_of_records(records)
    assert SECRET not in packed(make_page(report))
    first, second = (step.attempts[0].error for step in report.steps)
    assert (first.subtype, first.position.line) == ("ValueError", 2)
    assert "not shown" in first.message
    assert second.message == "all is known"


def test_a_page_of_a_journal_invents_no_time_and_no_ending(tmp_path, run):
    """A journal has only an order. A trigger that led to a step has passed its state on."""
    with jobcell.FileJournal(tmp_path / "j") as journal:
        jobcell.run(PLAN, {}, journal=journal)
        report = make_report_of_records(journal.records(), plan=run[1])
    assert (report.timed, report.over) == (False, False)
    assert report.steps[0].status == "succeeded"
    assert [edge.taken for edge in report.edges if edge.source == "begin"] == [1]


def test_a_state_that_the_events_do_not_have_is_a_sentence():
    """Two states that are too large for an event are not said to be the same state."""
    events = []
    steps = [
        {"id": "a", "expression": "def main(state): return {'t': 'x' * 3_000_000}", "next": "b"},
        {"id": "b", "expression": "def main(state): return {'t': 'y' * 3_000_000}"},
    ]
    options = jobcell.RunOptions(payload_mb=1)
    jobcell.run({"workflow": {"steps": steps}}, options=options, on_event=events.append)
    report = make_report(events)
    first, second = (step.attempts[0].output for step in report.steps)
    assert first != second
    assert {first, second} <= set(report.sentences)
    assert "too large" in report.states[first]


def test_a_value_that_json_lacks_keeps_its_form():
    """A page does not show NaN as null, and keeps all digits of an integer."""
    events = []
    text = "def main(state): return {'a': float('nan'), 'b': 2 ** 80, 'c': 2 ** 53 + 1}"
    jobcell.run(text, on_event=events.append)
    state = json.loads(make_report(events).states[0])
    assert state == {"a": {"$float": "nan"}, "b": {"$int": hex(2**80)}, "c": 2**53 + 1}


def test_a_line_names_its_step_run():
    """Two runs of one step have logs of their own."""
    steps = [
        {"id": "a", "expression": "def main(state): return state", "next": {"b": True, "c": True}},
        {"id": "b", "expression": "def main(state): return state", "next": "d"},
        {"id": "c", "expression": "def main(state): return state", "next": "d"},
        {"id": "d", "expression": "def main(state): print('here')"},
    ]
    events = []
    jobcell.run({"workflow": {"steps": steps}}, on_event=events.append)
    report = make_report(events)
    runs = dict.fromkeys(line.run or line.step for line in report.lines)
    assert list(runs) == [attempt.run for attempt in report.steps[-1].attempts]
    assert len(runs) == 2


def test_the_title_of_a_page_shows_control_characters():
    """A name cannot turn the direction of the text after it."""
    page = make_page(make_report((), run_id="\u202er<b>"))
    assert "<title>Run \\u202er&lt;b&gt;</title>" in page
