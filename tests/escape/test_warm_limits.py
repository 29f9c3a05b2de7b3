"""The limits of a run hold in a hostile fork of a warm zygote, whose own limits are those of the engine.

The fork begins with memory that adaptors have left.  So nothing that it does for its limits counts.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hostile_adaptors import HOSTILE, engine_with, plan, zygote_of
from runs import make_engine
from warm_pairs import WarmRepo, run, wait_until_decided

from engine import Engine, RunResult
from engine.running import running_child
from engine.running.session import session

ROOT = Path(__file__).parents[2]

# The adaptor takes the place of all calls with which a process can change its limits.
IGNORES = """
    import resource
    resource.setrlimit = resource.prlimit = lambda *_: (-1, -1)
    for one in gc.get_objects():
        if type(one) is type and one.__name__ == "ReadyWall":
            put_on = one.put_on
        if type(one).__name__ == "Call" and one.name == "prlimit64":
            type(one).make = lambda self: 0 if self.name == "prlimit64" else max(0, self.attempt())

    importer = os.getpid()

    @verb
    def take(megabytes):
        taken = bytearray(b"x") * (megabytes * 1_000_000)
        return [len(taken), os.getpid() != importer]

    @verb
    def spin():
        import signal
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        end = time.thread_time() + 2.1  # the kernel kills at 2 s
        while time.thread_time() < end:
            pass
        return "it had more than two seconds"
"""

LOW_MEMORY: dict[str, Any] = {"memory_mb": 120}
LOW_TIME: dict[str, Any] = {"cpu_s": 1}
LIMIT = "limit(self._proc, asked.thread, request)"


@pytest.fixture(autouse=True)
def _unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch other layers off: the engine looks at the use of a child, and a control group limits it."""
    monkeypatch.setattr(session, "overused", lambda *_: None)
    monkeypatch.setattr(running_child, "ENTER_AFTER_S", 1_000.0)


def attack(engine: Engine, call: str, **options: Any) -> RunResult:
    assert wait_until_decided(engine, "hostile").warm
    result, _ = run(engine, plan(call), **options)
    assert wait_until_decided(engine, "hostile").warm
    return result


def test_a_warm_fork_cannot_ignore_a_lower_limit_of_memory(repo: WarmRepo):
    """It gets what its run may have, and no more, whatever it does; other runs keep their limit."""
    with engine_with(repo, IGNORES) as engine:
        refused = attack(engine, "take(200)", **LOW_MEMORY)
        assert (refused.reason, refused.error.name) == ("kill", "OOMError"), refused.error
        assert attack(engine, "take(200)").state == {"answer": [200_000_000, True]}
        assert attack(engine, "take(20)", **LOW_MEMORY).state == {"answer": [20_000_000, True]}


def test_without_the_limit_from_outside_a_fork_takes_what_the_engine_allows(
    repo: WarmRepo, edited: Callable[..., None]
):
    """The twin: a fork that ignores its limit has the memory of any other run."""
    edited("warm/forks.py", LIMIT, "pass")
    with engine_with(repo, IGNORES) as engine:
        assert attack(engine, "take(200)", **LOW_MEMORY).state == {"answer": [200_000_000, True]}


def test_a_warm_fork_cannot_ignore_its_time_of_the_processor(repo: WarmRepo):
    """A fork that ignores the signal at its limit is killed a second later."""
    with engine_with(repo, IGNORES) as engine:
        ended = attack(engine, "spin()", **LOW_TIME)
        assert (ended.reason, ended.error.name) == ("crash", "ExitError"), ended.error


def test_without_the_limit_from_outside_a_fork_has_any_time(
    repo: WarmRepo, edited: Callable[..., None]
):
    """The twin: it computes for longer than the limit and one second."""
    edited("warm/forks.py", LIMIT, "pass")
    with engine_with(repo, IGNORES) as engine:
        assert attack(engine, "spin()", **LOW_TIME).state == {
            "answer": "it had more than two seconds"
        }


HOARD = HOSTILE + "_hoard = bytearray(b'x') * 150_000_000\n"
USE = """
def use():
    def write(state):
        for begin in range(0, len(_hoard), 4096):
            _hoard[begin] = 1
        return {"answer": len(_hoard)}
    return write
"""


def test_memory_of_an_import_does_not_evade_a_lower_limit(repo: WarmRepo):
    """A run may have less memory than the import took.  It is then cold, and ends as a cold run does."""
    repo.add("hoarder", HOARD + USE)
    with make_engine(repo_dir=repo.path, preload=["hoarder"], warm_mb=1_000) as engine:
        assert wait_until_decided(engine, "hoarder").warm
        assert run(engine, plan("use()", "hoarder"))[0].state == {"answer": 150_000_000}
        ended, _ = run(engine, plan("use()", "hoarder"), **LOW_MEMORY)
        assert ended.reason != "success", ended.state
        states = [one.status() for one in zygote_of(engine).children()]
        assert psutil.STATUS_ZOMBIE not in states, "the clean zygote waits for a fork that it kills"


def test_without_the_look_an_import_evades_a_lower_limit(
    repo: WarmRepo, edited: Callable[..., None]
):
    """The twin: the fork has the memory of its import, which is above its limit."""
    edited("warm/limits.py", "if proc.data_bytes(pid) > rlimits.data_bytes(request):", "if False:")
    repo.add("hoarder", HOARD + USE)
    with make_engine(repo_dir=repo.path, preload=["hoarder"], warm_mb=1_000) as engine:
        assert wait_until_decided(engine, "hoarder").warm
        ended, _ = run(engine, plan("use()", "hoarder"), **LOW_MEMORY)
        assert ended.state == {"answer": 150_000_000}, ended


WITHOUT_RIGHT = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24
assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def test_root_without_the_right_to_set_limits_sets_them(repo: WarmRepo, as_root: None):
    """Root in a container often lacks CAP_SYS_RESOURCE, and its forks have another user id."""
    repo.add("hostile", HOSTILE + textwrap.dedent(IGNORES))
    script = f"""
        import sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "support")!r}]
        from warm_pairs import run, wait_until_decided
        from engine import Engine
        with Engine(repo_dir={str(repo.path)!r}, preload=["hostile"]) as engine:
            assert wait_until_decided(engine, "hostile").warm
            for attack in ({plan("take(20)")!r}, {plan("take(200)")!r}):
                result, _ = run(engine, attack, memory_mb=120)
                print(result.reason, (result.state or {{}}).get("answer"))
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHT, textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "success [20000000, True]\nkill None\n", done.stderr
