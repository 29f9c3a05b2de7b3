"""The zygote is clean, confined and single-threaded, knows no run, and is replaced when stale."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from runs import finish, make_engine, wait_for
from warm_children import children_of_engines

from engine import Engine, Permissions, Resolvers, RunOptions
from engine.confinement import child_command
from engine.start import zygote as zygote_module
from sandbox_child.tested import is_tested

pytestmark = pytest.mark.real_starts

SECRET = "correct-horse-battery-staple"
SAME = "def main(state): return state"
MARKER = "a-marker-that-stands-in-this-plan-only"


@pytest.fixture
def zygote() -> Iterator[Engine]:
    """An engine for one test, so that its zygote is the only child of this process."""
    with make_engine("zygote") as made:
        yield made


def zygote_of(engine: Engine) -> psutil.Process:
    """Return the zygote of an engine that has run a job."""
    assert engine.execute("def main(state): return state").result(20).reason == "success"
    [zygote] = children_of_engines()
    return zygote


def memory_holds(process: psutil.Process, needle: bytes) -> bool:
    """Whether the writable memory of a process contains some bytes."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    with Path(f"/proc/{process.pid}/mem").open("rb", buffering=0) as memory:
        for start, end, rights in re.findall(r"^(\w+)-(\w+) (\S+)", maps, re.MULTILINE):
            if "w" not in rights:
                continue
            memory.seek(int(start, 16))
            if needle in memory.read(int(end, 16) - int(start, 16)):
                return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read another process's memory")
def test_a_zygote_never_sees_a_plan_or_a_secret(zygote: Engine):
    """Plan and secret are in the child that needs them, and never in the process that forked it."""
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": f"import time\ndef main(state):\n    '{MARKER}'\n    print('x')\n    time.sleep(60)",
                    "configuration": "cred",
                }
            ]
        }
    }
    process = zygote_of(zygote)
    run = zygote.execute(plan, resolvers=Resolvers(credential=lambda _: {"password": SECRET}))
    wait_for(run, "log")
    [child] = process.children()
    assert memory_holds(child, MARKER.encode())  # the search works
    assert memory_holds(child, SECRET.encode())
    assert not memory_holds(process, MARKER.encode())
    assert not memory_holds(process, SECRET.encode())
    run.cancel("seen")
    assert run.result(10).reason == "cancelled"


def test_a_zygote_is_confined_and_has_one_thread(zygote: Engine):
    """The walls that forks inherit are on; a fork would keep only one of several threads."""
    process = zygote_of(zygote)
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert process.num_threads() == 1
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert psutil.Process().pid == process.ppid()
    assert os.getsid(process.pid) == process.pid


def test_every_run_is_a_process_of_its_own(zygote: Engine):
    """The zygote is the same, but the child is another one."""
    source = "import os\ndef main(state): return {'pid': os.getpid()}"
    with make_engine("zygote", policy=_open_policy()) as engine:
        pids = [engine.execute(source).result(20).state["pid"] for _ in range(3)]
    assert len(set(pids)) == 3


def _open_policy() -> object:
    from engine import Policy

    return Policy(language=False)


def write_repo(place: Path, answer: int) -> None:
    """Write a repo with one adaptor that gives *answer*."""
    (place / "tell_1.0.0").mkdir(parents=True)
    (place / "tell_1.0.0" / "tell.py").write_text(f"ANSWER = {answer}\n")
    entry = {"name": "tell", "version": "1.0.0", "path": "tell_1.0.0", "module": "tell"}
    (place / "repo.json").write_text(json.dumps({"adaptors": [entry]}))


def test_a_repo_that_was_swapped_is_seen_by_the_next_run(tmp_path: Path):
    """A mount keeps the directory that a name meant at its time, so the zygote is replaced."""
    repo = tmp_path / "repo"
    write_repo(tmp_path / "one", 1)
    write_repo(tmp_path / "two", 2)
    (tmp_path / "one").rename(repo)
    source = "from tell import ANSWER\ndef main(state): return {'answer': ANSWER}"
    with make_engine("zygote", repo_dir=repo) as engine:
        assert engine.execute(source).result(20).state == {"answer": 1}
        repo.rename(tmp_path / "old")
        (tmp_path / "two").rename(repo)
        assert engine.execute(source).result(20).state == {"answer": 2}


