"""Honest runs beside each attacker: ``python -m benchmarks.bench_attackers [--seconds 4]``.

The promise (docs/THREAT_MODEL.md): honest runs take at most twice their time alone at the median,
and at most four times at the 95th percentile.  Every limit of time fires within half a second of
its value.
"""

from __future__ import annotations

import argparse

import engine
from benchmarks.attackers import ATTACKS, HONEST, Times, beside, honest_runs

MEDIAN = 2.0
LATE = 4.0
LIMIT_S = 0.5


def main() -> int:
    """Print a line for each attack; return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", help="part of the name of an attack")
    parser.add_argument(
        "--without-shares", action="store_true", help="the twin: no share, no slices"
    )
    arguments = parser.parse_args()
    if arguments.without_shares:
        _without_shares()
    broken = False
    policy = engine.Policy(language=False)
    with engine.Engine(policy=policy, max_runs=4) as eng:
        for _ in range(5):
            eng.execute(HONEST, {}).result(60)
        for name, source in ATTACKS.items():
            if arguments.only and arguments.only not in name:
                continue
            before = honest_runs(eng, arguments.seconds / 2)
            busy, missed_s = beside(eng, source, lambda: honest_runs(eng, arguments.seconds))
            after = honest_runs(eng, arguments.seconds / 2)
            alone = max(before, after, key=lambda times: times.median)
            median, late = busy.median / alone.median, busy.late / alone.late
            good = median <= MEDIAN and late <= LATE and missed_s <= LIMIT_S
            broken |= not good
            print(
                f"{'ok    ' if good else 'BROKEN'} {name:32} alone {_shown(alone)}, beside"
                f" {_shown(busy)}: {median:.2f} and {late:.2f} times; limit {missed_s:+.2f} s",
                flush=True,
            )
    return int(broken)


def _without_shares() -> None:
    from engine.running import lane, share

    lane.SLICE_S = 60.0  # type: ignore[misc]  # switched off on purpose
    share.SHARE = 1e9  # type: ignore[misc]


def _shown(times: Times) -> str:
    return f"{times.median * 1000:.1f}/{times.late * 1000:.1f} ms (n={times.count})"


if __name__ == "__main__":
    raise SystemExit(main())
