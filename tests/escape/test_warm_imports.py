"""An adaptor that attacks while it is imported, or while it forks, costs others nothing.

Some attacks here have no twin of their own.  Without a limit of time the engine would wait for ever.
Memory, descriptors and signals have their twins in the tests of those walls.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from hostile_adaptors import HOSTILE, answer, zygote_of
from runs import make_engine
from warm_orphans import edited_code, left_by_a_killed_manager
from warm_pairs import PATIENCE_S, WarmRepo, set_of, wait_until_decided

ROOT = Path(__file__).parents[2]
WAITS = """
def use():
    def op(state):
        print("here", flush=True)
        time.sleep(1000)
    return op
"""


ENDLESS = {
    "loops": "while True: pass",
    "sleeps": "time.sleep(1000)",
    "fills_a_pipe": "os.write(1, b'x' * (4 << 20))",
}
ATTACKS = {
    "takes_memory": ("x = bytearray(2 << 30)", "it takes more memory than a run may have"),
    "takes_descriptors": (
        "fds = []\nwhile len(fds) < 1000: fds.append(os.dup(0))",
        "Too many open files",
    ),
    "kills_the_zygote": ("os.kill(os.getppid(), 9)", "Operation not permitted"),
    "kills_itself": ("os.kill(os.getpid(), 9)", "it dies while it is imported (signal 9)"),
    "exits": ("os._exit(0)", "it ends the interpreter while it is imported (exit code 0)"),
    "crashes": ("ctypes.string_at(0)", "it dies while it is imported (signal 11)"),
    "leads_a_session": ("os.setsid()", "Operation not permitted"),
    "asks_for_pipes": ("prctl(1, 9)", "it dies while it is imported (signal 9)"),
    "outlives": ("prctl(1, 0) and prctl(1, 0)()", "'int' object is not callable"),
}


def check_that_nobody_is_hurt(repo: WarmRepo, attacks: dict[str, tuple[str, str]]) -> None:
    """Have one zygote attacked by each of these imports, and serve other runs all the time."""
    for name, (source, _) in attacks.items():
        repo.add(name, HOSTILE + source)
    repo.add("honest", "def use():\n    return lambda state: {'answer': 'honest'}\n")
    with make_engine(repo_dir=repo.path, preload=list(attacks)) as engine:
        assert answer(engine, "use()", "honest") == "honest"
        zygote = zygote_of(engine)
        reasons = {}
        for name in attacks:
            reasons[name] = str(wait_until_decided(engine, name).reason)
            assert answer(engine, "use()", "honest") == "honest"
        assert zygote_of(engine) == zygote
        assert zygote.is_running()
    missed = {
        name: reasons[name] for name, (_, reason) in attacks.items() if reason not in reasons[name]
    }
    assert not missed


def test_an_import_cannot_hurt_the_engine(repo: WarmRepo):
    """The set is not warm, the reason says why, and other runs are served all the time."""
    check_that_nobody_is_hurt(repo, ATTACKS)


def test_an_import_without_an_end_cannot_hurt_the_engine(
    repo: WarmRepo, edited: Callable[..., None]
):
    """It is stopped. The limit is lower here than it is: on a busy machine other imports take a second, too."""
    edited("warm/warden.py", "IMPORT_S: Final = 20.0", "IMPORT_S: Final = 1.0")
    reason = "its import takes more than 1 s"
    check_that_nobody_is_hurt(repo, {name: (source, reason) for name, source in ENDLESS.items()})


# A twin without the limit of time would wait for ever, so it would have no end to look at.
def test_a_fork_that_hangs_costs_a_run_the_time_of_a_limit(
    repo: WarmRepo, edited: Callable[..., None]
):
    """The run is forked from the clean zygote, and neither the warm zygote nor its fork is left."""
    edited("warm/warden.py", "FORK_S: Final = 5.0", "FORK_S: Final = 0.5")
    hooks = ["before", "after_in_parent", "after_in_child"]
    for hook in hooks:
        source = f"""
            forks = []
            def hang():
                forks.append(1)
                while len(forks) > {1 if hook == "before" else 0}:
                    time.sleep(0.01)
            os.register_at_fork({hook}=hang)
        """
        repo.add(hook, HOSTILE + textwrap.dedent(source))
    with make_engine(repo_dir=repo.path, preload=hooks, max_runs=2) as engine:
        for hook in hooks:
            wait_until_decided(engine, hook)  # the first fork is made before a run needs it
            for _ in range(3):
                assert answer(engine, "nothing()", hook) is None
        deadline = time.monotonic() + PATIENCE_S
        while any(one.warm for one in engine.warm()) or zygote_of(engine).children():
            assert time.monotonic() < deadline, zygote_of(engine).children()
            time.sleep(0.05)
        for hook in hooks:
            assert set_of(engine, hook).reason == "it did not fork within 0 s"


def test_all_processes_end_with_the_manager(repo: WarmRepo):
    """A manager that is killed leaves neither a warm zygote nor a fork behind."""
    assert left_by_a_killed_manager(repo, ROOT / "sandbox_child", WAITS, in_run=True) == []


def test_without_the_signal_of_a_parent_a_warm_zygote_outlives_the_manager(
    repo: WarmRepo, tmp_path: Path
):
    """The twin: the layer `pdeathsig` is missing in the warm zygote."""
    code = edited_code(
        tmp_path,
        "confine/warm.py",
        "    landlock,\n    pdeathsig,\n    dumpable,\n",
        "    landlock,\n    dumpable,\n",
    )
    (left,) = left_by_a_killed_manager(repo, code, WAITS, in_run=True)
    left.kill()
