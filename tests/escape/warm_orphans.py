"""A manager with warm interpreters that is killed, and the processes that it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import textwrap
from pathlib import Path

import psutil
from hostile_adaptors import HOSTILE, plan
from modes import let_everybody_in
from warm import WarmProcess
from warm_pairs import PATIENCE_S, WarmRepo

ROOT = Path(__file__).parents[2]
SIGKILL_BIT = 1 << signal.SIGKILL - 1
EXITING = 0x4
"""PF_EXITING, a flag of a process in `/proc/PID/stat`: include/linux/sched.h."""


def edited_code(directory: Path, file: str, old: str, new: str) -> Path:
    """Return a copy of the code of children in which one text is replaced."""
    let_everybody_in(directory)
    copy = directory / "code" / "sandbox_child"
    shutil.copytree(ROOT / "sandbox_child", copy)
    let_everybody_in(copy.parent)
    text = (copy / file).read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}"
    (copy / file).write_text(text.replace(old, new))
    return copy


def left_by_a_killed_manager(
    repo: WarmRepo, code: Path, source: str, *, in_run: bool = False
) -> list[psutil.Process]:
    """Kill a manager whose children run *code*, and return those of its processes that do not end.

    Args:
        repo: Takes the adaptor.
        code: The package `sandbox_child`.
        source: An adaptor after the lines of `HOSTILE`; with *in_run* its verb `use` prints a line.
        in_run: Whether a run goes on then; otherwise a fork waits for one.

    """
    repo.add("waits", HOSTILE + textwrap.dedent(source))
    script = f"""
        import sys, time
        sys.path[:0] = [{str(ROOT / "tests/support")!r}]
        import psutil
        import engine
        from engine.confinement import interpreter
        from warm_pairs import wait_until_decided
        found = interpreter._package_directory
        interpreter._package_directory = (
            lambda name: {str(code)!r} if name == "sandbox_child" else found(name)
        )
        interpreter.readable.cache_clear()  # the warm server has found the files of the other package
        eng = engine.Engine(repo_dir={str(repo.path)!r}, preload=["waits"])
        assert wait_until_decided(eng, "waits").warm
        if {in_run}:
            run = eng.execute({plan("use()", "waits")!r})
            while not any(e.type == "log" for e in run.poll(after=0)): time.sleep(0.01)
        (clean,) = psutil.Process().children()
        def waits(child):
            # The second number of the line is the first argument: PR_SET_PDEATHSIG.
            with open(f"/proc/{{child.pid}}/syscall") as call:
                return call.read().split()[:2] in (["157", "0x1"], ["167", "0x1"])
        while not {in_run} and not any(map(waits, clean.children())): time.sleep(0.01)
        print("ready", flush=True)
        time.sleep(1000)
    """
    ours, theirs = os.pipe()
    with os.fdopen(ours) as output, Path(os.devnull).open() as nothing:
        manager = WarmProcess(textwrap.dedent(script), streams=(nothing.fileno(), theirs, 2))
        os.close(theirs)
        assert output.readline() == "ready\n"
        processes = psutil.Process(manager.pid).children(recursive=True)
        assert len(processes) == 3, "the clean zygote, the warm one, and its fork"
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    clean, *others = processes
    psutil.wait_procs([clean], timeout=PATIENCE_S)
    # The others get their signal when the clean zygote ends, so one that has none now goes on for ever.
    ending = [one for one in others if is_ending(one.pid)]
    assert not psutil.wait_procs(ending, timeout=PATIENCE_S)[1]
    return [one for one in others if one not in ending]


def is_ending(pid: int) -> bool:
    """Whether a process is killed, also if it has not ended yet."""
    try:
        flags = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6])
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    status = dict(line.split(":\t", 1) for line in lines)
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    return bool(flags & EXITING or pending & SIGKILL_BIT)
