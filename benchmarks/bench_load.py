"""Large loads: many log lines, many steps, many runs, a large state; cost must grow linearly.

``python -m benchmarks.bench_load [--long] [--json FILE]`` measures each load in two sizes, ten
times apart.  Each size has a manager of its own, so that the peak memory belongs to this size only.
``--long`` adds the memory of one manager after 200 and after 2,000 runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import engine
from benchmarks.measure import Table, forget_peak, machine_line, status_mb, write_json
from benchmarks.modes import check, make_engine, wait_terminal
from benchmarks.workloads import ADD_ONE, WORKLOADS, chain, large_state, small

LINES = """\
def main(state):
    for number in range(state["lines"]):
        print("line", number, "of a job that has much to say, some eighty characters long, about")
    return state
"""
SIZES = {
    "log lines": (10_000, 100_000),
    "steps": (200, 2000),
    "runs at once": (20, 200),
    "MB of state": (10, 100),
}
LINEAR = 1.5
"""Ten times the load may cost ten times this factor, and the cost is still called linear."""
_UNLIMITED = engine.RunOptions(
    memory_mb=4000, state_mb=1000, payload_mb=1000, max_log_bytes=100_000_000
)


def main() -> None:
    options = _options()
    if options.one:
        what, size = options.one
        print(json.dumps(measure(what, int(size))))
        return
    print(machine_line())
    table = Table("Load", ["", "size", "s", "a unit, ms", "manager, MB more", "child, MB"])
    figures: dict[str, Any] = {}
    for what, sizes in SIZES.items():
        found = [_in_new_manager(what, size) for size in sizes]
        for size, one in zip(sizes, found, strict=True):
            per_unit = one["s"] * 1000 / size
            table.add(what, size, one["s"], f"{per_unit:.3f}", one["manager"], one["child"])
        growth = (found[1]["s"] / found[0]["s"]) / (sizes[1] / sizes[0])
        figures[what] = {"sizes": sizes, "found": found, "growth": growth}
    print(table.text())
    for what, figure in figures.items():
        verdict = "linear" if figure["growth"] <= LINEAR else "MORE THAN LINEAR"
        print(
            f"{what}: ten times as many take {figure['growth'] * 10:.1f} times as long: {verdict}"
        )
    if options.long:
        growth = manager_growth(200, 2000)
        figures["manager_growth"] = growth
        print(f"manager memory after 2,000 runs : after 200: {growth:.3f}")
    if options.json:
        write_json(options.json, figures)


def measure(what: str, size: int) -> dict[str, float]:
    """Return seconds, and the peaks of manager and child in MB."""
    run = {
        "log lines": log_lines,
        "steps": steps,
        "runs at once": runs_at_once,
        "MB of state": megabytes,
    }[what]
    with make_engine("zygote", max_runs=2) as made:
        check(made.execute(WORKLOADS["W1"].plan, small()), WORKLOADS["W1"])
        act = run(made, size)
        gc.collect()
        before = status_mb("VmRSS")
        forget_peak()
        begin = time.perf_counter()
        children = act()
        taken = time.perf_counter() - begin
    return {"s": taken, "manager": status_mb("VmHWM") - before, "child": children}


def log_lines(made: engine.Engine, size: int) -> Callable[[], float]:
    """Log *size* lines, while the manager polls them."""

    def act() -> float:
        run = made.execute(chain(1, LINES), {"lines": size}, options=_UNLIMITED)
        seen = 0
        while True:
            done = run.done
            seen += sum(event.type == "log" for event in run.poll(timeout_s=None))
            if done:
                break
        assert seen == size, f"{seen} of {size} lines arrived"
        return _peak(run)

    return act


def steps(made: engine.Engine, size: int) -> Callable[[], float]:
    """Run a chain of *size* trivial steps."""
    plan = chain(size)

    def act() -> float:
        run = made.execute(plan, small())
        wait_terminal(run)
        assert run.result().state == {"data": {"x": size + 1}}, run.result()
        return _peak(run)

    return act


def runs_at_once(made: engine.Engine, size: int) -> Callable[[], float]:
    """Submit *size* runs at once; as many go on at the same time as there are processors."""

    def act() -> float:
        runs = [made.execute(ADD_ONE, small()) for _ in range(size)]
        for run in runs:
            wait_terminal(run)
        assert all(run.result().state == {"data": {"x": 2}} for run in runs)
        return max(map(_peak, runs))

    return act


def megabytes(made: engine.Engine, size: int) -> Callable[[], float]:
    """Send a state of this size through three jobs; the manager makes its own copy before."""
    state = large_state(size * 1_000_000)
    gc.freeze()

    def act() -> float:
        run = made.execute(chain(3), state, options=_UNLIMITED)
        wait_terminal(run)
        assert run.result().state["data"]["x"] == 4
        return _peak(run)

    return act


def manager_growth(first: int, last: int) -> float:
    """Return the memory of a manager after *last* runs and after *first* runs."""
    command = [sys.executable, "-m", "benchmarks.bench_load", "--growth", str(first), str(last)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def _growth(first: int, last: int) -> float:
    resident = {}
    with make_engine("zygote", max_runs=2) as made:
        for number in range(1, last + 1):
            check(made.execute(ADD_ONE, small()), WORKLOADS["W1"])
            if number in (first, last):
                gc.collect()
                resident[number] = status_mb("VmRSS")
    return resident[last] / resident[first]


def _in_new_manager(what: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bench_load", "--one", what, str(size)]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    )
    return found


def _peak(run: engine.Run) -> float:
    return run.result().usage.peak_memory_bytes / 1e6


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_load", description=__doc__)
    parser.add_argument("--long", action="store_true", help="manager memory over 2,000 runs, too")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument(
        "--one", nargs=2, metavar=("WHAT", "SIZE"), help="one size, in this process"
    )
    parser.add_argument("--growth", nargs=2, type=int, help="the memory of this process alone")
    options = parser.parse_args()
    if options.growth:
        print(_growth(*options.growth))
        sys.exit()
    return options


if __name__ == "__main__":
    main()
