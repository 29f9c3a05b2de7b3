"""A hostile adaptor in a warm zygote learns nothing of a run, and harms only runs of its own set.

The adaptors here reach our own objects in their process, and switch off all that depends on them.  So what
holds is what the kernel and the clean zygote enforce.  A twin runs with a copy of the child's code in which
one line of that is missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from modes import let_everybody_in
from runs import make_engine
from warm_pairs import PATIENCE_S, WarmRepo, run, set_of, wait_until_decided

from engine import Engine
from engine.confinement import interpreter

ROOT = Path(__file__).parents[2]

HOSTILE = """
import ctypes, gc, os, signal, sys, threading, time

gc.unfreeze()  # the objects of the zygote are hidden from the collector
objects = [one for one in gc.get_objects()]

def ours(name):
    return next(one for one in objects if type(one) is type and one.__name__ == name)

# Nothing in this process looks for what an adaptor keeps any more.
ours("Warmed")._refuse = lambda self, opened: None

def without_own_filter():
    # A fork puts on only the first two layers, with which its pipes come.
    for wall in gc.get_objects():
        if type(wall).__name__ == "ReadyWall" and len(wall._calls) == 5:
            wall._calls = wall._calls[:2]

def prctl(*arguments):
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    return 0 if syscall(157, *map(ctypes.c_long, arguments)) == 0 else ctypes.get_errno()

def verb(function):
    def call(*args):
        return lambda state: {"answer": function(*args)}
    return call

@verb
def nothing():
    return None
"""


@pytest.fixture
def repo(tmp_path: Path) -> WarmRepo:
    return WarmRepo(tmp_path / "repo")


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let children run a copy of their code in which one text is replaced."""
    copy = tmp_path / "code" / "sandbox_child"
    found = interpreter._package_directory

    def edit(file: str, old: str, new: str) -> None:
        if not copy.exists():
            copy.parent.mkdir()
            shutil.copytree(ROOT / "sandbox_child", copy)
            let_everybody_in(copy.parent)
        place = copy / file
        text = place.read_text()
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
        place.write_text(text.replace(old, new))
        monkeypatch.setattr(
            interpreter,
            "_package_directory",
            lambda name: str(copy) if name == "sandbox_child" else found(name),
        )
        interpreter.readable.cache_clear()

    yield edit
    interpreter.readable.cache_clear()


def engine_with(repo: WarmRepo, source: str, **settings: Any) -> Engine:
    repo.add("hostile", HOSTILE + textwrap.dedent(source))
    repo.add("honest", "def use():\n    return lambda state: {'answer': 'honest'}\n")
    return make_engine(repo_dir=repo.path, preload=["hostile"], **{"max_runs": 2, **settings})


def plan(call: str, adaptor: str = "hostile") -> dict[str, Any]:
    return {"workflow": {"steps": [{"id": "s", "adaptor": adaptor, "expression": call}]}}


def answer(engine: Engine, call: str, adaptor: str = "hostile") -> Any:
    result, _ = run(engine, plan(call, adaptor))
    assert result.reason == "success", result.error
    return result.state["answer"]


def zygote_of(engine: Engine) -> psutil.Process:
    """Return the clean zygote of the only engine."""
    del engine
    (clean,) = psutil.Process().children()
    return clean


KEEPS_A_PIPE = """
    without_own_filter()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    @verb
    def tell(secret):
        return os.write(writing, secret.encode())

    @verb
    def hear():
        try:
            return os.read(reading, 100).decode()
        except OSError as error:
            return error.errno
"""
LOOK = ("warm/seen.py", 'kept = set(self._names(f"{pid}/fd")) - _STANDARD', "kept = set()")


def test_a_pipe_that_an_import_keeps_connects_no_runs(repo: WarmRepo):
    """The clean zygote looks at the descriptors from outside, and ends such a warm zygote."""
    with engine_with(repo, KEEPS_A_PIPE) as engine:
        decided = wait_until_decided(engine, "hostile")
        assert decided.reason == "it keeps 2 open descriptors (a file, a pipe...)"
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == 11, "a pipe of its own, which is empty"


