"""At any end of an engine, no handle waits for ever, and no child is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from manager_process import manage, says
from runs import make_engine, wait_for

import engine.engine
from engine import Engine, EngineClosedError, RunOptions
from engine.running.session import Session

CALM = "def main(state): return {**state, 'calm': True}"
SLEEPS = "import time\ndef main(state): time.sleep(60)"


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_an_engine_is_closed_before_the_interpreter_ends(mode: str):
    """Code that looks at the run at that time, such as `__del__` of a global, finds it over."""
    says(
        manage(
            """
            class Service:
                def __init__(self):
                    self.engine = make_engine(MODE, max_runs=1)
                    self.run = self.engine.execute(SLEEPS)
                    self.queued = self.engine.execute(SLEEPS)
                    wait_for(self.run, "job-start")
                def __del__(self):
                    assert sys.is_finalizing()
                    self.engine.close()
                    print(self.run.result().reason, self.queued.result().reason)
            service = Service()
            """,
            mode,
            real_end=True,
        ),
        "cancelled cancelled",
    )


def test_no_run_begins_while_the_interpreter_ends():
    """A used engine and a new one raise an error instead of waiting."""
    says(
        manage(
            """
            class Late:
                def __init__(self, *engines):
                    self.engines = engines
                def __del__(self):
                    for engine in self.engines:
                        try:
                            engine.execute(CALM)
                        except EngineError as error:
                            print(error)
            used = make_engine(MODE)
            used.execute(CALM).result(30)
            late = Late(used, make_engine(MODE))
            """,
            real_end=True,
        ),
        "the interpreter is ending; no run was started",
        "the interpreter is ending; no run was started",
    )


def test_what_runs_at_exit_may_use_an_engine():
    """`atexit` calls functions while threads still run."""
    says(
        manage(
            """
            import atexit
            def before():
                try:
                    old.execute(CALM)
                except EngineError as error:
                    print(type(error).__name__)
                with make_engine(MODE) as new:
                    print(new.execute(CALM).result(30).reason)
            # `engine` was imported, so its own function is called before one that is registered earlier.
            functions = []
            sys.modules.pop("engine.running.supervisor")
            atexit.register(before)
            import engine.engine, engine.running.supervisor
            engine.engine.Supervisor = engine.running.supervisor.Supervisor
            old = make_engine(MODE)
            old.execute(CALM).result(30)
            """,
            real_end=True,
        ),
        "EngineClosedError",
        "success",
    )


def test_an_engine_that_is_closed_while_a_run_is_queued_loses_no_run(monkeypatch):
    """The thread of the engine has ended, and would never take the run."""
    made = make_engine("zygote")
    assert made.execute(CALM).result(30).reason == "success"

    def close_first(*args, **kwargs) -> Session:
        made.close()
        return Session(*args, **kwargs)

    monkeypatch.setattr(engine.engine, "Session", close_first)
    with pytest.raises(EngineClosedError):
        made.execute(CALM)


def test_every_call_of_close_waits_for_the_last_child():
    """A second call, while another thread closes the engine, waits as well."""
    before = psutil.Process().children()
    made = make_engine("exec", options=RunOptions(cancel_grace_s=1.0))
    run = made.execute(SLEEPS)
    wait_for(run, "job-start")
    supervisor = made._supervisor
    first = threading.Thread(target=made.close)
    first.start()
    while not supervisor._closing:
        time.sleep(0)
    made.close()
    assert run.result(0).error.name == "Cancelled"
    assert psutil.Process().children() == before
    first.join(10)


def test_a_signal_handler_may_close_an_engine_that_is_being_made(monkeypatch):
    """`execute` says that the engine is closed, and leaves no thread."""
    count = threading.active_count()
    made = make_engine("zygote")
    previous = signal.signal(signal.SIGUSR1, lambda *_: made.close())
    make_starter = made._make_starter

    def interrupted():
        signal.raise_signal(signal.SIGUSR1)
        return make_starter()

    monkeypatch.setattr(made, "_make_starter", interrupted)
    try:
        with pytest.raises(EngineClosedError):
            made.execute(CALM)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert threading.active_count() == count


@pytest.mark.parametrize("mode", ["exec", "zygote"])
@pytest.mark.parametrize("limit", [16, 20])
def test_a_limit_that_is_too_low_for_any_child_is_named_at_once(mode: str, limit: int):
    """No number is left for a descriptor of a child, so the run would wait in vain."""
    done = manage(
        f"""
        import resource
        engine = make_engine(MODE)
        resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
        for run in [engine.execute(CALM) for _ in range(3)]:
            print(run.result(30).error.name, run.result().error.message)
        """,
        mode,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("SpawnError")
        assert f"may have {limit} open files (RLIMIT_NOFILE)" in line


# --- zygotes that die or hang ---


def _zygote_of(made: Engine, before: list[psutil.Process]) -> psutil.Process:
    assert made.execute(CALM).result(30).reason == "success"
    [zygote] = [child for child in psutil.Process().children() if child not in before]
    return zygote


def test_a_run_survives_a_zygote_that_dies_before_the_run_begins():
    """The child had run no job, so another child is started, and no event comes twice."""
    before = psutil.Process().children()
    with make_engine("zygote") as made:
        for _ in range(5):
            _zygote_of(made, before).kill()
            run = made.execute(CALM)
            result = run.result(30)
            assert result.reason == "success", result.error
            types = [event.type for event in run.poll(after=0)]
            assert types.count("workflow-start") == types.count("job-start") == 1
            assert [event.seq for event in run.poll(after=0)] == list(range(1, len(types) + 1))


def _confined_forks(zygote: psutil.Process) -> list[psutil.Process]:
    """Return the forks of a zygote as soon as all of them have their filter of system calls."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        forks = zygote.children()
        statuses = [Path(f"/proc/{fork.pid}/status").read_text() for fork in forks]
        if forks and all("Seccomp:\t2" in status for status in statuses):
            return forks
        os.sched_yield()
    raise AssertionError("no spare was confined")


