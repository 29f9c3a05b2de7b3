"""The engine inside of other programs: forks, signals, loops, and a lack of descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from manager_process import manage, says
from runs import MODES, finish, make_engine, types_of, wait_for

import engine as jobcell
from engine import Engine, Resolvers, RunOptions

CALM = "def main(state): return {**state, 'calm': True}"
SLEEPS = "import time\ndef main(state): time.sleep(60)"
START_MODES = ["exec", "zygote"]


# --- forks ---


@pytest.mark.parametrize("mode", START_MODES)
def test_a_fork_of_the_manager_is_told_that_the_engine_is_not_its_own(mode: str):
    """Every call in the fork reports this, closing does nothing, and the parent's run goes on."""
    says(
        manage(
            """
            engine = make_engine(MODE)
            run = engine.execute(SLEEPS)
            wait_for(run, "job-start")
            child = os.fork()
            if child == 0:
                calls = (
                    lambda: engine.execute(CALM), run.poll, run.result, run.cancel,
                    lambda: run.__aiter__().__anext__().send(None),
                    lambda: run.__await__().send(None),
                )
                refused = 0
                for call in calls:
                    try:
                        call()
                    except EngineError as error:
                        refused += "process" in str(error)
                engine.close()
                own = make_engine(MODE)
                fine = own.execute(CALM).result(30).reason
                own.close()
                print(refused, fine, flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert not run.done
            run.cancel("enough")
            print(run.result(20).reason, engine.execute(CALM).result(20).reason, flush=True)
            engine.close()
            """,
            mode,
        ),
        "6 success",
        "cancelled success",
    )


def test_a_fork_that_lives_on_does_not_keep_the_supervisor_busy():
    """The fork holds copies of all pipes, but a closed pipe must not stay in the epoll set."""
    says(
        manage(
            """
            engine = make_engine(MODE)
            run = engine.execute("import time\\ndef main(state): time.sleep(0.3)")
            wait_for(run, "job-start")
            child = os.fork()
            if child == 0:
                time.sleep(60)
            assert run.result(20).reason == "success"
            assert engine.execute(CALM).result(20).reason == "success"
            before = time.process_time()
            time.sleep(0.5)
            print(time.process_time() - before < 0.1)
            os.kill(child, 9)
            os.waitpid(child, 0)
            engine.close()
            """
        ),
        "True",
    )


def test_an_engine_works_in_a_child_of_multiprocessing(tmp_path):
    """Each process makes its own engine, and these do not disturb each other, however it was started."""
    script = tmp_path / "pool.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "import engine\n"
        "def work(n):\n"
        "    return engine.run('def main(state): return {\"n\": state[\"n\"] + 1}', {'n': n})['n']\n"
        "if __name__ == '__main__':\n"
        "    with engine.Engine() as own:\n"
        "        own.execute('def main(state): return state').result(30)\n"
        "        # One import for both processes of this pool; those of spawn import it for themselves.\n"
        "        multiprocessing.set_forkserver_preload(['engine'])\n"
        "        for method in ('fork', 'spawn', 'forkserver'):\n"
        "            with multiprocessing.get_context(method).Pool(2) as pool:\n"
        "                print(method, pool.map(work, range(2)))\n"
        "            print(own.execute('def main(state): return state').result(30).reason)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=90
    )
    expected = [
        line
        for method in ("fork", "spawn", "forkserver")
        for line in (f"{method} [1, 2]", "success")
    ]
    assert done.stdout.splitlines() == expected, done.stderr


# --- signals ---


@pytest.mark.parametrize("mode", START_MODES)
def test_a_manager_that_ignores_its_children(mode: str):
    """With SIGCHLD ignored the kernel reaps the children; a child does not inherit this."""
    says(
        manage(
            """
            import signal
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            with make_engine(MODE) as engine:
                print(engine.execute(CALM).result(30).reason)
                run = engine.execute(SLEEPS)
                wait_for(run, "job-start")
                run.cancel("enough")
                print(run.result(20).reason)
                print(engine.execute("def main(state): raise ValueError").result(30).error.name)
            """,
            mode,
        ),
        "success",
        "cancelled",
        "RuntimeError",
    )


