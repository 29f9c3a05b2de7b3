"""For each death of a child, the engine reports what the kernel saw, and the next run works.

The death table: the place in the run, the way to die, and the expected report, in every start mode.
The jobs are plain Python (no language wall): they may do anything within the kernel wall.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from runs import MODES, finish, make_engine, types_of, wait_for
from warm import WarmProcess

from engine import Engine, JobError, Policy, RunOptions
from engine.start import zygote

WHERE = {
    "while loading": "{how}\ndef main(state): return state",
    "in an operation": "def main(state):\n    {how}",
    "in the second operation": "def main(state):\n    {how}\noperations = [lambda s: s, main]",
    "in an async operation": (
        "import asyncio\nasync def main(state):\n    await asyncio.sleep(0)\n    {how}"
    ),
    "in a thread": (
        "import threading\ndef die():\n    {how}\n"
        "def main(state):\n    t = threading.Thread(target=die)\n    t.start()\n    t.join()\n    while 1: pass"
    ),
}

SOME_PLACE = "in an operation"

HOW = {
    "os._exit(0)": ("import os; os._exit(0)", "ExitError", "exit code 0"),
    "os._exit(7)": ("import os; os._exit(7)", "ExitError", "exit code 7"),
    "abort": ("import os; os.abort()", "ExitError", "SIGABRT"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "ExitError", "SIGSEGV"),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "ExitError", "SIGKILL"),
    "forbidden call": (
        "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
        "SecurityError",
        "system call",
    ),
}


@pytest.fixture(params=MODES, scope="module")
def killed_in(request):
    """Each mode has one shared engine, which each death must leave as it was."""
    with make_engine(request.param, policy=Policy(language=False)) as engine:
        yield engine


@pytest.fixture(autouse=True)
def no_leak():
    """The engine outlives the single test here; other tests check the end of the fixture."""


@pytest.mark.parametrize("how", HOW)
def test_a_death_becomes_what_it_was(killed_in: Engine, how: str, request: pytest.FixtureRequest):
    """Each run has one terminal event, a closed job and the cause, and the next runs work.

    A spare is a child like the others when it has its run: one place is enough to see that the next spare works.
    """
    code, name, text = HOW[how]
    options = RunOptions(timeout_s=60)
    places = [SOME_PLACE] if "+spare" in request.node.callspec.params["killed_in"] else list(WHERE)
    runs = {
        place: killed_in.execute(WHERE[place].format(how=code), options=options) for place in places
    }
    for place, run in runs.items():
        events = finish(run)
        result = run.result()

        assert (result.error.name, result.error.step_id) == (name, "job-1"), place
        assert text in result.error.message, place
        assert events[-1].type == "workflow-error", place
        assert types_of(events)[-2:] == ["job-error", "workflow-error"], place
    assert killed_in.execute("def main(state): return state", {"ok": 1}).result(20).state == {
        "ok": 1,
        "data": {},
    }


def test_an_uncaught_exception_in_a_thread_is_logged_not_fatal(killed_in: Engine):
    """A thread of the job may fail; the run logs this and goes on."""
    source = (
        "import threading\ndef boom(): raise ValueError('in a thread')\n"
        "def main(state):\n    t = threading.Thread(target=boom)\n    t.start()\n    t.join()\n    return state"
    )
    run = killed_in.execute(source)
    events = finish(run)
    assert run.result().reason == "success"
    assert any("in a thread" in event.message for event in events if event.type == "log")


def test_a_thread_that_outlives_the_job_dies_with_the_run(killed_in: Engine):
    """The run is over with its workflow, even if a thread still runs in the child."""
    source = (
        "import threading, time\ndef main(state):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n    return state"
    )
    assert killed_in.execute(source).result(20).reason == "success"


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_a_child_killed_from_outside(mode: str):
    """An operator's kill -9 is reported as a signal."""
    before = psutil.Process().children()
    with make_engine(mode) as engine:
        run = engine.execute("import time\ndef main(state): time.sleep(60)")
        wait_for(run, "job-start")
        [child] = [child for child in psutil.Process().children() if child not in before]
        if mode == "zygote":
            [child] = child.children()
        child.kill()
        result = run.result(20)
        assert result.error.name == "ExitError"
        assert "SIGKILL" in result.error.message
        assert engine.execute("def main(state): return state").result(20).reason == "success"


def test_a_stopped_child_meets_its_timeout(killed_in: Engine):
    """A child that is stopped by SIGSTOP still meets its limit."""
    source = "import os, signal\ndef main(state): os.kill(os.getpid(), signal.SIGSTOP)"
    result = killed_in.execute(source, options=RunOptions(timeout_s=0.3)).result(20)
    assert result.error.name == "TimeoutError"


