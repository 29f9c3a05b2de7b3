"""A drill with many runs of many tenants, one of them greedy."""

from __future__ import annotations

import time
from typing import Any, Final

from benchmarks.chaos.field import ChaosError, Field
from benchmarks.measure import median, status_mb

TRIVIAL: Final[dict[str, Any]] = {
    "workflow": {"steps": [{"id": "a", "expression": "def main(state): return state"}]}
}

_UNFAIR: Final = 2.0
_GROWTH: Final = 1.1
_GROWTH_MB: Final = 10.0


def crowd(
    field: Field, *, runs: int = 10_000, tenants: int = 50, limit: int = 2, places: int = 4
) -> str:
    """A greedy tenant has half of all runs, and was first: the others wait as if all were equal.

    Args:
        field: The field.
        runs: The number of runs.
        tenants: The number of tenants.
        limit: The number of runs of one tenant at once.
        places: The number of places of each of the two workers.

    """
    greedy = runs // 2
    each = (runs - greedy) // (tenants - 1)
    enqueue_s = _enqueue(field, greedy, each, tenants)
    total = greedy + each * (tenants - 1)
    workers = [field.start_worker(places, "--tenant-limit", str(limit)) for _ in range(2)]
    field.wait_ready()
    memory: dict[int, list[float]] = {worker.pid: [] for worker in workers}
    begun = time.monotonic()
    while (left := field.left()) > 0:
        # Memory counts from the time when a quarter of the runs is over.
        if left < total * 3 / 4:
            for worker in workers:
                memory[worker.pid].append(status_mb("VmRSS", worker.pid))
        if time.monotonic() - begun > 60 + total / 5:
            raise ChaosError(f"{left} of {total} runs are left\n{field.tails()}")
        time.sleep(0.5)
    _check_all(field, total)
    fair_s, waited_s, greedy_s = _waits(field, total, greedy)
    if waited_s > _UNFAIR * fair_s:
        raise ChaosError(
            f"the median run of the others began after {waited_s:.1f} s; fair: {fair_s:.1f} s"
        )
    grown = [_grown(values) for values in memory.values() if len(values) > 3]
    if any(last > first * _GROWTH and last > first + _GROWTH_MB for first, last in grown):
        raise ChaosError(f"the memory of workers has grown: {grown} MB")
    shown = ", ".join(f"{first:.0f} to {last:.0f}" for first, last in grown)
    return (
        f"{total} runs of {tenants} tenants, {total / enqueue_s:.0f} enqueued/s; the others began"
        f" after {waited_s:.1f} s (median; fair {fair_s:.1f}, greedy {greedy_s:.1f});"
        f" memory of workers {shown} MB"
    )


def _enqueue(field: Field, greedy: int, each: int, tenants: int) -> float:
    """Enqueue all runs, those of the greedy tenant first; return the seconds that it took."""
    begun = time.monotonic()
    for number in range(greedy):
        field.store.enqueue(TRIVIAL, {"data": number}, tenant="greedy")
    for number in range(each):
        for tenant in range(tenants - 1):
            field.store.enqueue(TRIVIAL, {"data": number}, tenant=f"t{tenant}")
    return time.monotonic() - begun


def _check_all(field: Field, total: int) -> None:
    """Check all runs by their tables: they succeeded, and their logs have no gap and one end."""
    [[good]] = field.query(
        "select count(*) from jobcell_runs where status = 'done' and reason = 'success'"
    )
    [[logs, gaps]] = field.query(
        "select count(*), coalesce(sum(case when n = high and low = 1 and high = last_seq"
        " then 0 else 1 end), 0) from (select r.id, r.last_seq, count(*) as n, min(e.seq) as low,"
        " max(e.seq) as high from jobcell_runs r join jobcell_events e on e.run_id = r.id"
        " group by r.id, r.last_seq) as logs"
    )
    if (good, logs, gaps) != (total, total, 0):
        raise ChaosError(f"{good} of {total} runs succeeded; {logs} logs, {gaps} with a gap")


def _waits(field: Field, total: int, greedy: int) -> tuple[float, float, float]:
    """Return seconds from the first start: of a fair median run, of the others', and of the greedy's.

    Under a fair order all tenants with runs take turns.  The other tenants are through when each has
    had all its turns, and the greedy one has had as many.
    """
    rows = field.query("select tenant, started_ms, ended_ms from jobcell_runs")
    first = min(row[1] for row in rows)
    lasted_s = (max(row[2] for row in rows) - first) / 1000
    others = [(row[1] - first) / 1000 for row in rows if row[0] != "greedy"]
    theirs = [(row[1] - first) / 1000 for row in rows if row[0] == "greedy"]
    tenants = len({row[0] for row in rows})
    each = (total - greedy) / (tenants - 1)
    fair_s = lasted_s / total * (each * tenants) / 2
    return fair_s, median(others), median(theirs)


def _grown(values: list[float]) -> tuple[float, float]:
    """Return the memory after a quarter of the runs, and at the end, in MB."""
    few = max(1, len(values) // 5)
    return median(values[:few]), median(values[-few:])
