"""``python -m benchmarks.bench_permissions``: a trivial run with each set of permissions, beside W1.

Each set has an engine of its own, and its runs take turns with runs without permissions.  The first column
is a new interpreter for each run; the second one is a fork, which a set gets from its second use on.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Table, machine_line, median, milliseconds, number, quartile
from engine import Engine, Permissions, RunOptions

RULES: Final = ("api.example.org:443", "10.1.2.3:5432")
PORTS: Final = tuple(f"api.example.org:{port}" for port in range(8000, 8010))
WARM_USES: Final = 3
AT_MOST: Final = 2.0
"""The goal for a set without a network of its own: so many times W1."""
JOB: Final = "def main(state): return state"


def sets(read: str) -> dict[str, dict[str, Any]]:
    """Return the sets of permissions by their names."""
    single: dict[str, dict[str, Any]] = {
        "read": {"read": (read,)},
        "scratch": {"scratch_mb": 8},
        "net, 2 rules": {"net": RULES},
        "net, 10 ports": {"net": PORTS},
        "net, open": {"net": ("*",)},
    }
    pairs = (
        ("read", "scratch"),
        ("read", "net, 2 rules"),
        ("scratch", "net, 2 rules"),
        ("read", "net, open"),
        ("scratch", "net, open"),
        ("read", "scratch", "net, 2 rules"),
    )
    joint = {
        " + ".join(names): {key: value for name in names for key, value in single[name].items()}
        for names in pairs
    }
    return single | joint


def duration(engine: Engine, permissions: dict[str, Any]) -> float:
    options = RunOptions(permissions=Permissions(**permissions))

    def run() -> None:
        result = engine.execute(JOB, {}, options=options).result()
        assert result.reason == "success", result.error

    return milliseconds(run)


def measure(permissions: dict[str, Any], rounds: int, colds: int) -> tuple[list[float], ...]:
    """Return the milliseconds of W1, of a new interpreter, and of a fork."""
    with Engine(max_runs=1, start_mode="exec") as engine:
        duration(engine, permissions)  # starts the relay
        cold = [duration(engine, permissions) for _ in range(colds)]
    w1, forked = [], []
    with Engine(max_runs=1) as engine:
        for _ in range(WARM_USES):
            duration(engine, permissions)
            duration(engine, {})
        for _ in range(rounds):
            w1.append(duration(engine, {}))
            forked.append(duration(engine, permissions))
    return w1, cold, forked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--colds", type=int, default=8, help="measurements of a new interpreter")
    parser.add_argument("--only", default="", help="sets whose name contains this text")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    table = Table(
        f"Milliseconds, medians in turns ({machine_line()})",
        ["permissions", "W1", "new interpreter", "fork", "fork / W1", "lower quartiles"],
    )
    missed = []
    with tempfile.TemporaryDirectory() as read:
        Path(read).chmod(0o755)
        for name, permissions in sets(read).items():
            if arguments.only not in name:
                continue
            w1, cold, forked = measure(permissions, arguments.rounds, arguments.colds)
            ratio, low = median(forked) / median(w1), quartile(forked) / quartile(w1)
            table.add(
                name, number(median(w1)), number(median(cold)), number(median(forked)),
                f"{ratio:.2f}", f"{low:.2f}",
            )  # fmt: skip
            private = "rules" in name or "ports" in name
            missed += [f"{name}: {low:.2f} times W1"] * (low > AT_MOST and not private)
    print(table.markdown() if arguments.markdown else table.text())
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
