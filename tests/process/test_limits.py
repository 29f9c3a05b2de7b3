"""Every limit is met for real: its verdict comes in time and names the limit and its value."""

from __future__ import annotations

import time

import pytest
from runs import finish, types_of

from engine import Engine, RunOptions
from engine.reporting import eventlog

NEVER_RETURNS = {
    "busy loop": "def main(state):\n    while True: pass",
    "loop in C": "import itertools\ndef main(state): return 1 in itertools.repeat(0)",
    "catastrophic regex": "import re\ndef main(state): re.match(r'(a+)+$', 'a' * 40 + 'b')",
    "huge power": "def main(state): return 10**10**8",
    "sleep": "import time\ndef main(state): time.sleep(60)",
    "async sleep": "import asyncio\nasync def main(state): await asyncio.sleep(60)",
    "swallows everything": (
        "def main(state):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass"
    ),
}


@pytest.mark.parametrize("source", NEVER_RETURNS.values(), ids=NEVER_RETURNS)
def test_a_step_timeout_ends_whatever_the_step_is_doing(zygote: Engine, source: str):
    """A limit of 50 ms ends bytecode and C code after 50 ms."""
    begun = time.monotonic()
    run = zygote.execute(source, options=RunOptions(step_timeout_s=0.05, timeout_s=20))
    events = finish(run)
    result = run.result()
    assert (result.error.name, result.error.step_id) == ("TimeoutError", "job-1")
    assert "50 ms (step_timeout_s)" in result.error.message
    assert result.reason == "kill"
    assert types_of(events)[-2:] == ["job-error", "workflow-error"]
    assert time.monotonic() - begun < 5
    assert events[-2].duration_ms < 1000


def test_a_step_timeout_is_for_one_step(zygote: Engine):
    """Steps that are each within their time do not meet the limit together."""
    step = "import time\ndef main(state):\n    time.sleep(0.15)\n    return state"
    steps = [{"id": f"s{n}", "expression": step, "next": {f"s{n + 1}": True}} for n in range(3)]
    steps[-1].pop("next")
    plan = {"workflow": {"steps": steps}}
    assert (
        zygote.execute(plan, options=RunOptions(step_timeout_s=0.4)).result(20).reason == "success"
    )
    result = zygote.execute(plan, options=RunOptions(timeout_s=0.4)).result(20)
    assert "400 ms (timeout_s)" in result.error.message


def test_silence_is_limited(zygote: Engine):
    """A run that sends messages may take its time; a silent run has gone astray."""
    talking = (
        "import time\ndef main(state):\n    for n in range(12):\n        print(n)\n        time.sleep(0.2)\n"
        "    return state"
    )
    calm = zygote.execute("def main(state): return state")  # the zygote may take long to load
    assert calm.result(60).reason == "success"
    # The sum is longer than the limit, but each pause is far below it.
    result = zygote.execute(talking, options=RunOptions(idle_timeout_s=2)).result(60)
    assert result.reason == "success", result.error
    silent = "import time\ndef main(state): time.sleep(60)"
    result = zygote.execute(silent, options=RunOptions(idle_timeout_s=0.3)).result(20)
    assert result.error.name == "TimeoutError"
    assert "300 ms (idle_timeout_s)" in result.error.message


def test_processor_time_is_limited(zygote: Engine):
    """A job that waits uses no processor time; a busy job meets the limit."""
    waits = "import time\ndef main(state):\n    time.sleep(0.5)\n    return state"
    assert zygote.execute(waits, options=RunOptions(cpu_s=0.3)).result(20).reason == "success"
    result = zygote.execute(NEVER_RETURNS["busy loop"], options=RunOptions(cpu_s=0.3)).result(20)
    assert result.error.name == "CPULimitError"
    assert "0.3 s (cpu_s)" in result.error.message
    assert result.usage.cpu_s < 3


MEMORY_BOMBS = {
    "list": "def main(state):\n    x = [0]\n    while True: x += x",
    "one string": "def main(state): return 'x' * 10**12",
    "many strings": "def main(state):\n    x = []\n    while True: x.append('y' * 10**6)",
    "swallowed": (
        "def main(state):\n    x = []\n    while True:\n        try:\n            x.append(bytearray(10**7))\n"
        "        except MemoryError: raise"
    ),
}


@pytest.mark.parametrize("source", MEMORY_BOMBS.values(), ids=MEMORY_BOMBS)
def test_memory_is_limited(zygote: Engine, source: str):
    """A lack of memory is reported as such with the limit, and never as a bare exit code."""
    result = zygote.execute(source, options=RunOptions(memory_mb=100)).result(30)
    assert result.error.name == "OOMError"
    assert result.reason == "kill"
    assert "100 MB" in result.error.message
    assert zygote.execute("def main(state): return state").result(20).reason == "success"


def test_a_job_that_handles_its_memory_error_goes_on(zygote: Engine):
    """The job first meets the limit inside the child, where Python can refuse the memory."""
    source = "def main(state):\n    try:\n        x = 'x' * 10**10\n    except MemoryError:\n        return {'too': 'much'}"
    assert zygote.execute(source).result(20).state == {"too": "much"}


