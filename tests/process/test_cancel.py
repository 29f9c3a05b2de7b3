"""`cancel` works from any thread, at any time, once or often."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from runs import finish, make_engine, types_of, wait_for

from engine import Engine, RunOptions

SLEEPS = "import time\ndef main(state): time.sleep(60)"


def test_a_running_run_ends_cancelled(engine: Engine):
    """The message contains the reason, and the open job is closed."""
    run = engine.execute(SLEEPS)
    wait_for(run, "job-start")
    run.cancel("the user left")
    events = finish(run)
    result = run.result()
    assert (result.reason, result.error.name, result.error.severity) == (
        "cancelled",
        "Cancelled",
        "kill",
    )
    assert "the user left" in result.error.message
    assert types_of(events)[-2:] == ["job-error", "workflow-error"]


def test_a_queued_run_never_starts():
    """The run ends at once, although another run has the only place."""
    with make_engine("zygote", max_runs=1) as engine:
        first = engine.execute(SLEEPS)
        second = engine.execute(SLEEPS)
        third = engine.execute("def main(state): return {'third': True}")
        wait_for(first, "job-start")
        second.cancel("not needed")
        assert second.result(5).error.name == "Cancelled"
        assert [event.type for event in second.poll(after=0)] == ["workflow-error"]
        assert not first.done
        first.cancel("enough")
        assert third.result(20).state == {"third": True}


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({}, id="that is starting"),
        pytest.param({"data": "x" * 30_000_000}, id="that has not read all of its plan"),
    ],
)
@pytest.mark.parametrize("start_mode", ["exec", "zygote"])
def test_a_run_of_a_child_ends_at_once(start_mode: str, state: object):
    """Code of the job does not run yet, so the engine has nothing to wait for."""
    with make_engine(start_mode, options=RunOptions(cancel_grace_s=60.0)) as engine:
        run = engine.execute(SLEEPS, state)
        started = threading.Event()
        engine._supervisor.post(started.set)  # the start was posted before, so it is done by then
        assert started.wait(20)
        run.cancel("enough")
        assert run.result(20).error.name == "Cancelled"
        assert "init-start" not in types_of(finish(run))


def test_an_asynchronous_operation_sees_the_cancellation(zygote: Engine):
    """The operation gets a moment, so its last logs and its state arrive."""
    source = (
        "import asyncio\n"
        "async def main(state):\n"
        "    state['came'] = 'this far'\n"
        "    print('waiting')\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        print('tidied up')\n"
    )
    run = zygote.execute(source, options=RunOptions(cancel_grace_s=5))
    wait_for(run, "log")
    begun = time.monotonic()
    run.cancel("enough")
    events = finish(run)
    assert time.monotonic() - begun < 4
    assert "tidied up" in [event.message for event in events if event.type == "log"]
    [closing] = [event for event in events if event.type == "job-error"]
    assert closing.error.name == "Cancelled"
    assert closing.state["came"] == "this far"
    assert run.result().error.name == "Cancelled"


def test_a_job_that_ignores_it_is_killed_after_the_grace(zygote: Engine):
    """The engine asks the job only once."""
    source = (
        "import asyncio\nasync def main(state):\n    print('deaf')\n    while True:\n"
        "        try:\n            await asyncio.sleep(60)\n        except BaseException: pass"
    )
    run = zygote.execute(source, options=RunOptions(cancel_grace_s=0.1))
    wait_for(run, "log")
    run.cancel("enough")
    assert run.result(5).error.name == "Cancelled"


def test_cancelling_again_or_too_late_changes_nothing(zygote: Engine):
    """The first reason counts, and a finished run stays as it was."""
    run = zygote.execute(SLEEPS)
    wait_for(run, "job-start")
    run.cancel("first")
    run.cancel("second")
    assert "first" in run.result(10).error.message
    done = zygote.execute("def main(state): return state")
    done.result(20)
    done.cancel("late")
    assert done.result().reason == "success"


def test_cancel_from_a_signal_handler(zygote: Engine):
    """The call takes no lock, so it may interrupt anything, even a poll."""
    run = zygote.execute(SLEEPS)
    wait_for(run, "job-start")
    before = signal.signal(signal.SIGUSR1, lambda *_: run.cancel("a signal"))
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        while not run.done:
            run.poll(timeout_s=10)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "a signal" in run.result(10).error.message


def test_cancel_from_many_threads_at_every_moment(zygote: Engine):
    """At any moment of a cancellation the run has one end, and the engine goes on."""
    for delay in (0, 0.0005, 0.002, 0.004, 0.008, 0.02):
        run = zygote.execute("def main(state):\n    print('x')\n    return state")
        threads = [threading.Timer(delay, run.cancel, ("any moment",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        events = finish(run)
        assert run.result().reason in ("cancelled", "success"), events
        for thread in threads:
            thread.join()
