"""A run does not fail for a lack of descriptors or processes: it waits for another run's end."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import make_engine, wait_for
from warm import run_warm

from engine import RunOptions
from engine.start import exec as starts

CALM = "def main(state): return {'data': 1}"
PIDS = Path("/sys/fs/cgroup/pids")

MANAGER = """
import collections, errno, logging, os, resource, sys
import engine
logging.basicConfig(level="WARNING", format="%(name)s: %(message)s")
mode, limit, group, runs = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
if group:
    open(f"{group}/cgroup.procs", "w").write(str(os.getpid()))
else:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
mode, _, spare = mode.partition("+")
source = "import time\\ndef main(state):\\n    time.sleep(0.2)\\n    return {'data': 1}"
with engine.Engine(max_runs=30, start_mode=mode, spares=bool(spare) * 2) as e:
    handles = [e.execute(source) for _ in range(runs)]
    results = [handle.result(60) for handle in handles]
    print(dict(collections.Counter(r.reason for r in results)))
    for result in results:
        if result.error:
            print(result.error.message, "|", result.error.fix)
"""


def manage(mode: str, limit: int, runs: int, group: Path | str = "") -> tuple[str, str]:
    """Run a manager with a limit of its own; return its output and its log."""
    done = run_warm(MANAGER, mode, limit, group, runs, timeout_s=100)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_runs_wait_for_descriptors_and_the_engine_says_so_once(mode: str):
    """At 64 open files about five runs fit, and all eight succeed."""
    out, log = manage(mode, 64, 8)

    assert out.strip() == "{'success': 8}"
    assert log.count("jobcell: runs wait") == 1
    assert "64 open files (RLIMIT_NOFILE)" in log
    assert "ulimit -n" in log


@contextlib.contextmanager
def most_processes(most: int) -> Iterator[Path]:
    """Make a control group with a limit of processes and threads (cgroup v1, or skip)."""
    group = PIDS / f"jobcell-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group with a limit of processes can be made here")
    try:
        (group / "pids.max").write_text(str(most))
        yield group
    finally:
        group.rmdir()


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_runs_wait_for_processes(mode: str):
    """The manager's own threads and the zygote count, so two or three children fit."""
    with most_processes(6) as group:
        out, log = manage(mode, 0, 6, group)

    assert out.strip() == "{'success': 6}"
    assert log.count("jobcell: runs wait") == 1
    assert "pids.max" in log


@pytest.mark.parametrize(("mode", "most"), [("exec", 2), ("zygote", 2), ("zygote", 3)])
def test_a_run_that_can_wait_for_nobody_ends_with_the_limit(mode: str, most: int):
    """The manager's threads and its zygote take the whole limit, so a child never fits."""
    with most_processes(most) as group:
        out, _ = manage(mode, 0, 1, group)

    assert out.startswith("{'exception': 1}")
    assert "no more processes may be started" in out
    assert "pids.max" in out
    assert "ulimit -u" in out


class Refusing:
    """The start of a process on a machine that refuses a number of times."""

    def __init__(self, times: int, number: int) -> None:
        self.left, self.number, self._spawn = times, number, starts.spawn

    def __call__(self, *args, **kwargs) -> int:
        if self.left:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return self._spawn(*args, **kwargs)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_a_start_that_was_refused_is_tried_again(mode: str, monkeypatch, number: int):
    """A short lack of a resource only delays the start for a moment."""
    refusing = Refusing(3, number)
    monkeypatch.setattr(starts, "spawn", refusing)
    with make_engine(mode, max_runs=1) as engine:
        result = engine.execute(CALM).result(30)
    assert result.error is None
    assert refusing.left == 0


def test_an_error_that_waiting_does_not_mend_ends_the_run_at_once(monkeypatch):
    """The engine does not wait, because the same error would come again."""
    monkeypatch.setattr(starts, "spawn", Refusing(99, errno.EACCES))
    with make_engine("exec", max_runs=1) as engine:
        result = engine.execute(CALM).result(10)
    assert result.error.name == "SpawnError"
    assert result.error.message == "the child could not be started: Permission denied"


def test_a_run_that_waits_for_room_can_be_cancelled_and_its_time_does_not_pass(monkeypatch):
    """The run is in the queue again, and its timeout begins with its child."""
    refusing = Refusing(0, errno.EMFILE)
    monkeypatch.setattr(starts, "spawn", refusing)
    sleeps = "import time\ndef main(state): time.sleep(60)"
    with make_engine("exec", max_runs=3) as engine:
        first = engine.execute(sleeps)
        wait_for(first, "job-start")
        refusing.left = 10**6
        second = engine.execute(CALM, options=RunOptions(timeout_s=5))
        third = engine.execute(CALM)
        assert not second.poll(timeout_s=0.3)
        third.cancel("no longer wanted")
        assert third.result(10).error.message.endswith("no longer wanted")
        assert not second.done
        refusing.left = 0
        first.cancel("makes room")
        result = second.result(20)
    assert result.reason == "success"
    assert result.duration_ms < 5000


def test_a_lone_run_without_descriptors_ends_with_the_limit():
    """The manager itself has taken all descriptors, so waiting would not help."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with make_engine("exec", max_runs=1) as engine:
        assert engine.execute(CALM).result(20).reason == "success"
        taken: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            run = engine.execute(CALM)
            assert run._log.wait_closed(30)
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        error = run.result(1).error
        assert error.name == "SpawnError"
        assert "256 open files (RLIMIT_NOFILE)" in error.message
        assert engine.execute(CALM).result(20).reason == "success"
