"""``python -m benchmarks.memory_process MODE WORKLOAD``: the peak memory of one run, as JSON.

Each run has a process of its own, because memory of an earlier run would hide the peak of this one.
"""

from __future__ import annotations

import gc
import json
import sys

from benchmarks.measure import forget_peak, status_mb
from benchmarks.modes import check, make_engine, wait_terminal
from benchmarks.workloads import WORKLOADS


def main(mode: str, name: str) -> None:
    load = WORKLOADS[name]
    state = load.make_state()
    with make_engine(mode, max_runs=1) as made:
        warm = made.execute(WORKLOADS["W1"].plan, WORKLOADS["W1"].make_state())
        check(warm, WORKLOADS["W1"])
        del warm
        gc.collect()
        before = status_mb("VmRSS")
        known = forget_peak()
        run = made.execute(load.plan, state)
        wait_terminal(run)
        peak = status_mb("VmHWM") if known else status_mb("VmRSS")
        result = check(run, load)
    child = result.usage.peak_memory_bytes / 1e6
    print(json.dumps({"manager": peak, "manager_more": peak - before, "child": child}))


if __name__ == "__main__":
    main(*sys.argv[1:])