def test_a_child_that_closes_everything_and_sleeps(killed_in: Engine):
    """After an end of file without a final message, the child gets a moment and is then killed."""
    source = "import os, time\ndef main(state):\n    os.closerange(0, 1000)\n    time.sleep(60)"
    run = killed_in.execute(source, options=RunOptions(timeout_s=30))
    assert run.result(20).error.name == "ProtocolError"
    finish(run)


def test_a_zygote_that_dies_takes_its_runs_along_and_is_replaced():
    """Its runs end with a report of the cause, and the queue goes on."""
    before = psutil.Process().children()
    with make_engine("zygote", max_runs=1) as engine:
        run = engine.execute("import time\ndef main(state): time.sleep(60)")
        queued = engine.execute("def main(state): return {'fine': True}")
        wait_for(run, "job-start")
        [zygote] = [child for child in psutil.Process().children() if child not in before]
        [child] = zygote.children()
        zygote.kill()
        result = run.result(20)
        assert (result.error.name, result.reason) == ("SpawnError", "exception")
        assert queued.result(20).state == {"fine": True}
        child.wait(5)
        assert not child.is_running()


def test_a_run_ends_whose_zygotes_die_before_they_are_asked_for_a_child(monkeypatch):
    """The run gets a second zygote; when that dies as well, the run says so."""
    spawn = zygote.spawn_server

    def spawn_and_bury(*given):
        pid = spawn(*given)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    monkeypatch.setattr(zygote, "child_command", lambda: [sys.executable, "-c", "pass"])
    monkeypatch.setattr(zygote, "spawn_server", spawn_and_bury)
    with make_engine("zygote") as engine:
        result = engine.execute("def main(state): return state").result(20)
        assert (result.error.name, result.reason) == ("SpawnError", "exception")
        monkeypatch.undo()
        assert engine.execute("def main(state): return state").result(20).reason == "success"


def test_a_zygote_waits_for_an_engine_that_is_slow(monkeypatch):
    """It may have loaded all before a busy machine lets the engine say what to prepare."""
    spawn = zygote.spawn_server

    def spawn_and_wait(*given):
        pid = spawn(*given)
        process = psutil.Process(pid)
        waits, is_gone = psutil.STATUS_SLEEPING, psutil.STATUS_ZOMBIE
        while (status := process.status()) not in (waits, is_gone):
            pass
        assert status == waits
        return pid

    monkeypatch.setattr(zygote, "spawn_server", spawn_and_wait)
    before = psutil.Process().children()
    with make_engine("zygote") as engine:
        assert engine.execute("def main(state): return state").result(20).reason == "success"
        assert len(psutil.Process().children()) == len(before) + 1


def test_a_crash_after_the_last_word_is_told_or_came_too_late():
    """A child that is dead when its final message is read has crashed; otherwise the run is a
    success.

    In both cases the last event and the result agree, and the next run works.
    """
    source = (
        "import os, sys\n"
        "class Out:\n    def flush(self): pass\n    def write(self, text): pass\n"
        "def main(state):\n"
        "    import sandbox_child.bootstrap as b\n"
        "    b._flush_streams = lambda: None\n"
        "    real = b.Channel.send\n"
        "    def send(self, message):\n"
        "        real(self, message)\n"
        "        if type(message).__name__ == 'WorkflowComplete': os.abort()\n"
        "    b.Channel.send = send\n"
        "    return state\n"
    )
    with make_engine("zygote", policy=Policy(language=False)) as engine:
        for _ in range(20):
            run = engine.execute(source)
            result = run.result(20)
            last = finish(run)[-1]
            if last.type == "workflow-complete":
                assert (result.reason, result.error) == ("success", None)
            else:
                assert result.error == last.error
                assert "SIGABRT" in result.error.message


HANGING_MANAGER = """
import sys, time
from runs import make_engine, wait_for
engine = make_engine(sys.argv[1])
run = engine.execute("import time\\ndef main(state): time.sleep(60)")
wait_for(run, "job-start")
print("running", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("mode", MODES)
def test_the_children_of_a_killed_manager_are_gone(mode: str):
    """SIGKILL of the manager leaves no child, within a second."""
    ours, theirs = os.pipe()
    with os.fdopen(ours) as output, Path(os.devnull).open("r+b") as nothing:
        try:
            streams = (nothing.fileno(), theirs, nothing.fileno())
            manager = WarmProcess(HANGING_MANAGER, mode, streams=streams)
        finally:
            os.close(theirs)
        try:
            assert output.readline() == "running\n"
            family = psutil.Process(manager.pid).children(recursive=True)
            assert family
        finally:
            manager.send_signal(signal.SIGKILL)
        manager.wait(20)
        deadline = time.monotonic() + 1.0
        while any(map(lives, family)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended may wait for its new parent."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_report_of_an_open_job_is_the_report_of_the_run(killed_in: Engine):
    """The engine closes the open job with the cause."""
    run = killed_in.execute("import os\ndef main(state): os._exit(3)")
    events = finish(run)
    [closing] = [event for event in events if isinstance(event, JobError)]
    assert closing.error == events[-1].error
