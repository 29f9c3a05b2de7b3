"""Honest runs beside each attacker: ``python -m benchmarks.bench_attackers [--seconds 4]``.

The promise (docs/THREAT_MODEL.md): honest runs take at most twice their time alone at the median,
and at most four times at the 95th percentile.  Every limit of time fires within half a second of
its value.
"""

from __future__ import annotations

import argparse

import engine
from benchmarks.attackers import ATTACKS, FLOODS, HONEST, Times, beside, honest_runs, server

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
    wanted = arguments.only or ""
    good = True
    policy = engine.Policy(language=False)
    with engine.Engine(policy=policy, max_runs=4) as eng, server() as attacked, server() as other:
        for _ in range(5):
            eng.execute(HONEST, {}).result(60)
        for name, source in ATTACKS.items():
            if wanted in name:
                good &= _compare(eng, name, source, arguments.seconds)
        for name, source in FLOODS.items():
            for port, kind in ((None, "no network"), (other, "with network")):
                label = f"{name}, {kind}"
                if wanted in label:
                    good &= _compare(
                        eng, label, source, arguments.seconds, port=port, attacked=attacked
                    )
    return int(not good)


def _compare(
    eng: engine.Engine,
    name: str,
    source: str,
    seconds: float,
    *,
    port: int | None = None,
    attacked: int | None = None,
) -> bool:
    """Print a line for an attack; return whether the promise holds."""

    def measure(share: float) -> Times:
        return honest_runs(eng, seconds * share, port=port)

    before = measure(0.5)
    busy, missed_s = beside(eng, source, lambda: measure(1), port=attacked)
    compared = max(before, measure(0.5), key=lambda times: times.median)
    median, late = busy.median / compared.median, busy.late / compared.late
    good = median <= MEDIAN and late <= LATE and missed_s <= LIMIT_S
    print(
        f"{'ok    ' if good else 'BROKEN'} {name:36} alone {_shown(compared)}, beside"
        f" {_shown(busy)}: {median:.2f} and {late:.2f} times; limit {missed_s:+.2f} s",
        flush=True,
    )
    return good


def _without_shares() -> None:
    from engine.running import lane, share

    lane.SLICE_S = 60.0  # type: ignore[misc]  # switched off on purpose
    share.SHARE = 1e9  # type: ignore[misc]


def _shown(times: Times) -> str:
    return f"{times.median * 1000:.1f}/{times.late * 1000:.1f} ms (n={times.count})"


if __name__ == "__main__":
    raise SystemExit(main())