def test_the_size_of_a_state_is_limited(zygote: Engine):
    """The error names the job that made the state, and the run does not succeed."""
    source = "def main(state): return {'data': 'x' * 3_000_000}"
    run = zygote.execute(source, options=RunOptions(state_mb=2))
    events = finish(run)
    result = run.result()
    assert (result.error.name, result.error.step_id) == ("StateTooLargeError", "job-1")
    assert "allowed: 2 MB (state_mb)" in result.error.message
    assert types_of(events)[-2:] == ["job-error", "workflow-error"]


def test_a_large_payload_is_left_out_of_the_event_only(zygote: Engine):
    """The next step gets the whole payload."""
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(state): return {'data': 'x' * 100_000}",
                    "next": "b",
                },
                {"id": "b", "expression": "def main(state): return {'n': len(state.data)}"},
            ]
        }
    }
    run = zygote.execute(plan, options=RunOptions(payload_mb=0.05))
    completes = [event for event in finish(run) if event.type == "job-complete"]
    assert [event.redacted for event in completes] == [True, False]
    assert completes[0].state == "[redacted]"
    assert run.result().state == {"n": 100_000, "data": {}} or run.result().state == {"n": 100_000}


def test_events_may_go_without_states(zygote: Engine):
    """A manager that turns states off pays nothing for them."""
    run = zygote.execute("def main(state): return state", options=RunOptions(event_state=False))
    [complete] = [event for event in finish(run) if event.type == "job-complete"]
    assert (complete.state, complete.redacted) == (None, False)


def test_log_volume_is_limited_twice(zygote: Engine):
    """Above the limit lines are dropped and counted; above ten times the limit the run ends."""
    source = "def main(state):\n    for n in range({n}): print('x' * 100)\n    return state"
    run = zygote.execute(source.format(n=100), options=RunOptions(max_log_bytes=5_000))
    events = finish(run)
    assert run.result().reason == "success"
    logs = [event for event in events if event.type == "log"]
    assert len(logs) < 60
    assert "dropped" in logs[-1].message
    result = zygote.execute(source.format(n=10**9), options=RunOptions(max_log_bytes=5_000)).result(
        20
    )
    assert result.error.name == "OutputLimitError"
    assert "max_log_bytes" in result.error.message


def test_one_long_line_is_left_out(zygote: Engine):
    """The replacement says how long the line was."""
    run = zygote.execute(
        "def main(state):\n    print('x' * 50_000)\n    return state",
        options=RunOptions(log_payload_mb=0.01),
    )
    [line] = [event for event in finish(run) if event.type == "log"]
    assert line.redacted
    assert "50000 characters" in line.message


def test_the_standard_streams_count_as_logs(plain: Engine):
    """A flood on descriptor 1 ends the run, and does not fill the memory of the manager."""
    source = "import os\ndef main(state):\n    while True: os.write(1, b'x' * 4096 + b'\\n')"
    result = plain.execute(source, options=RunOptions(max_log_bytes=100_000)).result(20)
    assert result.error.name == "OutputLimitError"


def diamonds(count: int) -> dict:
    """Return a plan in which every diamond doubles the executions after it."""
    steps = []
    for n in range(count):
        steps += [
            {"id": f"top{n}", "next": {f"l{n}": True, f"r{n}": True}},
            {"id": f"l{n}", "next": f"top{n + 1}"},
            {"id": f"r{n}", "next": f"top{n + 1}"},
        ]
    steps.append({"id": f"top{count}", "expression": "def main(state): return state"})
    return {"workflow": {"steps": steps}}


def test_the_number_of_step_runs_is_limited(zygote: Engine):
    """Ten diamonds in a chain would run 4093 steps."""
    result = zygote.execute(diamonds(10)).result(20)
    assert result.error.name == "OutputLimitError"
    assert "1000 steps (max_step_runs)" in result.error.message
    small = zygote.execute(diamonds(3)).result(20)
    assert small.reason == "success"
    assert set(small.state) == {"top3"} | {f"top3-{n}" for n in range(1, 8)}


def test_the_number_of_events_is_limited(zygote: Engine):
    """The sum of many small lines meets the limit."""
    source = "def main(state):\n    while True: print()"
    result = zygote.execute(source, options=RunOptions(max_events=500)).result(20)
    assert result.error.name == "OutputLimitError"
    assert "500 events (max_events)" in result.error.message


def test_a_manager_that_does_not_poll_costs_bounded_memory(zygote: Engine, monkeypatch):
    """Logs that are not polled are dropped and counted; lifecycle events are kept."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 10_000)  # in place of 131,072
    source = "def main(state):\n    for n in range(15_000): print(n)\n    return state"
    run = zygote.execute(source, options=RunOptions(max_log_bytes=10**8))
    result = run.result(60)
    events = run.poll(after=0)
    assert result.reason == "success"
    assert 10_000 < len(events) < 10_100
    assert types_of(events)[-1] == "workflow-complete"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert any("dropped" in event.message for event in events[-3:] if event.type == "log")


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("none", "state {'data': {'x': 1}} 5"),
        ("remove", "state 5"),
        ("obfuscate", "state [object] 5"),
        ("summarize", "state (object with keys data) 5"),
    ],
)
def test_what_logs_show_of_objects_can_be_limited(zygote: Engine, mode: str, line: str):
    """The options are those of the JavaScript runtime's logger; text and numbers stay."""
    source = "def main(state):\n    print('state', {'data': state.data}, 5)\n    return state"
    run = zygote.execute(source, {"data": {"x": 1}}, options=RunOptions(sanitize=mode))
    assert [event.message for event in finish(run) if event.type == "log"] == [line]
