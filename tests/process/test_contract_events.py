"""CONTRACT section 3, from outside: every row, every field, types and units."""

from __future__ import annotations

import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runs import QUICK, finish, make_engine, types_of

import engine as api
from engine import Engine, Event, Resolvers, RunOptions

SAME = "def main(state):\n    return state"
KNOWN = {
    "workflow-start": {"versions", "confinement"},
    "init-start": set(),
    "init-complete": {"duration_ms"},
    "state-load": {"id", "duration_ms"},
    "credential-load": {"id", "duration_ms"},
    "job-start": set(),
    "job-complete": {"state", "next", "duration_ms", "mem", "redacted"},
    "job-error": {"error", "state", "next", "duration_ms"},
    "edge-resolved": {"from_step_id", "to_step_id", "condition", "taken"},
    "log": {"level", "source", "message", "redacted"},
    "net-connect": {"host", "port", "outcome", "duration_ms"},
    "workflow-complete": {"state", "duration_ms"},
    "workflow-error": {"error", "duration_ms"},
}
OF_A_STEP = {
    "init-start",
    "init-complete",
    "state-load",
    "credential-load",
    "job-start",
    "job-complete",
    "job-error",
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    """All tests of this file share this engine."""
    with make_engine("zygote", options=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak() -> None:
    """The engine outlives the single test."""


def one(expression: str, **rest: Any) -> dict[str, Any]:
    """Return a plan of one step."""
    return {"workflow": {"steps": [{"id": "a", "expression": expression, **rest}]}}


def logs_of(run: api.Run) -> list[api.Log]:
    """Return the log events of a finished run."""
    return [e for e in finish(run) if isinstance(e, api.Log)]


BUSY = {
    "id": "busy",
    "workflow": {
        "steps": [
            {"id": "t", "next": "a"},
            {
                "id": "a",
                "expression": "print('one', 2)\ndef main(state):\n    print('in job')\n    return state",
                "configuration": "cred",
                "state": "stored",
                "next": {"b": "state.data.n > 1", "c": False},
            },
            {
                "id": "b",
                "expression": "def main(state):\n    raise ValueError('no')",
                "next": {"c": "on_job_failure"},
            },
            {"id": "c", "expression": SAME},
        ]
    },
}


def busy(shared: Engine) -> tuple[api.Run, list[Event]]:
    """Run a plan that has nearly every event."""
    resolvers = Resolvers(
        credential=lambda _id: {"user": "u"}, state=lambda _id: {"data": {"n": 2}}
    )
    run = shared.execute(BUSY, resolvers=resolvers)
    return run, finish(run)


def test_the_order_of_events(shared: Engine):
    """A step ends before its edges, and loads come between init-start and init-complete."""
    _, events = busy(shared)
    types = types_of(events)
    assert types[0] == "workflow-start"
    step = ["init-start", "init-complete", "job-start"]
    assert [t for t in types if "load" not in t] == [
        "workflow-start",
        "edge-resolved",
        *step, "job-complete", "edge-resolved", "edge-resolved",
        *step, "job-error", "edge-resolved",
        *step, "job-complete",
        "workflow-complete",
    ]  # fmt: skip
    begin, end = types.index("init-start"), types.index("init-complete")
    assert sorted(types[begin + 1 : end]) == ["credential-load", "state-load"]


def test_every_event_has_its_fields(shared: Engine):
    """The test checks names, types and units."""
    begun = time.time()
    run, events = busy(shared)
    seen = set()
    for event in events:
        seen.add(event.type)
        assert isinstance(event, Event)
        assert event.run_id == run.id == "busy"
        assert begun - 5 < event.time < time.time() + 5
        assert KNOWN[event.type] <= set(event.__struct_fields__), event.type
        if event.type in OF_A_STEP:
            assert isinstance(event, api.StepEvent)
            assert event.step_id in ("a", "b", "c")
            assert event.step_run_id == event.step_id
            assert event.attempt == 1
        if "duration_ms" in event.__struct_fields__:
            assert type(event.duration_ms) is int
            assert 0 <= event.duration_ms < 20_000
        name = "".join(part.title() for part in event.type.split("-"))
        assert type(event).__name__ == name
        assert type(event) is getattr(api, name)
    assert seen == set(KNOWN) - {"workflow-error", "net-connect"}  # tests/process/network has it
    by_type = {e.type: e for e in reversed(events)}
    assert by_type["credential-load"].id == "cred"
    assert by_type["state-load"].id == "stored"
    done = by_type["job-complete"]
    assert done.next == ("b",)
    assert done.state == {"data": {"n": 2}}
    assert done.redacted is False
    for field in ("job", "system", "peak"):
        assert type(getattr(done.mem, field)) is int
    assert 1_000_000 < done.mem.system <= done.mem.peak < 500_000_000
    failed = by_type["job-error"]
    assert failed.next == ("c",)
    assert failed.error.name == "RuntimeError"
    assert failed.state["errors"]["b"]["name"] == "RuntimeError"
    edges = [
        (e.from_step_id, e.to_step_id, e.condition, e.taken)
        for e in events
        if e.type == "edge-resolved"
    ]
    assert edges == [
        ("t", "a", True, True),
        ("a", "b", "state.data.n > 1", True),
        ("a", "c", False, False),
        ("b", "c", "on_job_failure", True),
    ]


def test_durations_are_milliseconds(shared: Engine):
    """The job sleeps for a tenth of a second."""
    source = (
        "import asyncio\nasync def main(state):\n    await asyncio.sleep(0.15)\n    return state"
    )
    events = finish(shared.execute(source))
    [done] = [e for e in events if e.type == "job-complete"]
    assert 140 <= done.duration_ms < 3000
    assert 140 <= events[-1].duration_ms < 5000


def test_events_survive_json(shared: Engine):
    """Events become JSON and come back as AnyEvent without a change, also after an error."""
    _, events = busy(shared)
    crashed = finish(shared.execute("def main(state):\n    return x"))
    for event in [*events, *crashed]:
        text = msgspec.json.encode(event)
        assert msgspec.json.decode(text, type=api.AnyEvent) == event
        assert msgspec.json.decode(text)["type"] == event.type
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=api.AnyEvent) == event
    assert len(typing.get_args(api.AnyEvent)) == len(KNOWN)


def test_events_are_immutable(shared: Engine):
    """An event is a fact, so a reader cannot change it."""
    event = finish(shared.execute(SAME))[0]
    with pytest.raises(AttributeError):
        event.seq = 5


def test_every_level_and_source(shared: Engine):
    """A print is an info line of the job; the logging module has its own levels."""
    source = (
        "import logging\n"
        "log = logging.getLogger('mine')\n"
        "def main(state):\n"
        "    print('p', 1, sep='-')\n"
        "    log.debug('d %s', 1)\n"
        "    log.info('i')\n"
        "    log.warning('w')\n"
        "    log.error('e')\n"
        "    logging.info('root')\n"
        "    try:\n        1 / 0\n"
        "    except ZeroDivisionError:\n        log.exception('ex')\n"
        "    return state\n"
    )
    logs = logs_of(shared.execute(one(source)))
    assert [(e.level, e.message.splitlines()[0]) for e in logs] == [
        ("info", "p-1"),
        ("debug", "d 1"),
        ("info", "i"),
        ("warning", "w"),
        ("error", "e"),
        ("info", "root"),
        ("error", "ex"),
    ]
    for log in logs:
        assert log.source == "job"
        assert (log.step_id, log.step_run_id, log.attempt) == ("a", "a", 1)
        assert log.redacted is False


@pytest.mark.parametrize(
    ("level", "kept"), [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")]
)
def test_log_level(shared: Engine, level: str, kept: str):
    """Lines below `log_level` are not sent to the manager."""
    source = (
        "import logging\ndef main(state):\n"
        "    logging.debug('d')\n    logging.info('i')\n    logging.warning('w')\n    logging.error('e')\n"
        "    return state\n"
    )
    logs = logs_of(shared.execute(source, options=RunOptions(log_level=level)))
    assert "".join(e.message for e in logs) == kept


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("print()", ""),
        ("print('a\\nb')", "a\nb"),
        ("print('é 患者 🙂')", "é 患者 🙂"),
        ("print(1, [2], {'a': None}, sep=', ')", "1, [2], {'a': None}"),
        ("print('x', end='')", "x"),
        ("print('x' * 200_000)", "x" * 200_000),
        ("print('\\x00\\x1b[31m')", None),
        ("print('\\ud800')", None),
        ("print('a', '\\ud83d', 'b')", None),
        ("print(b'\\xff')", "b'\\xff'"),
        ("print(state)", "{'data': {}, 'configuration': {}}"),
        ("print(*range(3), sep='')", "012"),
    ],
)
def test_printing(shared: Engine, call: str, message: str | None):
    """Each call gives one log event, and odd text does not end the child."""
    run = shared.execute(one(f"def main(state):\n    {call}\n    return {{'ok': 1}}"))
    logs = logs_of(run)
    assert run.result().state == {"ok": 1}, run.result().error
    assert len(logs) == 1
    msgspec.json.encode(logs[0])
    if message is not None:
        assert logs[0].message == message


