"""A fork that waits for a run cannot use the time until then, and does not outlive the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hostile_adaptors import answer, engine_with, warm_zygote_of, zygote_of
from warm_orphans import edited_code, left_by_a_killed_manager
from warm_pairs import PATIENCE_S, WarmRepo, set_of, wait_until_decided

from engine import Engine

ROOT = Path(__file__).parents[2]

WHO = """
    importer = os.getpid()

    @verb
    def who():
        return [os.getpid(), os.getpid() != importer]
"""
THREAD = """
    def spin():
        while True:
            pass
    os.register_at_fork(after_in_child=lambda: threading.Thread(target=spin, daemon=True).start())
"""
MEMORY = """
    kept = []
    os.register_at_fork(after_in_child=lambda: kept.append(bytearray(b"x") * 50_000_000))
"""


def waiting_fork(engine: Engine) -> psutil.Process:
    """Wait until a fork waits for a run; return it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        zygote = warm_zygote_of(engine)
        for child in zygote_of(engine).children():
            if child.pid != zygote.pid and settled(child):
                return child
        assert time.monotonic() < deadline
        time.sleep(0.01)


def settled(child: psutil.Process) -> bool:
    """Whether the process waits in prctl, which is 157 or 167, for its pipes."""
    try:
        call = Path(f"/proc/{child.pid}/syscall").read_text().split()[:2]
    except OSError:
        return False
    return call in (["157", "0x1"], ["167", "0x1"])


def wait_until_alone(engine: Engine) -> None:
    """Wait until the clean zygote has the warm zygote as its only child, and has looked at a fork."""
    deadline = time.monotonic() + PATIENCE_S
    while len(zygote_of(engine).children()) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("source", [THREAD, MEMORY])
def test_a_fork_that_would_use_the_time_does_not_wait(repo: WarmRepo, source: str):
    """A fork that has a thread, or much memory, is ended. Its runs are forked when they begin."""
    with engine_with(repo, WHO + source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        for _ in range(2):
            assert answer(engine, "who()")[1], "it was warm nevertheless"
            wait_until_alone(engine)
        assert set_of(engine, "hostile").warm


@pytest.mark.parametrize(
    ("source", "check"),
    [
        (THREAD, "self._proc.is_powerless(newborn.pid)"),
        (MEMORY, "0 < self._proc.private_bytes(newborn.pid) <= WAITING_BYTES"),
    ],
)
def test_without_the_look_a_fork_uses_the_time(
    repo: WarmRepo, edited: Callable[..., None], source: str, check: str
):
    """The twin: the fork computes, or has memory, before its run begins."""
    edited("warm/warden.py", check, "True")
    with engine_with(repo, WHO + source) as engine:
        assert wait_until_decided(engine, "hostile").warm
        fork = waiting_fork(engine)
        if source == THREAD:
            assert fork.num_threads() == 2
        else:
            assert fork.memory_info().rss > 50_000_000
        assert answer(engine, "who()") == [fork.pid, True]


def test_a_fork_that_dies_while_it_waits_costs_nothing(repo: WarmRepo):
    """The next run gets another one, and the clean zygote has waited for the dead one."""
    with engine_with(repo, WHO) as engine:
        assert wait_until_decided(engine, "hostile").warm
        fork = waiting_fork(engine)
        fork.kill()
        fork.wait(PATIENCE_S)
        pid, warm = answer(engine, "who()")
        assert (pid != fork.pid, warm) == (True, True)
        assert set_of(engine, "hostile").warm


DIES_EARLY = """
    def die(self):
        os.setsid()
        os._exit(1)
    for one in gc.get_objects():
        if type(one) is type and one.__name__ == "ReadyWall":
            one.put_on = die
"""


def test_forks_that_die_before_they_wait_cost_their_runs_an_import(repo: WarmRepo):
    """Such a run is forked from the clean zygote at once, and does not wait for another fork."""
    with engine_with(repo, WHO + DIES_EARLY) as engine:
        assert wait_until_decided(engine, "hostile").warm
        for _ in range(3):
            assert not answer(engine, "who()")[1], "it was cold"
        assert set_of(engine, "hostile").warm
        states = [one.status() for one in zygote_of(engine).children()]
        assert psutil.STATUS_ZOMBIE not in states


# The fork does only what it must to get its pipes, and goes on when its call fails.
SURVIVES = """
    def survive(self):
        os.setsid()
        while True:
            prctl(1, 9)
            time.sleep(0.01)
    for one in gc.get_objects():
        if type(one) is type and one.__name__ == "ReadyWall":
            one.put_on = survive
"""


def test_a_waiting_fork_ends_with_the_manager(repo: WarmRepo):
    """Before it waits it has asked the kernel for its own death, and cannot take that back."""
    left = left_by_a_killed_manager(repo, ROOT / "sandbox_child", SURVIVES)
    assert left == []


def test_without_the_first_call_a_waiting_fork_outlives_the_manager(repo: WarmRepo, tmp_path: Path):
    """The twin: the call is answered, and the kernel does not make it."""
    code = edited_code(
        tmp_path,
        "warm/warden.py",
        "            newborn.mortal = True\n            gate.let_pass(asked)\n",
        "            newborn.mortal = True\n            gate.refuse(asked, 0)\n",
    )
    (left,) = left_by_a_killed_manager(repo, code, SURVIVES)
    left.kill()
