"""An adaptor that attacks while it is imported, or while it forks, costs others nothing.

Some attacks here have no twin of their own.  Without a limit of time the engine would wait for ever.
Memory, descriptors and signals have their twins in the tests of those walls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_adaptors import HOSTILE, answer, engine_with, zygote_of
from runs import make_engine
from warm_orphans import left_by_a_killed_manager
from warm_pairs import PATIENCE_S, WarmRepo, set_of, wait_until_decided

ROOT = Path(__file__).parents[2]
WAITS = """
def use():
    def op(state):
        print("here", flush=True)
        time.sleep(1000)
    return op
"""


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
    repo: WarmRepo, edited: Callable[..., Path], source: str, reason: str
):
    """The set is not warm, the reason says why, and other runs are served all the time."""
    if (
        reason == "its import takes more than 1 s"
    ):  # on a busy machine the others take a second, too
        edited("warm/warden.py", "IMPORT_S: Final = 20.0", "IMPORT_S: Final = 1.0")
    repo.add("hostile", HOSTILE + source)
    repo.add("honest", "def use():\n    return lambda state: {'answer': 'honest'}\n")
    with make_engine(repo_dir=repo.path, preload=["hostile"]) as engine:
        assert answer(engine, "use()", "honest") == "honest"
        assert reason in str(wait_until_decided(engine, "hostile").reason)
        assert answer(engine, "use()", "honest") == "honest"
        assert zygote_of(engine).is_running()


# A twin without the limit of time would wait for ever, so it would have no end to look at.
@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_a_fork_that_hangs_costs_a_run_the_time_of_a_limit(
    repo: WarmRepo, edited: Callable[..., Path], hook: str
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
        wait_until_decided(engine, "hostile")  # the first fork is made before a run needs it
        for _ in range(3):
            assert answer(engine, "nothing()") is None
        deadline = time.monotonic() + PATIENCE_S
        while set_of(engine, "hostile").warm or zygote_of(engine).children():
            assert time.monotonic() < deadline, zygote_of(engine).children()
            time.sleep(0.05)
        assert set_of(engine, "hostile").reason == "it did not fork within 0 s"


def test_all_processes_end_with_the_manager(repo: WarmRepo):
    """A manager that is killed leaves neither a warm zygote nor a fork behind."""
    assert left_by_a_killed_manager(repo, ROOT / "sandbox_child", WAITS, in_run=True) == []


def test_without_the_signal_of_a_parent_a_warm_zygote_outlives_the_manager(
    repo: WarmRepo, edited: Callable[..., Path]
):
    """The twin: the layer `pdeathsig` is missing in the warm zygote."""
    code = edited(
        "confine/warm.py",
        "    landlock,\n    pdeathsig,\n    dumpable,\n",
        "    landlock,\n    dumpable,\n",
    )
    (left,) = left_by_a_killed_manager(repo, code, WAITS, in_run=True)
    left.kill()
