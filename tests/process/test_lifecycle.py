"""The life of a run as a manager sees it, in every start mode."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from pathlib import Path

import pytest
from runs import QUICK, finish, make_engine, types_of, wait_for

import engine as jobcell
from engine import Engine, EngineClosedError, RunError, RunOptions

TWO_STEPS = {
    "id": "two",
    "workflow": {
        "steps": [
            {
                "id": "a",
                "expression": "def main(state):\n    return {**state, 'n': 1}",
                "next": "b",
            },
            {"id": "b", "expression": "def main(state):\n    state.n += 1\n    return state"},
        ]
    },
}


def test_a_run_gives_its_events_in_order(engine: Engine):
    """The events cover the whole life of a run, and the result is the state of its leaf."""
    run = engine.execute(TWO_STEPS, {"data": {"x": 1}})
    events = finish(run)

    assert types_of(events) == [
        "workflow-start",
        *("init-start", "init-complete", "job-start", "job-complete"),
        "edge-resolved",
        *("init-start", "init-complete", "job-start", "job-complete"),
        "workflow-complete",
    ]
    result = run.result()
    assert (result.reason, result.error) == ("success", None)
    assert result.state == {"data": {"x": 1}, "n": 2}
    assert events[-1].state == result.state
    assert run.id == "two"
    assert {event.run_id for event in events} == {"two"}


@pytest.mark.usefixtures("real_start")
def test_every_run_has_an_interpreter_of_its_own(engine: Engine):
    """The next run does not see changes that a run makes in its process."""
    source = "seen = []\ndef main(state):\n    seen.append(1)\n    return {'n': len(seen)}"
    for _ in range(2):
        assert engine.execute(source).result(20).state == {"n": 1}


def test_events_arrive_while_the_run_goes_on(engine: Engine):
    """The events of a job that still waits have already arrived."""
    run = engine.execute("import time\ndef main(state):\n    print('here')\n    time.sleep(60)")
    assert wait_for(run, "log").message == "here"
    assert not run.done
    with pytest.raises(TimeoutError, match="goes on"):
        run.result(timeout_s=0.01)
    run.cancel("enough")
    assert run.result(10).reason == "cancelled"


def test_polling_without_a_cursor_gives_each_event_once(zygote: Engine):
    """A handle remembers the events that it has polled; a cursor reads them again."""
    run = zygote.execute("def main(state): return state")
    run.result(20)
    first = run.poll()
    assert [event.seq for event in first] == list(range(1, len(first) + 1))
    assert run.poll() == []
    assert run.poll(after=0) == first
    assert run.poll(after=len(first) - 1) == first[-1:]
    assert run.poll(after=99) == []
    with pytest.raises(ValueError, match="after must be"):
        run.poll(after=-1)


def test_runs_beyond_max_runs_wait_first_in_first_out():
    """The engine has one child at a time, in the order of the calls."""
    with make_engine("zygote", max_runs=1) as engine:
        runs = [engine.execute("def main(state): return state") for _ in range(4)]
        starts = []
        for run in runs:
            run.result(20)
            events = run.poll(after=0)
            starts.append((events[0].time, events[-1].time))
    assert starts == sorted(starts)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(starts))


def test_many_threads_may_use_one_engine(zygote: Engine):
    """Every thread gets its own result."""
    results: dict[int, object] = {}

    def use(number: int) -> None:
        results[number] = zygote.execute("def main(state): return state", {"n": number}).result(30)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: r.state["n"] for n, r in results.items()} == {n: n for n in range(8)}


def test_a_run_can_be_awaited_and_iterated(engine: Engine):
    """Neither way blocks a running loop."""

    async def manage() -> None:
        run = engine.execute(TWO_STEPS)
        seen = [event.type async for event in run]
        assert seen[0] == "workflow-start"
        assert seen[-1] == "workflow-complete"
        assert (await run).state == {"data": {}, "n": 2}
        both = await asyncio.gather(*(engine.execute(TWO_STEPS) for _ in range(2)))
        assert [result.reason for result in both] == ["success", "success"]

    asyncio.run(manage())


def test_a_closed_engine_says_so():
    """Closing is final, may be repeated, and cancels the running and the queued runs."""
    engine = make_engine("zygote", max_runs=1)
    running = engine.execute("import time\ndef main(state): time.sleep(60)", options=QUICK)
    queued = engine.execute("def main(state): return state")
    wait_for(running, "job-start")
    engine.close()
    engine.close()
    for run in (running, queued):
        assert run.done
        result = run.result(0)
        assert (result.reason, result.error.name) == ("cancelled", "Cancelled")
        assert "closed" in result.error.message
    assert [event.type for event in finish(queued)] == ["workflow-error"]
    with pytest.raises(EngineClosedError):
        engine.execute("def main(state): return state")


def test_run_returns_the_state_and_tells_every_event():
    """A single call returns the state and gives every event to the callback."""
    seen = []
    state = jobcell.run("def main(state): return {'a': 1}", {"data": {}}, on_event=seen.append)
    assert state == {"a": 1}
    assert seen[-1].type == "workflow-complete"
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))


def test_run_returns_the_error_of_a_job_in_the_state():
    """A failed job does not raise in the manager."""
    state = jobcell.run("def main(state):\n    raise ValueError('no')", {"data": {"x": 1}})
    assert state["data"] == {"x": 1}
    report = state["errors"]["job-1"]
    assert (report["name"], report["subtype"]) == ("RuntimeError", "ValueError")
    assert report["position"]["line"] == 2


def test_run_raises_when_the_workflow_could_not_be_walked():
    """A crash raises a RunError, which the manager handles."""
    with pytest.raises(RunError) as caught:
        jobcell.run("def main(state):\n    return nonsense")
    assert caught.value.error.name == "RuntimeCrash"
    assert caught.value.severity == "crash"
    assert caught.value.step_id == "job-1"


def test_what_on_event_raises_ends_the_run():
    """The exception of the manager comes back to it, and no child is left."""

    def on_event(event: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        jobcell.run("import time\ndef main(state): time.sleep(60)", on_event=on_event)


def test_two_limits_the_smaller_one_holds(zygote: Engine):
    """A plan cannot raise a limit of the manager, nor the other way round."""
    plan = {
        "workflow": {"steps": [{"expression": "while True: pass\nfn()"}]},
        "options": {"timeout": 100},
    }
    result = zygote.execute(plan, options=RunOptions(timeout_s=50)).result(20)
    assert result.error.name == "TimeoutError"
    assert "100 ms" in result.error.message
    plan["options"]["timeout"] = 50_000
    result = zygote.execute(plan, options=RunOptions(timeout_s=0.1)).result(20)
    assert "100 ms" in result.error.message


def test_a_closed_engine_has_let_go_of_its_descriptors(mode: str):
    """The descriptors are closed without the garbage collector, even if handles are kept."""
    gc.collect()
    gc.disable()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        with make_engine(mode) as engine:
            runs = [engine.execute(TWO_STEPS, {"data": {"x": 1}}) for _ in range(3)]
            assert [run.result(20).reason for run in runs] == ["success"] * 3
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        gc.enable()