def test_a_text_with_a_lone_surrogate_in_the_state(shared: Engine):
    """The text is carried as it is, or gives a StateError with its path; the child does not die."""
    run = shared.execute(one("def main(state):\n    return {'data': {'t': '\\ud800'}}"))
    result = run.result(20)
    events = finish(run)
    assert result.reason == "success" or (
        result.error.name == "StateError" and "data.t" in result.error.message
    )
    for event in events:
        msgspec.json.encode(event)


def test_logs_of_the_first_lines_have_the_ids_of_the_step(shared: Engine):
    """The output of top-level statements has these ids, too."""
    _, events = busy(shared)
    logs = [e for e in events if e.type == "log"]
    assert [(e.message, e.step_id) for e in logs if e.source == "job"] == [
        ("one 2", "a"),
        ("in job", "a"),
    ]


def test_an_adaptor_and_the_streams_have_sources_of_their_own(tmp_path: Path):
    """Output of an adaptor has the source adaptor; output past our streams is stdout or stderr."""
    package = tmp_path / "noisy_1"
    package.mkdir()
    (package / "noisy.py").write_text(
        "import os\n"
        "def speak(text):\n"
        "    def operation(state):\n"
        "        print('verb', text)\n"
        "        os.write(1, b'raw out\\n')\n"
        "        os.write(2, b'raw err\\n')\n"
        "        return state\n"
        "    return operation\n"
    )
    (tmp_path / "repo.json").write_text(
        '{"adaptors": [{"name": "noisy", "version": "1.0.0", "path": "noisy_1", "module": "noisy"}]}'
    )
    with make_engine("zygote", repo_dir=tmp_path, options=QUICK) as made:
        logs = logs_of(made.execute(one("speak('hi')", adaptor="noisy")))
    assert ("adaptor", "verb hi", "a") in [(e.source, e.message, e.step_id) for e in logs]
    assert ("stdout", "raw out") in [(e.source, e.message.rstrip()) for e in logs]
    assert ("stderr", "raw err") in [(e.source, e.message.rstrip()) for e in logs]


