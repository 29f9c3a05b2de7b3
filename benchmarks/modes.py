"""Engines of each start mode, and runs on them with the clock beside."""

from __future__ import annotations

import os
import time
from typing import Any, Self

import psutil

import engine
from benchmarks.measure import median, private_mb
from benchmarks.workloads import WORKLOADS, Workload

MODES = ("exec", "zygote", "exec+spare", "zygote+spare")
REST_S = {"exec": 0.0, "zygote": 0.0, "exec+spare": 0.25, "zygote+spare": 0.06}
"""After a run: a spare that is being made is not what is measured, here or in the mode that comes next."""
_AT_THE_END = 2**53


def make_engine(mode: str, **changes: Any) -> engine.Engine:
    """Return an engine with the walls that are the default."""
    changes.setdefault("spares", 1 if mode.endswith("+spare") else 0)
    start_mode: engine.StartMode = "exec" if mode.startswith("exec") else "zygote"
    return engine.Engine(start_mode=start_mode, **changes)


def wait_terminal(run: engine.Run) -> None:
    """Wait for the terminal event.  No event has this number, so that no state is decoded."""
    run.poll(after=_AT_THE_END, timeout_s=None)


def check(run: engine.Run, load: Workload) -> engine.RunResult:
    """Return the result of a run that must have been right."""
    result = run.result()
    if result.reason != "success" or not load.right(result.state):
        raise AssertionError(f"{load.name} gave {result.reason}: {result.error}")
    return result


def latency_ms(made: engine.Engine, load: Workload) -> float:
    """Return the time from `execute` to the terminal event of one run."""
    state = load.make_state()
    begin = time.perf_counter()
    run = made.execute(load.plan, state)
    wait_terminal(run)
    taken = (time.perf_counter() - begin) * 1000
    check(run, load)
    return taken


def costs_ms(made: engine.Engine, load: Workload) -> tuple[float, float]:
    """Return the time of one run, and the processor time that this process and the child took for it."""
    state = load.make_state()
    used = time.process_time()
    begin = time.perf_counter()
    run = made.execute(load.plan, state)
    wait_terminal(run)
    taken = (time.perf_counter() - begin) * 1000
    used = time.process_time() - used
    return taken, 1000 * (used + check(run, load).usage.cpu_s)


def rate(made: engine.Engine, load: Workload, runs: int) -> float:
    """Return finished runs per second, with so many submitted at once."""
    state = load.make_state()
    begin = time.perf_counter()
    handles = [made.execute(load.plan, state) for _ in range(runs)]
    for handle in handles:
        wait_terminal(handle)
    taken = time.perf_counter() - begin
    for handle in handles:
        check(handle, load)
    return runs / taken


def idle_private_mb(policy: engine.Policy | None = None) -> float | None:
    """Return the private memory of a forked child that waits for a plan; None if it cannot be read."""
    with make_engine("zygote", spares=2, max_runs=1, policy=policy) as made:
        made.execute(WORKLOADS["W1"].plan, WORKLOADS["W1"].make_state()).result()
        time.sleep(1.0)
        zygotes = psutil.Process(os.getpid()).children()
        spares = [child.pid for zygote in zygotes for child in zygote.children()]
        found = [size for size in map(private_mb, spares) if size is not None]
    return median(found) if found else None


class Fleet:
    """One engine of each mode, started once; measured in turns."""

    def __init__(self, modes: tuple[str, ...] = MODES) -> None:
        self.modes = modes
        self._engines = {mode: make_engine(mode, max_runs=1) for mode in modes}
        for mode in modes:
            self.latency(mode, WORKLOADS["W1"])  # the engine starts its zygote now

    def latency(self, mode: str, load: Workload) -> float:
        """Run once, and let the next spare get ready."""
        taken = latency_ms(self._engines[mode], load)
        time.sleep(REST_S[mode])
        return taken

    def costs(self, mode: str, load: Workload) -> tuple[float, float]:
        """Run once as `latency` does; return the time and the processor time."""
        found = costs_ms(self._engines[mode], load)
        time.sleep(REST_S[mode])
        return found

    def engine(self, mode: str) -> engine.Engine:
        """Return the engine of a mode."""
        return self._engines[mode]

    def close(self) -> None:
        """Close all engines."""
        for made in self._engines.values():
            made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