@pytest.mark.parametrize("mode", START_MODES)
def test_a_manager_that_waits_for_every_child(mode: str):
    """waitpid(-1) takes exits away, but no run is lost, and no other process is killed."""
    says(
        manage(
            """
            def reap():
                while True:
                    try:
                        os.waitpid(-1, 0)
                    except ChildProcessError:
                        time.sleep(0.001)
            threading.Thread(target=reap, daemon=True).start()
            with make_engine(MODE) as engine:
                print({engine.execute(CALM).result(30).reason for _ in range(6)})
            """,
            mode,
        ),
        "{'success'}",
    )


def test_control_c_during_run_leaves_nothing():
    """The interrupt reaches the caller, and the child is gone."""
    # A shell makes its background jobs ignore the signal, and these tests may be such a job.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()

    def on_event(event: object) -> None:
        if event.type == "job-start":
            # Not at once: the caller is in this function now, and not in its wait for the next event.
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    try:
        with pytest.raises(KeyboardInterrupt):
            jobcell.run(SLEEPS, on_event=on_event)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begun < 10


# --- threads, loops ---


def test_in_a_running_loop_the_blocking_interface_works(engine: Engine):
    """The call blocks only the loop, for the time of the run."""

    async def manage_in_loop() -> object:
        return engine.execute(CALM).result(30).reason, jobcell.run(CALM)["calm"]

    assert asyncio.run(manage_in_loop()) == ("success", True)


def test_an_awaiting_task_may_be_cancelled(zygote: Engine):
    """The run goes on without the task, and can be awaited again."""

    async def manage_in_loop() -> str:
        run = zygote.execute("import time\ndef main(state): time.sleep(0.3)")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(x async for x in run if x.type == "job-complete"), 0.05)
        return (await run).reason

    assert asyncio.run(manage_in_loop()) == "success"


def test_a_daemon_thread_may_be_the_manager(mode: str):
    """The engine belongs to the process, and not to the thread that made it."""
    results: list[str] = []

    def manage_in_thread() -> None:
        with make_engine(mode) as engine:
            results.append(engine.execute(CALM).result(30).reason)

    thread = threading.Thread(target=manage_in_thread, daemon=True)
    thread.start()
    thread.join(60)
    assert results == ["success"]


def test_children_outlive_the_thread_that_asked_for_them(mode: str):
    """The children belong to the supervisor and not to the caller; PDEATHSIG follows threads."""
    runs = []
    with make_engine(mode) as engine:
        source = "import time\ndef main(state):\n    time.sleep(0.3)\n    return state"
        thread = threading.Thread(target=lambda: runs.append(engine.execute(source)))
        thread.start()
        thread.join()
        assert runs[0].result(30).reason == "success"


# --- an end without close ---


@pytest.mark.parametrize("mode", MODES)
def test_an_interpreter_ends_with_runs_in_flight(mode: str):
    """The exit does not hang although the engine is still open, and no child is left."""
    done = manage(
        """
        import psutil
        engine = make_engine(MODE, max_runs=1)
        run = engine.execute(SLEEPS)
        queued = engine.execute(CALM)
        wait_for(run, "job-start")
        print(*(child.pid for child in psutil.Process().children(recursive=True)))
        """,
        mode,
        real_end=True,
    )
    assert done.returncode == 0, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert pids
    deadline = time.monotonic() + 5
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "a child was left"
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_interpreter_ends_with_a_resolver_that_never_returns():
    """The thread of the resolver is a daemon."""
    says(
        manage(
            """
            asked = threading.Event()
            def resolver(value_id):
                asked.set()
                threading.Event().wait()
            engine = make_engine(MODE)
            plan = {"workflow": {"steps": [{"expression": CALM, "configuration": "c"}]}}
            run = engine.execute(plan, resolvers=Resolvers(credential=resolver))
            print(asked.wait(20))
            """,
            real_end=True,
        ),
        "True",
    )


def test_an_engine_that_nobody_closed_goes_with_its_last_handle():
    """Its runs end first; then the thread, the zygote and the descriptors are gone."""
    says(
        manage(
            """
            import gc, psutil
            def use():
                return make_engine(MODE).execute("import time\\ndef main(state): time.sleep(0.3)")
            count = len(os.listdir("/proc/self/fd"))
            run = use()
            gc.collect()
            print(run.result(20).reason)
            del run
            deadline = time.monotonic() + 5
            while psutil.Process().children() or threading.active_count() > 1:
                if time.monotonic() > deadline:
                    sys.exit("left behind")
                time.sleep(0.01)
            gc.collect()
            print(len(os.listdir("/proc/self/fd")) - count)
            """
        ),
        "success",
        "0",
    )


