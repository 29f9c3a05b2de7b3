"""A hostile adaptor in a warm zygote learns nothing of a run, and harms only runs of its own set.

The adaptors here reach our own objects in their process, and switch off all that depends on them.  So what
holds is what the kernel and the clean zygote enforce.  A twin runs with a copy of the child's code in which
one line of that is missing.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_adaptors import (
    HOSTILE,
    answer,
    engine_with,
    plan,
    started,
    warm_zygote_of,
    zygote_of,
)
from runs import make_engine
from warm_pairs import PATIENCE_S, WarmRepo, run, set_of, wait_until_decided

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
        "        else:\n            gate.refuse(asked)\n\n    def _punish",
        "        else:\n            gate.let_pass(asked)\n\n    def _punish",
    )
    with engine_with(repo, SIGNALS.replace(", os.getppid(), -1, 0)", ",)")) as engine:
        assert wait_until_decided(engine, "hostile").warm
        handle, pid = started(engine, "stay()")
        assert answer(engine, f"send({pid})") == ["done", "done"]
        assert handle.result(PATIENCE_S).state == {"answer": 1}


STEALS = """
    def steal():
        for _ in range(300):  # time for a look at it
            prctl(1, 9)
            time.sleep(0.01)
    os.register_at_fork(after_in_parent=steal)
"""
GIVE_TO_ALL = (
    "warm/warden.py",
    """\
        if newborn is None or newborn.pid != asked.thread or newborn.asked is not None:
            self._punish(gate, asked)
""",
    """\
        if newborn is None or newborn.pid != asked.thread or newborn.asked is not None:
            if self._waiting:
                self._forks.furnish(gate, asked, self._pidfd, *self._waiting[0])
            gate.let_pass(asked)
""",
)
"""Every process that asks while a run waits for its fork gets the pipes of the run, too."""


def test_a_warm_zygote_gets_no_pipes_of_a_run(repo: WarmRepo):
    """It is killed when it asks for them, and the run goes on."""
    with engine_with(repo, STEALS) as engine:
        wait_until_decided(engine, "hostile")
        for _ in range(2):
            assert answer(engine, "nothing()") is None
        deadline = time.monotonic() + PATIENCE_S
        while set_of(engine, "hostile").warm:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "signal 9" in str(set_of(engine, "hostile").reason)


def test_without_the_check_a_warm_zygote_gets_pipes(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: it has the standard output of a run.  Its fork waits, so that it is the first to ask."""
    edited(*GIVE_TO_ALL)
    slow = "\n    os.register_at_fork(after_in_child=lambda: time.sleep(1))\n"
    with engine_with(repo, STEALS + slow) as engine:
        assert wait_until_decided(engine, "hostile").warm
        warm = warm_zygote_of(engine)
        before = output_of(warm.pid)
        engine.execute(plan("nothing()"))
        wait_for_other_output(warm.pid, before)


def output_of(pid: int) -> str:
    """Return the file that a process has as its standard output; a warm zygote has none while it waits."""
    try:
        return str(Path(f"/proc/{pid}/fd/1").readlink())
    except FileNotFoundError:
        return ""


def wait_for_other_output(pid: int, before: str) -> None:
    """Wait until a process has the standard output of another run, or fail."""
    deadline = time.monotonic() + PATIENCE_S
    while output_of(pid) in (before, "", "/dev/null"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert output_of(pid).startswith("pipe:")


GREEDY = """
    without_own_filter()
    # From the second fork on, there is time for another process to be the first.
    forks = []
    os.register_at_fork(
        before=lambda: forks.append(1),
        after_in_child=lambda: time.sleep(0.3) if len(forks) > 1 else None,
    )

    def ask():
        while True:
            prctl(1, 9)

    @verb
    def greedy():
        print("pid", os.getpid(), flush=True)
        threading.Thread(target=ask, daemon=True).start()
        time.sleep(20)

    @verb
    def greedy_itself():
        print("pid", os.getpid(), flush=True)
        ask()
"""


@pytest.mark.parametrize("call", ["greedy()", "greedy_itself()"])
def test_a_fork_gets_no_pipes_of_a_later_run(repo: WarmRepo, call: str):
    """It is killed when it asks again, and the other runs have their own pipes."""
    with engine_with(repo, GREEDY) as engine:
        assert wait_until_decided(engine, "hostile").warm
        handle, _ = started(engine, call)
        assert [answer(engine, "nothing()") for _ in range(3)] == [None] * 3
        ended = handle.result(PATIENCE_S)
        assert ended.error.name == "ExitError", ended
        assert "SIGKILL" in ended.error.message
        assert set_of(engine, "hostile").warm


def test_without_the_check_a_fork_gets_pipes_of_a_later_run(
    repo: WarmRepo, edited: Callable[..., None]
):
    """The twin: it has the standard output of that run."""
    edited(*GIVE_TO_ALL)
    with engine_with(repo, GREEDY) as engine:
        assert wait_until_decided(engine, "hostile").warm
        _, pid = started(engine, "greedy_itself()")
        before = output_of(pid)
        engine.execute(plan("nothing()"))
        wait_for_other_output(pid, before)


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
        assert all(one.children() == [] for one in zygote_of(engine).children())


def test_without_the_gate_a_fork_can_fork(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: the filter alone lets it make a process, for which nobody has asked."""
    edited(
        "warm/warden.py",
        "            elif asked.thread == self._pid and not self._ended:\n",
        "            elif asked.thread in self._forks:\n                gate.let_pass(asked)\n"
        "            elif asked.thread == self._pid and not self._ended:\n",
    )
    with engine_with(repo, FORKS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "bomb_like_a_zygote()") == "forked"


THREADS = """
    without_own_filter()
    stop = threading.Event()

    def many():
        count = 1
        try:
            while count < 200:
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


def test_threads_are_counted_for_each_process(repo: WarmRepo):
    """At import and in a fork there are as many as in a cold run, and other runs have theirs."""
    with engine_with(repo, THREADS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        handles = [started(engine, "threads()")[0] for _ in range(2)]
        assert [one.result(PATIENCE_S).state for one in handles] == [{"answer": 64}] * 2
    repo.add("starter", HOSTILE + textwrap.dedent(THREADS) + "\nmany()\n")
    with make_engine(repo_dir=repo.path, preload=["starter"]) as engine:
        assert (
            wait_until_decided(engine, "starter").reason
            == "it starts a thread while it is imported"
        )


def test_without_the_count_a_fork_has_any_number(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: the limit of the kernel has room for the threads of many runs."""
    edited("warm/forks.py", "if threads < self._most_threads:", "if threads:")
    with engine_with(repo, THREADS) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "threads()") == 200
