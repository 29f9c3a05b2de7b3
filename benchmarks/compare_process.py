"""Run by `benchmarks.compare`: this harness on the engine of one revision, asked round by round."""

from __future__ import annotations

import json
import sys

from benchmarks.measure import settle
from benchmarks.modes import Fleet, idle_private_mb, make_engine, rate
from benchmarks.workloads import WORKLOADS

RATE_RUNS = 100
BURST = 3
"""Number of runs that follow each other directly."""


def main() -> None:
    with Fleet() as fleet:
        for line in sys.stdin:
            question = json.loads(line)
            load = WORKLOADS[question["workload"]]
            settle()
            what = question["what"]
            answer: object
            if what == "latency":
                answer = fleet.latency(question["mode"], load)
            elif what == "burst":
                answer = [fleet.costs(question["mode"], load) for _ in range(BURST)]
            elif what == "idle":
                answer = idle_private_mb()
            else:
                with make_engine(question["mode"], max_runs=2) as made:
                    rate(made, load, 5)
                    answer = 1000 / rate(made, load, RATE_RUNS)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