def test_closing_does_not_wait_for_a_resolver():
    """The run that needs the resolver ends cancelled, in its grace period."""
    hold, asked = threading.Event(), threading.Event()

    def resolver(value_id: str) -> dict:
        asked.set()
        hold.wait(60)
        return {}

    plan = {"workflow": {"steps": [{"expression": CALM, "configuration": "c"}]}}
    engine = make_engine("zygote")
    run = engine.execute(plan, resolvers=Resolvers(credential=resolver))
    assert asked.wait(20)
    begun = time.monotonic()
    engine.close()
    assert time.monotonic() - begun < 2
    assert run.result(0).error.name == "Cancelled"
    hold.set()
    for thread in threading.enumerate():
        if thread.name.startswith("jobcell-resolve"):
            thread.join(5)


def test_on_event_that_blocks_does_not_stop_the_clock():
    """The run meets its timeout while the manager's callback sleeps."""
    seen = []

    def on_event(event: object) -> None:
        seen.append(event)
        if len(seen) == 1:
            time.sleep(1)

    with pytest.raises(jobcell.RunError) as caught:
        jobcell.run(SLEEPS, options=RunOptions(timeout_s=0.3), on_event=on_event)
    assert caught.value.error.name == "TimeoutError"
    assert seen[-1].duration_ms < 900


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_a_resolver_that_raises_what_cannot_be_said(zygote: Engine):
    """The run ends at once with a report."""

    def resolver(value_id: str) -> dict:
        raise _Unspeakable

    plan = {"workflow": {"steps": [{"expression": CALM, "configuration": "c"}]}}
    result = zygote.execute(plan, resolvers=Resolvers(credential=resolver)).result(10)
    assert result.error.name == "CredentialLoadError"
    assert "_Unspeakable" in result.error.message


def test_no_thread_for_a_resolver_is_told_as_that(zygote: Engine, monkeypatch):
    """The run ends with the error of the credential, and not with an error of the engine."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("jobcell-resolve"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    plan = {"workflow": {"steps": [{"expression": CALM, "configuration": "c"}]}}
    result = zygote.execute(plan, resolvers=Resolvers(credential=lambda _: {})).result(10)
    assert result.error.name == "CredentialLoadError"
    assert "can't start new thread" in result.error.message


def test_no_thread_for_the_supervisor_is_an_engine_error(monkeypatch):
    """`execute` raises the error; the engine keeps nothing, and the call can be repeated."""
    engine = make_engine("zygote")
    with monkeypatch.context() as patch:

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(jobcell.EngineError, match="can't start new thread"):
            engine.execute(CALM)
    assert engine.execute(CALM).result(30).reason == "success"
    engine.close()


def test_a_handle_that_outlives_its_engine_writes_to_nobody(zygote: Engine):
    """The number of the engine's old descriptor may belong to another file by then."""
    engine = make_engine("zygote")
    run = engine.execute(SLEEPS)
    wait_for(run, "job-start")
    late = run._cancel  # a thread may be about to call this
    engine.close()
    pipes = [os.pipe() for _ in range(30)]
    try:
        late("late")
        run.cancel("late")
        for read_end, _ in pipes:
            os.set_blocking(read_end, False)
            with pytest.raises(BlockingIOError):
                os.read(read_end, 100)
    finally:
        for pair in pipes:
            for end in pair:
                os.close(end)


# --- descriptors ---