def test_a_run_with_limits_of_its_own_gets_them():
    """The zygote prepares the limits of the engine; a run with other limits still gets its own."""
    source = (
        "import resource\n"
        "def main(state): return {'bytes': resource.getrlimit(resource.RLIMIT_DATA)[0]}"
    )
    with make_engine("zygote", policy=_open_policy()) as engine:
        limits = [
            engine.execute(source, options=options).result(20).state["bytes"]
            for options in (None, RunOptions(memory_mb=321), None)
        ]
    assert limits == [500_000_000, 321_000_000, 500_000_000]


@pytest.mark.parametrize("mine", ["the engine's", "the run's"])
def test_a_thousand_paths_are_too_many_for_a_zygote(tmp_path: Path, mine: str):
    """The message to the zygote has no room for them, so such a run gets its own interpreter."""
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    many = RunOptions(permissions=Permissions(read=[f"{directory}/{i}" for i in range(1500)]))
    few = RunOptions(permissions=Permissions(read=[str(tmp_path)]))
    source = "import os\ndef main(state): return {'parent': os.getppid()}"
    options = {"the engine's": many, "the run's": few}[mine]
    with make_engine("zygote", policy=_open_policy(), options=options) as engine:
        result = engine.execute(source, options=many).result(60)
        assert result.error is None
        assert result.state == {"parent": os.getpid()}
        if mine == "the run's":
            [zygote] = children_of_engines()
            assert engine.execute(source).result(20).state == {"parent": zygote.pid}


FRESH = """
def main(state):
    import asyncio, concurrent.futures, logging, os, random, threading, uuid
    from sandbox_child.tested import is_tested
    def count():
        return len(threading.enumerate())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        threads = max(pool.map(lambda _: count(), range(4)))
    logging.getLogger("a").warning("heard")
    async def later():
        return await asyncio.to_thread(count)
    return {
        "random": random.random(),
        "uuid": uuid.uuid4(),
        "threads": threads >= 2,
        "loop": asyncio.run(later()) >= 2,
        "main": threading.current_thread() is threading.main_thread(),
        "after": count(),
        "locks": threading.RLock().acquire(timeout=1),
        "like C": is_tested(),
    }
"""


CHANGED = """
import os, sys
sys.path.insert(0, {directory!r})
import finder
del sys.path[0]
finder.install(sys.argv[1:-1])
{change}
from sandbox_child.zygote import serve_zygote
os._exit(serve_zygote())
"""
"""A zygote with a change."""

UNTESTED = """
from sandbox_child import tested
tested.PYTHONS = frozenset()
"""
"""It believes to run on a version of Python that was not tested."""

LATE = """
import time
from sandbox_child.zygote import Forked, _Zygote
say = _Zygote.say
def say_late(self, message, *fds):
    if type(message) is Forked:
        time.sleep(0.3)
    say(self, message, *fds)
_Zygote.say = say_late
"""
"""Its forks run for a while before it says which process they are."""


def changed_command(change: str) -> list[str]:
    """Return the command of a zygote with a change."""
    executable, *flags = child_command()
    main = next(flag for flag in flags if flag.endswith("__main__.py"))
    pairs = flags[flags.index(main) + 1 :]
    source = CHANGED.format(directory=str(Path(main).parent), change=change)
    return [executable, "-I", "-u", "-S", "-c", source, *pairs]


def test_a_child_is_heard_once_its_process_is_known(monkeypatch):
    """A fork can be done before its zygote says so. Its memory is in the event all the same."""
    monkeypatch.setattr(zygote_module, "child_command", lambda: changed_command(LATE))
    with make_engine("zygote") as engine:
        [done] = [e for e in finish(engine.execute(SAME)) if e.type == "job-complete"]
        assert 1_000_000 < done.mem.system <= done.mem.peak


@pytest.mark.parametrize("tested", [True, False], ids=["like C", "like Python"])
def test_a_fork_has_the_state_of_a_process_of_its_own(tested: bool, monkeypatch):
    """The fork works in all respects, with Python's own handlers and without them."""
    if not tested:
        monkeypatch.setattr(zygote_module, "child_command", lambda: changed_command(UNTESTED))
    with make_engine("zygote", policy=_open_policy()) as engine:
        states = []
        for _ in range(3):
            result = engine.execute(FRESH).result(20)
            assert result.error is None, result.error
            states.append(result.state)
    for name in ("random", "uuid"):
        assert len({state.pop(name) for state in states}) == 3
    expected = {"threads": True, "loop": True, "main": True, "after": 1, "locks": True}
    expected["like C"] = tested and is_tested()
    assert states == [expected] * 3