def _wait_gone(processes: list[psutil.Process]) -> None:
    """Wait until the processes no longer run; a process that was not reaped is a zombie."""

    def runs(one: psutil.Process) -> bool:
        try:
            return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + 30
    while any(map(runs, processes)):
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_spare_that_died_with_its_zygote_is_given_to_no_run():
    """The spare and the zygote are replaced before the run begins."""
    before = psutil.Process().children()
    with make_engine("zygote+spare") as made:
        for _ in range(3):
            zygote = _zygote_of(made, before)
            spares = _confined_forks(zygote)
            zygote.kill()
            _wait_gone([zygote, *spares])
            result = made.execute(CALM).result(30)
            assert result.reason == "success", result.error


@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize("stop", ["timeout", "cancel"])
def test_a_run_of_a_zygote_that_hangs_can_be_stopped(monkeypatch, when: str, stop: str):
    """The zygote hangs before it forks or before it reports an end; afterwards it is replaced."""
    before = psutil.Process().children()
    made = make_engine("zygote")
    zygote = _zygote_of(made, before)
    # From here on: a slow start must not look like a zygote that hangs.
    monkeypatch.setattr("engine.start.zygote.LOOK_S", 0.3)
    monkeypatch.setattr("engine.start.forked_child.HANG_LOOKS", 1000)
    try:
        options = RunOptions(timeout_s=1.0 if stop == "timeout" else None)
        if when == "before":
            zygote.suspend()
        run = made.execute(SLEEPS, options=options)
        if when == "during":
            wait_for(run, "job-start")
            zygote.suspend()
        if stop == "cancel":
            run.cancel("enough")
        assert run.result(30).error.name == ("TimeoutError" if stop == "timeout" else "Cancelled")
        assert [event.type for event in run.poll(after=0)][-1] == "workflow-error"
        monkeypatch.undo()
        assert made.execute(CALM).result(30).reason == "success"
    finally:
        if zygote.is_running():
            zygote.resume()
        made.close()
