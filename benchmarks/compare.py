"""Show the figures that moved since another revision: ``python -m benchmarks.compare BASE``.

BASE is checked out into a temporary directory.  This harness then measures both engines, its own
and that of BASE, alternately in the same environment.  A figure has moved if the ratio of the
medians differs from 1 with a confidence of 99 % and by more than ``--least`` per cent.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.helper import Helper
from benchmarks.measure import Table, machine_line, median, ratio_interval, write_json
from benchmarks.modes import MODES
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[1]
ENGINE = ("engine", "protocol", "sandbox_child")
"""The packages that are measured."""


def main() -> None:
    options = _options()
    print(machine_line())
    figures = [("latency", m, w) for w in options.workloads.split(",") for m in MODES]
    figures += [("rate", mode, "W1") for mode in ("exec", "zygote")]
    with tempfile.TemporaryDirectory(prefix="jobcell-compare-") as made:
        # A child without privileges must be able to read its own code.
        Path(made).chmod(0o755)
        harness = Path(made, "harness")
        shutil.copytree(ROOT / "benchmarks", harness / "benchmarks")
        base = Path(made, "base")
        head = Path(made, "head")
        worktree = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*worktree, "add", "--quiet", "--detach", base, options.base], check=True)
        try:
            for package in ENGINE:
                # Both trees are copies, so that both places are equally new to the machine.
                shutil.copytree(ROOT / package, head / package)
            samples = alternate(
                {"base": base, "head": head}, harness, figures, rounds=options.rounds
            )
        finally:
            subprocess.run([*worktree, "remove", "--force", base], check=True)
    report(samples, figures, options)


def alternate(
    trees: dict[str, Path], harness: Path, figures: list[tuple[str, str, str]], *, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Measure both trees alternately; each round begins with the other tree."""
    helpers: dict[str, Helper] = {}
    samples: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in trees}
    try:
        for name, tree in trees.items():
            helpers[name] = start(tree, harness)
        order = list(trees)
        for number in range(rounds):
            order.reverse()
            for what, mode, load in figures:
                for name in order:
                    taken = helpers[name].ask(what=what, mode=mode, workload=load)
                    samples[name][f"{what} {mode} {load}"].append(taken)
            print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    finally:
        print(file=sys.stderr)
        for helper in helpers.values():
            helper.close()
    return samples


def start(tree: Path, harness: Path) -> Helper:
    """Start a process that measures the packages below *tree* with this harness."""
    # A confined child cannot write bytecode.
    packages = [str(tree / package) for package in ENGINE]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *packages], check=True)
    return Helper(
        [sys.executable, "-m", "benchmarks.compare_process"],
        env={**os.environ, "PYTHONPATH": str(tree)},
        cwd=str(harness),
    )


def report(
    samples: dict[str, dict[str, list[float]]], figures: list[tuple[str, str, str]], options: Any
) -> None:
    """Print every figure, and say for each one whether it has moved."""
    table = Table(
        f"{options.base} against the working tree, ms a run",
        ["", options.base[:20], "now", "ratio", "99 % interval", ""],
    )
    moved = 0
    for what, mode, load in figures:
        key = f"{what} {mode} {load}"
        old, new = samples["base"][key], samples["head"][key]
        low, high = ratio_interval(old, new)
        ratio = median(new) / median(old)
        significant = (low > 1 or high < 1) and abs(ratio - 1) * 100 >= options.least
        verdict = ("slower" if ratio > 1 else "faster") if significant else ""
        moved += significant
        label = f"{mode} {load}" if what == "latency" else f"{mode} {load}, 2 at once"
        interval = f"{low:.3f} to {high:.3f}"
        table.add(label, median(old), median(new), f"{ratio:.3f}", interval, verdict)
    print(table.text())
    print(f"{moved} of {len(figures)} figures have moved")
    if options.json:
        write_json(options.json, samples)


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("base", help="a git revision")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="such as W1,W4")
    parser.add_argument("--least", type=float, default=2.0, help="per cent that count as moved")
    parser.add_argument("--json", metavar="FILE", help="write every sample")
    return parser.parse_args()


if __name__ == "__main__":
    main()
