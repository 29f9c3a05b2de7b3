"""The engine makes a control group for each run, on machines where it may."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.running import cgroup
from engine.running.cgroup import RunCgroup

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20


@pytest.fixture
def group():
    made = RunCgroup.create("a run/../with odd\ncharacters", 64 * MEGABYTE)
    if made is None:
        pytest.skip("no control group can be made here")
    yield made
    made.kill()
    made.remove()


def start(source):
    return subprocess.Popen(
        [sys.executable, "-c", f"input()\n{source}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_who_takes_more_than_the_limit_is_killed_and_the_group_says_so(group):
    """The kernel itself reports the reason, so the engine need not guess from a signal."""
    process = start(f"x = b'x' * {200 * MEGABYTE}")
    group.add(process.pid)

    process.communicate(b"\n")

    assert process.returncode == -9
    assert group.oom_killed()
    assert 0 < group.peak_bytes() <= 64 * MEGABYTE


def test_who_stays_below_is_left_alone(group):
    """A process below the limit lives on, and the group reports its peak."""
    process = start(f"x = b'x' * {20 * MEGABYTE}")
    group.add(process.pid)

    process.communicate(b"\n")

    assert process.returncode == 0
    assert not group.oom_killed()
    assert group.peak_bytes() >= 20 * MEGABYTE


def test_a_group_can_be_killed_whole(group):
    """All processes in the group are killed."""
    processes = [start("") for _ in range(3)]
    for process in processes:
        group.add(process.pid)

    group.kill()

    assert [process.wait(5) for process in processes] == [-9] * 3
    for process in processes:
        process.communicate()


def test_a_group_is_removed_when_nobody_is_in_it(group):
    """A group with a process stays; a second removal does not fail."""
    process = start("")
    group.add(process.pid)
    assert not group.remove()

    process.communicate(b"\n")

    assert group.remove()
    assert group.remove()
    assert not group.path.exists()


def test_groups_of_an_engine_that_was_killed_are_swept_away(group):
    """The next engine removes the groups; a group whose process lives stays."""
    source = (
        "import os, signal\n"
        "from engine.running.cgroup import RunCgroup\n"
        "print(RunCgroup.create('orphan', 1 << 26).path, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", source], stdout=subprocess.PIPE, check=False)
    orphan = Path(killed.stdout.decode().strip())
    assert orphan.is_dir()

    cgroup._sweep_once.cache_clear()
    made = RunCgroup.create("next", 64 * MEGABYTE)

    assert not orphan.exists()
    assert group.path.exists()
    assert made.remove()


def test_a_run_id_is_no_path(group):
    """The name of a plan does not decide where the directory of the group is."""
    assert "/" not in group.path.name
    assert "\n" not in group.path.name
    assert ".." not in group.path.name


def test_a_machine_without_groups_is_no_error(monkeypatch, tmp_path):
    """On such a machine the engine simply makes no group."""
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)

    assert RunCgroup.create("run", MEGABYTE) is None