# --- too much of something ---


def test_a_large_state_is_replaced_in_the_event_only(shared: Engine):
    """The event is marked with redacted: true, and the job's own state does not change."""
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(state):\n    return {'x': 'x' * 50_000}",
                    "next": "b",
                },
                {"id": "b", "expression": "def main(state):\n    return {'n': len(state['x'])}"},
            ]
        }
    }
    run = shared.execute(plan, options=RunOptions(payload_mb=0.02))
    done = [e for e in finish(run) if e.type == "job-complete"]
    assert [e.redacted for e in done] == [True, False]
    assert "xxxx" not in repr(done[0])
    assert run.result().state == {"n": 50_000}
    big = shared.execute(
        "def main(state):\n    return {'x': 'x' * 50_000}", options=RunOptions(payload_mb=0.02)
    )
    assert "xxxx" not in repr(finish(big))
    assert len(big.result().state["x"]) == 50_000


def test_a_large_log_line_is_replaced(shared: Engine):
    """The event is marked with redacted: true."""
    run = shared.execute(
        "def main(state):\n    print('x' * 5000)\n    print('y')\n    return state",
        options=RunOptions(log_payload_mb=0.001),
    )
    logs = logs_of(run)
    assert [e.redacted for e in logs] == [True, False]
    assert "xxxx" not in logs[0].message


def test_event_state_off(shared: Engine):
    """The events job-complete and job-error have no state, but the result has it."""
    run = shared.execute(
        BUSY["workflow"]["steps"][3]["expression"],
        {"data": {"n": 77123}},
        options=RunOptions(event_state=False),
    )
    for event in finish(run):
        if event.type == "job-complete":
            assert event.state is None
    assert run.result().state == {"data": {"n": 77123}}


def test_too_many_logs_are_dropped_and_counted(shared: Engine):
    """No lifecycle event is dropped."""
    source = (
        "def main(state):\n    for i in range(400):\n        print('x' * 100)\n    return state"
    )
    run = shared.execute(source, options=RunOptions(max_log_bytes=5000))
    logs = logs_of(run)
    assert run.result().reason == "success", run.result().error
    assert sum(len(e.message) for e in logs if e.source == "job") <= 5000
    assert any("350" in e.message or "dropped" in e.message for e in logs if e.source == "runtime")


def test_ten_times_too_many_logs_end_the_run(shared: Engine):
    """The OutputLimitError names the limit and its value."""
    source = "def main(state):\n    while True:\n        print('x' * 1000)"
    run = shared.execute(one(source), options=RunOptions(max_log_bytes=5000))
    result = run.result(20)
    assert (result.reason, result.error.name, result.error.severity) == (
        "kill",
        "OutputLimitError",
        "kill",
    )
    assert "max_log_bytes" in result.error.message or "5000" in result.error.message.replace(
        ",", ""
    ).replace("_", "")
    finish(run)


def test_lifecycle_events_never_wait_behind_logs(shared: Engine):
    """A log of a step comes between its job-start and its end."""
    source = "def main(state):\n    for i in range(2000):\n        print(i)\n    return state"
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": source, "next": "b"},
                {"id": "b", "expression": source},
            ]
        }
    }
    events = finish(shared.execute(plan))
    current = None
    counts: dict[str, int] = {}
    for event in events:
        if event.type == "job-start":
            current = event.step_id
        elif event.type in ("job-complete", "job-error"):
            current = None
        elif event.type == "log" and event.source == "job":
            assert event.step_id == current
            counts[event.step_id] = counts.get(event.step_id, 0) + 1
    assert counts == {"a": 2000, "b": 2000}
