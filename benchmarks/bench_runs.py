"""The start modes, the floors and the peers on W1 to W6, side by side in one run.

``python -m benchmarks.bench_runs [--rounds N] [--peers] [--json FILE] [--markdown [FILE]]``

Latency is the time from `execute` to the terminal event, with the full default policy.  Every round
measures everything, so that a slow minute of the machine affects all figures.  Every result is
compared with the expected one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.floors import FLOORS, Floors
from benchmarks.measure import Table, machine, machine_line, median, p95, settle, write_json
from benchmarks.modes import MODES, Fleet, make_engine, rate
from benchmarks.peers import PEERS, Peer, open_peers
from benchmarks.workloads import WORKLOADS

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
RATE_S = 0.4
"""The approximate time in which one throughput is measured."""
RATE_ROUNDS = 5
"""Throughput is measured in each fifth round, because it takes long and varies little."""

Samples = dict[str, list[float]]


def main() -> None:
    options = _options()
    workloads = options.workloads.split(",")
    found = machine()
    print(machine_line(), file=sys.stderr)
    samples: Samples = defaultdict(list)
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        peers: list[Peer] = []
        if options.peers:
            peers, absent = open_peers(stack)
        floors = stack.enter_context(Floors())
        fleet = stack.enter_context(Fleet())
        for number in range(options.rounds):
            measure_round(fleet, floors, peers, workloads, samples)
            if number % RATE_ROUNDS == 0:
                measure_rates(workloads, samples)
            print(f"round {number + 1} of {options.rounds}", end="\r", file=sys.stderr)
    memory = measure_memory(workloads)
    print(file=sys.stderr)
    tables = [
        latency_table(samples, workloads),
        rate_table(samples, workloads),
        memory_table(memory, workloads),
        floor_table(samples),
    ]
    for table in tables:
        print(table.text())
    for name, reason in absent.items():
        print(f"{name}: not measured: {reason}")
    if options.json:
        write_json(
            options.json,
            {"machine": found, "samples": samples, "memory_mb": memory, "absent": absent},
        )
    if options.markdown:
        text = document(tables, absent, options.rounds)
        Path(options.markdown).write_text(text, encoding="utf-8")


def measure_round(
    fleet: Fleet, floors: Floors, peers: list[Peer], workloads: list[str], samples: Samples
) -> None:
    """Measure everything once."""
    for floor, taken in floors.round().items():
        samples[f"floor {floor}"].append(taken)
    for name in workloads:
        for mode in MODES:
            settle()
            samples[f"latency {mode} {name}"].append(fleet.latency(mode, WORKLOADS[name]))
        for peer in peers:
            if name in peer.workloads:
                samples[f"latency {peer.name} {name}"].append(peer.latency(name))


def measure_rates(workloads: list[str], samples: Samples) -> None:
    """Measure runs per second; the number of runs takes some tenths of a second."""
    for mode in MODES:
        for at_once in (1, 2):
            with make_engine(mode, max_runs=at_once, spares=at_once if "+" in mode else 0) as made:
                rate(made, WORKLOADS["W1"], 2)
                for name in workloads:
                    one = median(samples[f"latency {mode} {name}"]) / 1000
                    runs = min(400, max(2 * at_once, round(RATE_S * at_once / one)))
                    settle()
                    key = f"rate {mode} {name} {at_once}"
                    samples[key].append(rate(made, WORKLOADS[name], runs))


def measure_memory(workloads: list[str]) -> dict[str, dict[str, float]]:
    """Measure the peaks of each mode and workload, each in a manager of its own."""
    return {
        f"{mode} {name}": json.loads(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.memory_process", mode, name],
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
        )
        for mode in MODES
        for name in workloads
    }


def latency_table(samples: Samples, workloads: list[str]) -> Table:
    table = Table("Latency in ms: median (p95)", ["", *workloads])
    for name in (*MODES, *PEERS):
        cells = []
        for workload in workloads:
            taken = samples.get(f"latency {name} {workload}")
            cells.append(f"{median(taken):.2f} ({p95(taken):.1f})" if taken else "-")
        if any(cell != "-" for cell in cells):
            table.add(PEERS.get(name, name), *cells)
    return table


def rate_table(samples: Samples, workloads: list[str]) -> Table:
    table = Table("Runs per second", ["start mode, `max_runs`", *workloads])
    for mode in MODES:
        for at_once in (1, 2):
            rates = [samples.get(f"rate {mode} {name} {at_once}") for name in workloads]
            table.add(f"{mode}, {at_once}", *(median(r) if r else None for r in rates))
    return table


def memory_table(memory: dict[str, dict[str, float]], workloads: list[str]) -> Table:
    title = "Peak memory in MB: growth of the manager / the child"
    table = Table(title, ["", *workloads])
    for mode in MODES:
        peaks = [memory[f"{mode} {name}"] for name in workloads]
        table.add(mode, *(f"{peak['manager_more']:.1f} / {peak['child']:.1f}" for peak in peaks))
    return table


def floor_table(samples: Samples) -> Table:
    table = Table("Floors in ms", ["", "median", "p95"])
    for floor, what in FLOORS.items():
        taken = samples[f"floor {floor}"]
        table.add(what, median(taken), p95(taken))
    return table


def document(tables: list[Table], absent: dict[str, str], rounds: int) -> str:
    """Return the checked-in document."""
    loads = "\n".join(f"| {load.name} | {load.what} |" for load in WORKLOADS.values())
    missing = "".join(f"\nNot measured: {name} ({reason}).\n" for name, reason in absent.items())
    return (
        "# Benchmarks\n\n"
        "Made by `python -m benchmarks.bench_runs --peers --markdown`. Compare ratios, not\n"
        "milliseconds. Latency is the time from `execute` to the last event of the run, with the\n"
        "full default policy. `exec` starts an interpreter for each run, and `zygote` forks one;\n"
        "with `+spare` the child of the next run is ready before the run begins. Every round\n"
        "measures every cell of the first table once, and checks the result of every run.\n\n"
        f"Machine: {machine_line()}. Rounds: {rounds}.\n\n"
        f"| workload | description |\n| --- | --- |\n{loads}\n\n"
        + "\n".join(table.markdown() for table in tables)
        + missing
    )


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_runs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="such as W1,W4")
    parser.add_argument("--peers", action="store_true", help="other runtimes as well")
    parser.add_argument("--json", metavar="FILE", help="write every sample")
    parser.add_argument("--markdown", metavar="FILE", nargs="?", const=str(DOCUMENT))
    return parser.parse_args()


if __name__ == "__main__":
    main()