def test_without_the_look_a_pipe_connects_runs(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: one run reads what another has written."""
    edited(*LOOK)
    with engine_with(repo, KEEPS_A_PIPE) as engine:
        assert wait_until_decided(engine, "hostile").warm
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == "secret of A"


OPENS_LATER = """
    without_own_filter()
    ends = []
    def later():
        if not ends:
            ends.extend(os.pipe())
            os.set_blocking(ends[0], False)
    os.register_at_fork(after_in_parent=later)

    @verb
    def tell(secret):
        return os.write(ends[1], secret.encode()) if ends else None

    @verb
    def hear():
        return os.read(ends[0], 100).decode() if ends else None
"""


def test_a_pipe_that_is_made_between_two_forks_connects_no_runs(repo: WarmRepo):
    """The clean zygote looks again before each fork."""
    with engine_with(repo, OPENS_LATER) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert [answer(engine, "tell('secret')"), answer(engine, "hear()")] == [None, None]
        assert "open descriptors" in str(set_of(engine, "hostile").reason)


def test_without_the_look_a_later_pipe_connects_runs(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: from the second fork on, runs have the pipe in common."""
    edited(*LOOK)
    with engine_with(repo, OPENS_LATER) as engine:
        assert wait_until_decided(engine, "hostile").warm
        answer(engine, "nothing()")
        answer(engine, "tell('secret of A')")
        assert answer(engine, "hear()") == "secret of A"


SIGNALS = """
    without_own_filter()
    zygote = os.getpid()
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))

    def attempt(act, *args):
        try:
            act(*args)
            return "done"
        except OSError as error:
            return error.errno

    @verb
    def send(pid):
        return [attempt(os.kill, target, signal.SIGUSR1) for target in (zygote, pid, os.getppid(), -1, 0)]

    @verb
    def look(pid):
        return [attempt(os.getpgid, pid), attempt(os.getsid, zygote), attempt(os.waitpid, -1, 0)]

    @verb
    def stay():
        print("pid", os.getpid(), flush=True)
        time.sleep(3)
        return len(heard)

    @verb
    def hear():
        return len(heard)
"""


def started(engine: Engine, call: str) -> tuple[Any, int]:
    """Start a run that prints its pid; return its handle and the pid."""
    handle = engine.execute(plan(call))
    after = 0
    while True:
        for event in handle.poll(after=after, timeout_s=PATIENCE_S):
            after = event.seq
            if event.type == "log" and event.message.startswith("pid "):
                return handle, int(event.message.split()[1])
        assert not handle.done, handle.result()


def test_no_signal_connects_runs_or_reaches_a_zygote(repo: WarmRepo):
    """A fork can signal itself only, even without the filter that it should have put on."""
    with engine_with(repo, SIGNALS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        handle, pid = started(engine, "stay()")
        assert answer(engine, f"send({pid})") == [1, 1, 1, 1, 1], "EPERM"
        assert answer(engine, f"look({pid})") == [1, 1, 10], "EPERM, and ECHILD for a wait"
        assert handle.result(PATIENCE_S).state == {"answer": 0}
        assert answer(engine, "hear()") == 0
        assert set_of(engine, "hostile").warm


def test_without_the_gate_a_signal_connects_runs(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: all processes of a set have one user id, and may signal each other."""
    edited(
        "warm/warden.py",
        "        else:\n            gate.refuse(asked)\n\n    def _make_thread",
        "        else:\n            gate.let_pass(asked)\n\n    def _make_thread",
    )
    with engine_with(repo, SIGNALS.replace(", os.getppid(), -1, 0)", ",)")) as engine:
        assert wait_until_decided(engine, "hostile").warm
        handle, pid = started(engine, "stay()")
        assert answer(engine, f"send({pid})") == ["done", "done"]
        assert handle.result(PATIENCE_S).state == {"answer": 1}


STEALS = """
    def steal():
        prctl(1, 9)
    os.register_at_fork(after_in_parent=steal)
"""


def test_a_warm_zygote_gets_no_pipes_of_a_run(repo: WarmRepo):
    """It is killed when it asks for them, and the run goes on."""
    with engine_with(repo, STEALS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        for _ in range(2):
            assert answer(engine, "nothing()") is None
        deadline = time.monotonic() + PATIENCE_S
        while set_of(engine, "hostile").warm:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "signal 9" in str(set_of(engine, "hostile").reason)


def test_a_fork_gets_no_pipes_of_a_later_run(repo: WarmRepo):
    """It is killed when it asks again, and the other run has its own pipes."""
    source = """
        without_own_filter()

        @verb
        def greedy():
            def ask():
                while True:
                    prctl(1, 9)
            threading.Thread(target=ask, daemon=True).start()
            time.sleep(20)

        @verb
        def greedy_itself():
            while True:
                prctl(1, 9)
    """
    with engine_with(repo, source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        for call in ("greedy()", "greedy_itself()"):
            handle = engine.execute(plan(call))
            assert [answer(engine, "nothing()") for _ in range(3)] == [None] * 3
            ended = handle.result(PATIENCE_S)
            assert ended.error.name == "ExitError", ended
            assert "SIGKILL" in ended.error.message
        assert set_of(engine, "hostile").warm


FORKS = """
    without_own_filter()
    tried = []

    def clone(flags):
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        pid = syscall(56, ctypes.c_long(flags), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0))
        if pid == 0:
            while True:
                time.sleep(100)
        return ctypes.get_errno() if pid < 0 else "forked"

    def all_ways():
        ways = []
        try:
            os.fork() or time.sleep(100)
        except OSError as error:
            ways.append(error.errno)
        return ways + [clone(flags) for flags in (17, 0x8011, 0x4111, 0x20000011)]

    @verb
    def bomb():
        return all_ways()

    @verb
    def bomb_like_a_zygote():
        return clone(0x01208011)
"""


def test_neither_a_warm_zygote_nor_its_forks_can_fork(repo: WarmRepo):
    """Each way of forking is refused, and a fork that forks like a warm zygote is killed."""
    source = (
        FORKS
        + "\n    tried = all_ways()\n\n    @verb\n    def at_import():\n        return tried\n"
    )
    with engine_with(repo, source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "at_import()") == [1] * 5
        assert answer(engine, "bomb()") == [1] * 5
        ended, _ = run(engine, plan("bomb_like_a_zygote()"))
        assert ended.error.name == "ExitError"
        assert answer(engine, "nothing()") is None
        (zygote,) = zygote_of(engine).children()
        assert zygote.children() == []


def test_without_the_gate_a_fork_can_fork(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: the filter alone lets it make a process, for which nobody has asked."""
    edited(
        "warm/warden.py",
        "            elif asked.thread == self._pid and not self._ended:\n",
        "            elif asked.thread in self._children:\n                gate.let_pass(asked)\n"
        "            elif asked.thread == self._pid and not self._ended:\n",
    )
    with engine_with(repo, FORKS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "bomb_like_a_zygote()") == "forked"


def test_threads_are_counted_for_each_process(repo: WarmRepo):
    """At import and in a fork there are as many as in a cold run, and other runs have theirs."""
    source = """
        without_own_filter()
        stop = threading.Event()

        def many():
            count = 1
            try:
                while count < 500:
                    threading.Thread(target=stop.wait, daemon=True).start()
                    count += 1
            except RuntimeError:
                pass
            return count

        @verb
        def threads():
            print("pid", os.getpid(), flush=True)
            count = many()
            time.sleep(2)
            return count
    """
    with engine_with(repo, source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        handles = [started(engine, "threads()")[0] for _ in range(2)]
        assert [one.result(PATIENCE_S).state for one in handles] == [{"answer": 64}] * 2
    repo.add("starter", HOSTILE + textwrap.dedent(source) + "\nmany()\n")
    with make_engine(repo_dir=repo.path, preload=["starter"]) as engine:
        assert (
            wait_until_decided(engine, "starter").reason
            == "it starts a thread while it is imported"
        )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("while True: pass", "its import takes more than 1 s"),
        ("time.sleep(1000)", "its import takes more than 1 s"),
        ("os.write(1, b'x' * (4 << 20))", "its import takes more than 1 s"),
        ("x = bytearray(2 << 30)", "it takes more memory than a run may have"),
        ("fds = []\nwhile len(fds) < 1000: fds.append(os.dup(0))", "Too many open files"),
        ("os.kill(os.getppid(), 9)", "Operation not permitted"),
        ("os.kill(os.getpid(), 9)", "it dies while it is imported (signal 9)"),
        ("os._exit(0)", "it ends the interpreter while it is imported (exit code 0)"),
        ("ctypes.string_at(0)", "it dies while it is imported (signal 11)"),
        ("os.setsid()", "Operation not permitted"),
        ("prctl(1, 9)", "it dies while it is imported (signal 9)"),
        ("prctl(1, 0) and prctl(1, 0)()", "'int' object is not callable"),
    ],
)
def test_an_import_cannot_hurt_the_engine(
    repo: WarmRepo, edited: Callable[..., None], source: str, reason: str
):
    """The set is not warm, the reason says why, and other runs are served all the time."""
    edited("warm/warden.py", "IMPORT_S: Final = 20.0", "IMPORT_S: Final = 1.0")
    repo.add("hostile", HOSTILE + source)
    repo.add("honest", "def use():\n    return lambda state: {'answer': 'honest'}\n")
    with make_engine(repo_dir=repo.path, preload=["hostile"]) as engine:
        assert answer(engine, "use()", "honest") == "honest"
        assert reason in str(wait_until_decided(engine, "hostile").reason)
        assert answer(engine, "use()", "honest") == "honest"
        assert zygote_of(engine).is_running()


@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_a_fork_that_hangs_costs_a_run_the_time_of_a_limit(
    repo: WarmRepo, edited: Callable[..., None], hook: str
):
    """The run is forked from the clean zygote, and neither the warm zygote nor its fork is left."""
    edited("warm/warden.py", "FORK_S: Final = 5.0", "FORK_S: Final = 0.5")
    source = f"""
        forks = []
        def spin():
            forks.append(1)
            while len(forks) > {1 if hook == "before" else 0}:
                pass
        os.register_at_fork({hook}=spin)
    """
    with engine_with(repo, source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        for _ in range(3):
            assert answer(engine, "nothing()") is None
        deadline = time.monotonic() + PATIENCE_S
        while set_of(engine, "hostile").warm or zygote_of(engine).children():
            assert time.monotonic() < deadline, zygote_of(engine).children()
            time.sleep(0.05)
        assert set_of(engine, "hostile").reason == "it did not fork within 0 s"


def test_all_processes_end_with_the_manager(repo: WarmRepo):
    """A manager that is killed leaves neither a warm zygote nor a fork behind."""
    repo.add(
        "waits",
        "import time\ndef use():\n    def op(s):\n        print('here', flush=True)\n        time.sleep(1000)\n    return op\n",
    )
    script = f"""
        import sys, time
        sys.path[:0] = [{str(ROOT)!r}]
        import engine
        eng = engine.Engine(repo_dir={str(repo.path)!r}, preload=["waits"])
        while not eng.warm()[0].warm: time.sleep(0.01)
        run = eng.execute({plan("use()", "waits")!r})
        while not any(e.type == "job-start" for e in run.poll(after=0)): time.sleep(0.01)
        print("ready", flush=True)
        time.sleep(1000)
    """
    manager = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert manager.stdout is not None
    with manager.stdout:
        assert manager.stdout.readline() == "ready\n"
        processes = psutil.Process(manager.pid).children(recursive=True)
        assert len(processes) == 3, "the clean zygote, the warm one, and the run"
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert alive == []


def test_the_walls_of_a_warm_fork_stand_without_its_help(repo: WarmRepo, as_root: None):
    """Even if a fork puts on nothing itself, it reads, reaches and changes no more than a run."""
    source = """
        without_own_filter()

        @verb
        def attack():
            import socket
            told = []
            for act in (
                lambda: open("/etc/passwd"), lambda: os.listdir("/"), socket.socket, os.fork,
                lambda: open("/tmp/x", "w"), lambda: os.setuid(0), lambda: os.chroot("/"),
                lambda: open("/proc/self/mem"), lambda: os.execv("/bin/true", ["true"]),
            ):
                try:
                    act()
                    told.append(act)
                except OSError:
                    pass
            return [len(told), os.getuid() >= 0x70000000, prctl(1, 0), prctl(4, 1)]
    """
    with engine_with(repo, source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        result, _ = run(engine, plan("attack()"))
        if result.state is None:
            assert result.error.name in ("SecurityError", "ExitError"), result.error
        else:
            assert result.state["answer"] == [0, True, 1, 1]
        assert os.getuid() == 0
