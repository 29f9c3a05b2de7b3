"""``python -m benchmarks.memory``: the manager's memory over thousands of runs with a large state.

The runs go one after another.  The manager follows each run to its end, polls its events, and drops
its handle.  The last figure of each row must be within `MAX_GROWTH` of the one after a tenth of the
runs.
"""

from __future__ import annotations

import argparse
import gc
import sys

import psutil

from engine import Engine

MAX_GROWTH = 1.1
"""Allowed growth of the resident set, from a tenth of the runs to the last run."""

ROWS = ((400_000, 2_000), (9_000_000, 300))
"""Bytes of the state, and number of runs."""

_JOB = "def main(state): return {**state, 'calm': True}"


def resident_mb() -> float:
    """Return the resident set of this process in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


def measure(size: int, runs: int, *, collecting: bool) -> tuple[float, float]:
    """Return the memory in MB after a tenth of the runs and after all of them."""
    early = 0.0
    if not collecting:
        gc.collect()
        gc.disable()
    try:
        with Engine(max_runs=1) as engine:
            for number in range(runs):
                run = engine.execute(_JOB, {"data": ["x" * 100] * (size // 102)})
                result = run.result(timeout_s=60)
                if result.reason != "success":
                    raise RuntimeError(f"a run ended with {result.error}")
                run.poll(after=0)
                del run, result
                if number == runs // 10:
                    early = resident_mb()
            return early, resident_mb()
    finally:
        gc.enable()


def main() -> None:
    """Measure each row; exit 1 if one has grown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, help="of each row, in place of what is usual")
    parser.add_argument("--no-gc", action="store_true", help="with the garbage collector off")
    arguments = parser.parse_args()
    grown = False
    for size, usual in ROWS:
        runs = arguments.runs or usual
        early, late = measure(size, runs, collecting=not arguments.no_gc)
        grown |= late > MAX_GROWTH * early
        print(
            f"state of {size / 1e6:g} MB: {early:.1f} MB after {runs // 10} runs, {late:.1f} MB after"
            f" {runs}: x {late / early:.3f}"
        )
    sys.exit(grown)


if __name__ == "__main__":
    main()