@pytest.mark.usefixtures("real_start")
@pytest.mark.parametrize("mode", MODES)
def test_a_manager_with_thousands_of_descriptors(mode: str):
    """The descriptors have numbers above 1023, which select(2) does not know."""
    opened = []
    try:
        opened += [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
        with make_engine(mode, max_runs=2) as engine:
            runs = [engine.execute(CALM) for _ in range(3)]
            assert {run.result(30).reason for run in runs} == {"success"}
            run = engine.execute(SLEEPS)
            wait_for(run, "job-start")
            run.cancel("enough")
            assert run.result(20).reason == "cancelled"
    finally:
        for fd in opened:
            os.close(fd)


@pytest.mark.parametrize("mode", MODES)
def test_a_manager_without_standard_streams(mode: str, tmp_path):
    """A daemon has closed 0, 1 and 2; the engine's descriptors do not take their places."""
    told = tmp_path / "told"
    done = manage(
        f"""
        for fd in (0, 1, 2):
            os.close(fd)
        with make_engine(MODE) as engine:
            source = "def main(state):\\n    print('a line')\\n    return state"
            runs = [engine.execute(source) for _ in range(3)]
            reasons = {{run.result(30).reason for run in runs}}
            lines = [e.message for e in runs[0].poll(after=0) if e.type == "log"]
        with open({str(told)!r}, "w") as file:
            print(*reasons, *lines, file=file)
        os._exit(0)
        """,
        mode,
    )
    assert done.returncode == 0
    assert told.read_text() == "success a line\n"


EXHAUST = """
import resource
from engine.running import room
room.GIVE_UP_S = 0.05  # the promise is for any time; tests of the room have the real one
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
def exhaust(free):
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range(free):
        os.close(held.pop())
    return held
def release(held):
    for fd in held:
        os.close(fd)
def count_descriptors():
    # The engine may be opening or closing files of a control group at this moment.
    counts = [len(os.listdir("/proc/self/fd")) for _ in range(200)]
    return max(set(counts), key=counts.count)
# A start needs no descriptor of the manager.  So forks of an interpreter do as well.
from engine.start import exec as starts
from warm_children import Interpreters
interpreters = Interpreters(MODE)
starts.spawn = interpreters.spawn_without_descriptors
"""


@pytest.mark.parametrize("mode", START_MODES)
def test_a_lack_of_descriptors_is_told_and_passes(mode: str):
    """For any number of free descriptors the run has a clear end, and other runs go on."""
    says(
        manage(
            EXHAUST
            + """
with make_engine(MODE, max_runs=3) as engine:
    engine.execute(CALM).result(30)
    count = count_descriptors()
    steady = engine.execute("import time\\ndef main(state): time.sleep(0.5)")
    wait_for(steady, "job-start")
    ends = set()
    for free in range(0, 16):
        held = exhaust(free)
        run = engine.execute(CALM)
        result = run.result(20)
        release(held)
        name = result.error.name if result.error else "success"
        ends.add(name)
        assert [e.type for e in run.poll(after=0)][-1].startswith("workflow-")
    print(sorted(ends))
    print(steady.result(30).reason, engine.execute(CALM).result(30).reason)
    print(max(0, count_descriptors() - count))  # fewer are no leak
interpreters.close()
""",
            mode,
        ),
        "['SpawnError', 'success']",
        "success success",
        "0",
    )


@pytest.mark.parametrize("mode", START_MODES)
def test_an_engine_whose_first_run_finds_no_descriptors(mode: str):
    """The first run says so, with an error or at its end, and the next run works."""
    says(
        manage(
            EXHAUST
            + """
with make_engine(MODE) as warm:  # what is imported and looked up once is not the question
    warm.execute(CALM).result(30)
outcomes = []
for free in range(0, 20):
    if outcomes[-2:] == ["success"] * 2:
        break  # this many are enough
    engine = make_engine(MODE)
    held = exhaust(free)
    try:
        result = engine.execute(CALM).result(20)
        outcomes.append(result.error.name if result.error else "success")
    except EngineError as error:
        outcomes.append(type(error).__name__)
    release(held)
    assert engine.execute(CALM).result(30).reason == "success", free
    engine.close()
interpreters.close()
print(sorted(set(outcomes)))
""",
            mode,
            timeout_s=180,
        ),
        "['EngineError', 'SpawnError', 'success']",
    )


# --- times ---


def test_timeouts_of_years_are_timeouts(zygote: Engine):
    """The times are longer than an epoll or a lock can wait."""
    forever = RunOptions(
        timeout_s=1e12, step_timeout_s=1e12, idle_timeout_s=1e12, resolve_timeout_s=1e12
    )
    run = zygote.execute(CALM, options=forever)
    assert run.result(timeout_s=1e12).reason == "success"
    assert run.result(timeout_s=float("inf")).reason == "success"
    assert types_of(run.poll(timeout_s=1e12))[-1] == "workflow-complete"
    slow = zygote.execute("import time\ndef main(state): time.sleep(0.2)", options=forever)
    events = slow.poll(after=0, timeout_s=float("inf"))
    assert events
    finish(slow)


def test_an_idle_engine_uses_no_time():
    """The engine waits for its children without polling, in each mode: here four engines wait at once."""
    with contextlib.ExitStack() as stack:
        for mode in MODES:
            engine = stack.enter_context(make_engine(mode))
            assert engine.execute(CALM).result(30).reason == "success"
        time.sleep(0.2)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1
        gc.collect()
