"""A run gives everything back: control groups, processes that it left, handles, threads."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from runs import finish, make_engine, wait_for

from engine import Engine, Policy, Resolvers, RunOptions

CALM = "def main(state): return {**state, 'calm': True}"
LASTS = "import time\ndef main(state):\n    time.sleep(0.6)\n    return state"
SLEEPS = "import time\ndef main(state): time.sleep(60)"
CGROUPS = Path("/sys/fs/cgroup")


def control_groups() -> set[str]:
    """Return the control groups of this process, in all places where the machine has them."""
    found = set()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        own = line.split(":", 2)[2].lstrip("/")
        for mount in (CGROUPS, *CGROUPS.glob("*/")):
            for parent in (mount / own, (mount / own).parent):
                if parent.is_relative_to(CGROUPS) and parent.is_dir():
                    found |= {str(path) for path in parent.glob(f"jobcell-{os.getpid()}-*/")}
    return found


@pytest.fixture(autouse=True)
def no_control_group_left() -> Iterator[None]:
    """Compare control groups before and after the test, too."""
    before = control_groups()
    yield
    assert control_groups() <= before, "control groups left behind"


def test_control_groups_are_removed_however_a_run_ends(mode: str):
    """A run that lasts has a group, which is empty and gone when the engine is closed."""
    with make_engine(mode, max_runs=4, policy=Policy(language=False)) as engine:
        endings = [
            engine.execute(LASTS),
            engine.execute(SLEEPS, options=RunOptions(timeout_s=0.6)),
            engine.execute(
                "import os, time\ndef main(state):\n    time.sleep(0.6)\n    os.abort()"
            ),
            engine.execute(SLEEPS),
        ]
        wait_for(endings[3], "job-start")
        time.sleep(0.5)  # a run enters its group only after some time
        endings[3].cancel("enough")
        names = [run.result(30).error and run.result().error.name for run in endings]
        assert names == [None, "TimeoutError", "ExitError", "Cancelled"]
        in_flight = engine.execute(SLEEPS)
        wait_for(in_flight, "job-start")


@pytest.mark.parametrize("start_mode", ["exec", "zygote"])
def test_what_a_child_has_started_dies_with_it(start_mode: str):
    """Without any wall a job may fork, but the whole family is gone with the run."""
    source = (
        "import os, time\ndef main(state):\n    pid = os.fork()\n"
        "    if pid == 0:\n        time.sleep(60)\n        os._exit(0)\n    return {'pid': pid}"
    )
    bare = Policy(level="none", language=False)
    with make_engine(start_mode, policy=bare) as engine:
        pid = engine.execute(source).result(30).state["pid"]
        deadline = time.monotonic() + 5
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)


ESCAPES = """
import os
from protocol import messages as m
from protocol.codec import encode
from protocol.framing import header
line = encode(m.LogBatch(entries=(m.LogEntry("info", "job", "x" * 1000),)))
block = {{1: b"x" * 4096, 11: (header(len(line)) + line) * 50}}[{fd}]
def main(state):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                os.write({fd}, block)
        os._exit(0)
    os.wait()
    return state
"""


@pytest.mark.parametrize("fd", [1, 11])
def test_a_flood_from_one_who_has_escaped_is_not_listened_to_for_ever(fd: int):
    """Without any wall a job can leave a process in another session, but the run still ends."""
    with make_engine("zygote", policy=Policy(level="none", language=False)) as engine:
        options = RunOptions(timeout_s=10, max_log_bytes=10**9)
        finish(engine.execute(ESCAPES.format(fd=fd), options=options), 20)
        assert engine.execute(CALM).result(20).reason == "success"


def test_a_run_that_is_over_keeps_nothing_but_its_events(zygote: Engine):
    """A handle may be kept for long, but keeps neither the plan nor the connection to the child."""
    run = zygote.execute(CALM, {"data": "x" * 1000})
    run.result(20)
    lanes = [x for x in gc.get_objects() if type(x).__name__ == "Lane" and x.run is run]
    references = [weakref.ref(lane) for lane in lanes]
    del lanes
    deadline = time.monotonic() + 2
    while any(reference() is not None for reference in references):
        assert time.monotonic() < deadline, "the lane is kept"
        time.sleep(0.02)
        gc.collect()
    assert run.result().state["calm"]


def test_an_abandoned_resolver_keeps_nothing_alive():
    """The thread of the resolver cannot be ended, but it must not keep the run in memory."""
    hold, asked = threading.Event(), threading.Event()

    def resolver(value_id: str) -> dict:
        asked.set()
        hold.wait(30)
        return {}

    plan = {"workflow": {"steps": [{"expression": CALM, "configuration": "c"}]}}
    engine = make_engine("zygote")
    run = engine.execute(
        plan,
        resolvers=Resolvers(credential=resolver),
        options=RunOptions(resolve_timeout_s=1.0),
    )
    assert asked.wait(10)
    [reference] = [
        weakref.ref(x) for x in gc.get_objects() if type(x).__name__ == "Lane" and x.run is run
    ]
    assert reference() is not None
    assert run.result(10).error.name == "CredentialLoadError"
    engine.close()
    del run, engine
    gc.collect()
    try:
        assert reference() is None
    finally:
        hold.set()
        for thread in threading.enumerate():
            if thread.name.startswith("jobcell-resolve"):
                thread.join(5)


def test_a_zygote_that_hangs_is_replaced(monkeypatch):
    """If an operator stops a zygote, a run that waits for it gets a child of another zygote."""
    before = psutil.Process().children()
    engine = make_engine("zygote")
    assert engine.execute(CALM).result(20).reason == "success"
    [zygote] = [child for child in psutil.Process().children() if child not in before]
    # From here on: a slow start must not look like a zygote that hangs.
    monkeypatch.setattr("engine.start.zygote.LOOK_S", 1.0)
    zygote.send_signal(signal.SIGSTOP)
    try:
        run = engine.execute(CALM)
        zygote.wait(30)
        monkeypatch.undo()  # the next zygote may take its time to load
        assert run.result(30).reason == "success"
        assert engine.execute(CALM).result(20).reason == "success"
    finally:
        if zygote.is_running():
            zygote.send_signal(signal.SIGCONT)
        engine.close()
