"""A manager with warm interpreters that is killed, and the processes that it leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
from hostile_adaptors import HOSTILE, plan
from warm_pairs import PATIENCE_S, WarmRepo

ROOT = Path(__file__).parents[2]
END_S = 5.0
"""Longest time for the end of a process that has got its signal."""


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
        sys.path[:0] = [{str(ROOT)!r}]
        import psutil
        import engine
        from engine.confinement import interpreter
        found = interpreter._package_directory
        interpreter._package_directory = (
            lambda name: {str(code)!r} if name == "sandbox_child" else found(name)
        )
        eng = engine.Engine(repo_dir={str(repo.path)!r}, preload=["waits"])
        while not eng.warm()[0].warm: time.sleep(0.01)
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
    manager = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert manager.stdout is not None
    with manager.stdout:
        assert manager.stdout.readline() == "ready\n"
        processes = psutil.Process(manager.pid).children(recursive=True)
        assert len(processes) == 3, "the clean zygote, the warm one, and its fork"
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    clean, *others = processes
    psutil.wait_procs([clean], timeout=PATIENCE_S)
    # The others get their signal when the clean zygote ends.
    return psutil.wait_procs(others, timeout=END_S)[1]
