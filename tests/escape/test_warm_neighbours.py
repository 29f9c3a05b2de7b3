"""A hostile adaptor harms runs of its own set, and neither other runs nor the memory of the machine.

The twin of the first test is a run that has both adaptors: the same attack reaches it.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable

import pytest
from hostile_adaptors import HOSTILE, answer, engine_with, plan, warm_zygote_of, zygote_of
from runs import make_engine
from warm_pairs import PATIENCE_S, WarmRepo, run, set_of, wait_until_decided

HONEST = "def use():\n    return lambda state: {'answer': 'honest'}\n"
ATTACKS = {
    "channel": (
        "for one in gc.get_objects():\n"
        "    if type(one) is type and one.__name__ == 'Channel':\n"
        "        one.send = one.receive_any = lambda *_: None"
    ),
    "interpreter": "sys.setrecursionlimit(100)\nsys.intern = sys._getframe = None\nlen = None\n"
    "import builtins, json\nbuiltins.__import__ = None\n"
    "for one in gc.get_objects():\n    if type(one) is type and one.__name__ == 'Runtime': one.__init__ = None",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_stays_in_its_set(repo: WarmRepo, attack: str):
    """An honest run is warm beside it, and so is the next one. A run with both adaptors is reached."""
    repo.add("hostile", HOSTILE + textwrap.dedent(ATTACKS[attack]))
    repo.add("honest", HONEST)
    both = plan("use()", "honest")
    both["workflow"]["steps"][0]["adaptors"] = ["hostile", "honest"]
    del both["workflow"]["steps"][0]["adaptor"]
    sets = ["hostile", "honest", ("hostile", "honest")]
    with make_engine(repo_dir=repo.path, preload=sets, max_runs=2) as engine:
        assert wait_until_decided(engine, "honest").warm
        wait_until_decided(engine, "hostile", "honest")
        zygote = zygote_of(engine)
        reached = []
        for _ in range(2):
            reached.append(run(engine, both, timeout_s=5)[0])
            assert answer(engine, "use()", "honest") == "honest"
        assert set_of(engine, "honest").warm
        assert zygote_of(engine).pid == zygote.pid
        assert any(one.reason != "success" for one in reached), reached


GROWS_LATER = """
    kept, forks = [], []
    def grow():
        forks.append(1)
        if len(forks) == 2:
            kept.append(bytearray(b"x") * 100_000_000)
    os.register_at_fork(before=grow)
"""


def test_a_warm_zygote_that_grows_later_is_ended(repo: WarmRepo):
    """The engine has counted the memory that it had when it was ready."""
    with engine_with(repo, GROWS_LATER) as engine:
        assert wait_until_decided(engine, "hostile").warm
        assert answer(engine, "nothing()") is None
        deadline = time.monotonic() + PATIENCE_S
        while set_of(engine, "hostile").warm:
            assert time.monotonic() < deadline
            assert answer(engine, "nothing()") is None
        assert set_of(engine, "hostile").reason == "it takes 100 MB after its import"


def test_without_the_look_a_warm_zygote_grows(repo: WarmRepo, edited: Callable[..., None]):
    """The twin: it has memory that nobody has counted."""
    edited("warm/warden.py", "GROWTH_BYTES: Final = 32_000_000", "GROWTH_BYTES: Final = 1 << 40")
    with engine_with(repo, GROWS_LATER) as engine:
        counted = wait_until_decided(engine, "hostile").memory_bytes
        assert answer(engine, "nothing()") is None
        deadline = time.monotonic() + PATIENCE_S
        while warm_zygote_of(engine).memory_info().rss < counted + 90_000_000:
            assert time.monotonic() < deadline
            assert answer(engine, "nothing()") is None
        assert set_of(engine, "hostile").warm
