"""Engines of each start mode, and runs on them with a clock."""

from __future__ import annotations

import os
import time
from typing import Any, Self

import psutil

import engine
from benchmarks.measure import faults_of_children, median, private_mb
from benchmarks.workloads import WORKLOADS, Workload

MODES = ("exec", "zygote", "exec+spare", "zygote+spare")
REST_S = {"exec": 0.0, "zygote": 0.0, "exec+spare": 0.25, "zygote+spare": 0.06}
"""Seconds to wait after a run: a spare in the making would disturb the next measurement in any
mode.
"""
_AT_THE_END = 2**53


def make_engine(mode: str, **changes: Any) -> engine.Engine:
    """Return an engine with the default walls."""
    changes.setdefault("spares", 1 if mode.endswith("+spare") else 0)
    start_mode: engine.StartMode = "exec" if mode.startswith("exec") else "zygote"
    return engine.Engine(start_mode=start_mode, **changes)


def wait_terminal(run: engine.Run) -> None:
    """Wait for the terminal event.  This number is never reached, so no state is decoded."""
    run.poll(after=_AT_THE_END, timeout_s=None)


def check(run: engine.Run, load: Workload) -> engine.RunResult:
    """Return the result of a run that must be correct."""
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
    """Return the time of one run, and the processor time of this process and of the child."""
    state = load.make_state()
    used = time.process_time()
    begin = time.perf_counter()
    run = made.execute(load.plan, state)
    wait_terminal(run)
    taken = (time.perf_counter() - begin) * 1000
    used = time.process_time() - used
    return taken, 1000 * (used + check(run, load).usage.cpu_s)


def rate(made: engine.Engine, load: Workload, runs: int) -> float:
    """Return finished runs per second if this number of *runs* is submitted at once."""
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
    """Return the private memory of a waiting forked child; None if it cannot be read."""
    with make_engine("zygote", spares=2, max_runs=1, policy=policy) as made:
        made.execute(WORKLOADS["W1"].plan, WORKLOADS["W1"].make_state()).result()
        time.sleep(1.0)
        zygotes = psutil.Process(os.getpid()).children()
        spares = [child.pid for zygote in zygotes for child in zygote.children()]
        found = [size for size in map(private_mb, spares) if size is not None]
    return median(found) if found else None


class Fleet:
    """An engine of each mode, started once when it is first measured; the modes alternate."""

    def __init__(self) -> None:
        self._engines: dict[str, engine.Engine] = {}

    def latency(self, mode: str, load: Workload) -> float:
        """Run once, and let the next spare get ready."""
        taken = latency_ms(self.engine(mode), load)
        time.sleep(REST_S[mode])
        return taken

    def costs(self, mode: str, load: Workload) -> tuple[float, float, float]:
        """Run once as `latency` does; return the time, the processor time, and the page faults of forks."""
        made = self.engine(mode)
        before = _faults()
        elapsed, used = costs_ms(made, load)
        faults = _faults() - before
        time.sleep(REST_S[mode])
        return elapsed, used, faults

    def engine(self, mode: str) -> engine.Engine:
        """Return the engine of a mode, which has run once."""
        if mode not in self._engines:
            self._engines[mode] = make_engine(mode, max_runs=1)
            self.latency(mode, WORKLOADS["W1"])  # the engine starts its zygote now
        return self._engines[mode]

    def close(self) -> None:
        """Close all engines."""
        for made in self._engines.values():
            made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _faults() -> float:
    """Return the page faults of all processes that our children have waited for: proc(5), cminflt."""
    return float(sum(faults_of_children(child.pid) for child in psutil.Process().children()))
