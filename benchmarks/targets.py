"""The ratios that must be reached, measured with the full default policy on.

``python -m benchmarks.targets [--rounds N] [--long] [--json FILE]`` prints each target, the
measured value, and ok or missed; the exit code is 1 if a target was missed.  ``--long`` adds the
memory of a manager after 2,000 runs against after 200, which takes a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from typing import Any, NamedTuple

import engine
from benchmarks.bench_load import manager_growth
from benchmarks.floors import Floors
from benchmarks.measure import Table, machine_line, median, settle, write_json
from benchmarks.modes import Fleet, idle_private_mb, make_engine, rate
from benchmarks.workloads import WORKLOADS

MODES = ("exec", "zygote", "exec+spare", "zygote+spare")
RATE_RUNS = 300
RATE_ROUNDS = 10
"""Throughput is measured in each tenth round."""

Samples = dict[str, list[float]]


class Target(NamedTuple):
    """A row: the limit, which is an upper or a lower one, and the measured value."""

    what: str
    measured: float
    limit: float
    unit: str
    note: str = ""
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def main() -> None:
    options = _options()
    print(machine_line())
    samples: Samples = defaultdict(list)
    with Floors() as floors, Fleet() as fleet:
        for number in range(options.rounds):
            measure_round(fleet, floors, samples)
            if number % RATE_ROUNDS == 0:
                measure_rate(samples)
            print(f"round {number + 1} of {options.rounds}", end="\r", file=sys.stderr)
    print(file=sys.stderr)
    targets = evaluate(samples)
    targets.append(idle_child())
    if options.long:
        growth = manager_growth(200, 2000)
        targets.append(Target("manager memory, 2,000 runs : 200 runs", growth, 1.05, "x"))
    table = Table("Targets", ["", "measured", "limit", "", "", ""])
    for target in targets:
        sign = ">=" if target.at_least else "<="
        verdict = "ok" if target.reached else "MISSED"
        limit = f"{sign} {target.limit:g}"
        table.add(target.what, target.measured, limit, target.unit, verdict, target.note)
    print(table.text())
    if options.json:
        rows = [{**target._asdict(), "reached": target.reached} for target in targets]
        write_json(options.json, {"targets": rows, "samples": samples})
    sys.exit(0 if all(target.reached for target in targets) else 1)


def measure_round(fleet: Fleet, floors: Floors, samples: Samples) -> None:
    """Measure every figure once, floors and runs side by side."""
    for floor, taken in floors.round().items():
        samples[floor].append(taken)
    for mode, name in (
        ("zygote", "W1"),
        ("zygote+spare", "W1"),
        ("exec+spare", "W1"),
        ("exec", "W1"),
        ("zygote", "W2"),
        ("zygote", "W3"),
        ("zygote", "W4"),
        ("zygote", "W6"),
    ):
        settle()
        samples[f"{mode} {name}"].append(fleet.latency(mode, WORKLOADS[name]))


def measure_rate(samples: Samples) -> None:
    with make_engine("zygote", max_runs=2) as made:
        rate(made, WORKLOADS["W1"], 20)
        samples["rate"].append(rate(made, WORKLOADS["W1"], RATE_RUNS))


def evaluate(samples: Samples) -> list[Target]:
    """Return the targets that are ratios of measured figures."""
    typical = {name: median(taken) for name, taken in samples.items()}
    python, fork = typical["python"], typical["fork"]
    codec = typical["encode"] + typical["decode"]
    quick, spawned = typical["zygote W1"], typical["exec W1"]
    forked, rehearsed = typical["zygote+spare W1"], typical["exec+spare W1"]
    step = median(
        [
            (long - short) / 90
            for long, short in zip(samples["zygote W3"], samples["zygote W2"], strict=True)
        ]
    )
    large, sums = typical["zygote W4"], typical["zygote W6"]
    forks_a_second = 1000 / fork
    return [
        Target("W1, zygote : fork+exit+wait", quick / fork, 6, "x", _of(quick, fork)),
        Target("W1, zygote : bare interpreter", quick / python, 0.4, "x", _of(quick, python)),
        Target("W1, exec spare : bare", rehearsed / python, 0.15, "x", _of(rehearsed, python)),
        Target("W1, zygote spare : bare", forked / python, 0.15, "x", _of(forked, python)),
        Target("W1, exec : bare interpreter", spawned / python, 4, "x", _of(spawned, python)),
        Target(
            "W1 runs/s, zygote, 2 at once : forks/s",
            typical["rate"] / forks_a_second,
            0.2,
            "x",
            f"{typical['rate']:.0f} : {forks_a_second:.0f} /s",
            at_least=True,
        ),
        Target("one more trivial step, (W3 - W2) / 90", step, 0.25, "ms"),
        Target("W4 per job : encode + decode", large / 3 / codec, 4, "x", _of(large / 3, codec)),
        Target("W4 : 6 x (encode + decode)", large / codec / 6, 1, "x", f"{large:.0f} ms"),
        Target(
            "W6, zygote : plain exec",
            sums / typical["exec W6"],
            1.1,
            "x",
            _of(sums, typical["exec W6"]),
        ),
    ]


def idle_child() -> Target:
    """Measure the private memory of a forked child that waits for a plan."""
    what, note = "private memory of an idle forked child", ""
    private = idle_private_mb(engine.Policy())
    if private is None:
        # Only root may look into a confined process; the walls cost it next to nothing.
        private, note = idle_private_mb(engine.Policy(level="none")), "without walls: not root"
    if private is None:
        private, note = float("nan"), "smaps_rollup cannot be read"
    return Target(what, private, 2, "MB", note)


def _of(measured: float, base: float) -> str:
    return f"{measured:.2f} : {base:.2f} ms"


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.targets", description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--long", action="store_true", help="manager memory over 2,000 runs, too")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
