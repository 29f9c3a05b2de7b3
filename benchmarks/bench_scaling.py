"""``python -m benchmarks.bench_scaling``: what a run and a waiting worker cost a store in PostgreSQL.

`docs/scaling.md` calculates with these figures.  As in `bench_store`, workers have one processor and PostgreSQL has the
other one.  Processor times still grow on a busy machine, because others use the caches too.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import psutil
from postgres import STOCK, PostgresServer

from benchmarks.bench_store import PIN, Server, field_of, place_server
from benchmarks.chaos.field import PATIENCE_S, Field, Worker
from benchmarks.measure import Table, machine_line, median, private_mb, status_mb, write_json
from benchmarks.store_process import plan_of
from jobcell.worker.pulse import session_name

STEPS: Final = 5
ROW_BYTES: Final = 70
"""Length of a row of a state, as JSON."""

STATES: Final = {"1 kB": 1_000, "14 kB": 14_000, "140 kB": 140_000, "1.4 MB": 1_400_000}
MANY: Final = 1_000
"""Number of tenants, and of workers."""

LATER_S: Final = 3600.0
"""Time before which no run begins by itself: all begin when all are enqueued."""

_JOB: Final = """
import random

def main(state):
    names = ["Ada", "Grace", "Katherine", "Mary", "Dorothy", "Annie", "Radia", "Barbara"]
    return {"data": [
        {"name": random.choice(names), "value": random.random(), "count": random.randrange(10**6)}
        for _ in range(ROWS)
    ]}
"""


class Cost(NamedTuple):
    """The costs of a run."""

    database_ms: float
    transactions: float
    wal_kb: float
    worker_ms: float
    disk_kb: float
    connections: float


class Setup(NamedTuple):
    """A kind of runs."""

    label: str
    plan: dict[str, Any]
    runs: int
    places: int = 4
    tenants: int = 1
    options: tuple[str, ...] = ()


def plan_with_states(size: int) -> dict[str, Any]:
    """Return a plan of five steps, each of which makes a new state with about *size* bytes."""
    job = _JOB.replace("ROWS", str(max(1, size // ROW_BYTES)))
    steps = [
        {
            "id": f"s{number}",
            "expression": job,
            "next": {f"s{number + 1}": True} if number + 1 < STEPS else {},
        }
        for number in range(STEPS)
    ]
    return {"workflow": {"steps": steps}}


def setups(scale: float) -> list[Setup]:
    """Return all kinds of runs; *scale* multiplies their numbers."""
    found = [
        Setup(
            f"five steps, 4 places, states of {label}",
            plan_with_states(size),
            max(4, round((20 if size > 1_000_000 else 80) * scale)),
        )
        for label, size in STATES.items()
    ]
    few, many = max(8, round(200 * scale)), max(8, round(2_000 * scale))
    found.append(Setup("five steps of 30 ms, 4 places", plan_of("five"), max(4, few // 2)))
    found.append(Setup("one trivial step, 4 places", plan_of("trivial"), few))
    for tenants, options in [(1, ()), (MANY, ()), (MANY, ("--tenant-limit", "2"))]:
        label = f"one trivial step, 8 places, {tenants:,} tenants {' '.join(options)}".strip()
        found.append(Setup(label, plan_of("trivial"), many, 8, tenants, options))
    return found


def measure_runs(setup: Setup, postgres: PostgresServer) -> tuple[Cost, float, float]:
    """Return the costs of a run, and milliseconds of PostgreSQL for an enqueue and for the pruning of a run."""
    with field_of("postgresql", postgres) as (field, server):
        worker = field.start_worker(setup.places, *setup.options, prelude=PIN, effects=False)
        warm = field.store.enqueue(setup.plan, {"data": 0})
        assert warm.result(timeout_s=PATIENCE_S).reason == "success"
        own = psutil.Process(worker.pid)
        begun = server.used()
        idle = _idle_rate(server)
        entered = time.monotonic()
        start_s = time.time() + LATER_S
        for number in range(setup.runs):
            tenant = f"t{number % setup.tenants}"
            field.store.enqueue(setup.plan, {"data": number}, not_before=start_s, tenant=tenant)
        enqueued = server.used()
        rest_s = idle * (time.monotonic() - entered)
        enqueue_ms = (enqueued[1] - begun[1] - rest_s) * 1000 / setup.runs
        size, wal = _size(postgres, field), _wal(postgres)
        before, times = server.used(), own.cpu_times()
        field.query_write("update dbos.workflow_status set delay_until_epoch_ms = 0")
        most = 0
        while field.left():
            most = max(most, _connections(field, worker))
            time.sleep(0.5)
        after, spent = server.used(), own.cpu_times()
        [[good]] = field.query("select count(*) from jobcell_runs where reason = 'success'")
        assert good == setup.runs + 1, f"{good} of {setup.runs + 1} runs succeeded"
        worker_s = spent.user + spent.system - times.user - times.system
        cost = Cost(
            (after[1] - before[1]) * 1000 / setup.runs,
            (after[0] - before[0]) / setup.runs,
            (_wal(postgres) - wal) / 1000 / setup.runs,
            worker_s * 1000 / setup.runs,
            (_size(postgres, field) - size) / 1000 / setup.runs,
            float(most),
        )
        worker.drain()
        before = server.used()
        assert field.store.prune(0.0) == setup.runs + 1
        return cost, enqueue_ms, (server.used()[1] - before[1]) * 1000 / setup.runs


def _idle_rate(server: Server, seconds: float = 3.0) -> float:
    """Return seconds of processor that PostgreSQL takes each second for a worker that waits."""
    before = server.used()
    time.sleep(seconds)
    return (server.used()[1] - before[1]) / seconds


def _wal(postgres: PostgresServer) -> float:
    return float(postgres.sql("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))


def _size(postgres: PostgresServer, field: Field) -> float:
    name = field.url.rsplit("/", 1)[1]
    return float(postgres.sql(f"select pg_database_size('{name}')"))


def _sessions(field: Field, worker: Worker) -> list[int]:
    """Return the processes of PostgreSQL that serve a worker."""
    [[name]] = field.query("select id from jobcell_workers where pid = :pid", pid=worker.pid)
    query = "select pid from pg_stat_activity where application_name = :name"
    return [row[0] for row in field.query(query, name=session_name(name))]


def _connections(field: Field, worker: Worker) -> int:
    return len(_sessions(field, worker))


def measure_idle(postgres: PostgresServer, seconds: float) -> dict[str, float]:
    """Measure a worker that waits: as one of two, and as one of a thousand."""
    with field_of("postgresql", postgres, heartbeat_s=2.0, dead_s=10.0) as (field, server):
        workers = [field.start_worker(4, prelude=PIN, effects=False) for _ in range(2)]
        field.wait_ready()
        plan = plan_of("trivial")
        assert field.store.enqueue(plan).result(timeout_s=PATIENCE_S).reason == "success"
        time.sleep(seconds / 2)  # the pauses between two looks grow
        before = server.used()
        time.sleep(seconds)
        after = server.used()
        found = {
            "resident MB": median([status_mb("VmRSS", worker.pid) for worker in workers]),
            "private MB": median([private_mb(worker.pid) or 0.0 for worker in workers]),
            "connections": median([float(_connections(field, worker)) for worker in workers]),
            "transactions a second, one of two": (after[0] - before[0]) / seconds / 2,
            "PostgreSQL ms a second, one of two": (after[1] - before[1]) * 1000 / seconds / 2,
        }
        workers[1].drain()
        with _many_workers(field):
            time.sleep(3 * 2.0)  # the worker has seen the others
            pids = _sessions(field, workers[0])
            spent = _seconds(pids)
            time.sleep(seconds)
            used = _seconds(pids) - spent
            [[fleet]] = field.query("select count(*) from jobcell_workers")
            assert fleet == MANY, f"{MANY - fleet} rows of workers were taken for dead"
        found[f"PostgreSQL ms a second, one of {MANY:,}"] = used * 1000 / seconds
        return found


def _seconds(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def _many_workers(field: Field) -> Iterator[None]:
    """Have the rows of 999 other workers, whose beats are counted on."""
    field.query_write(
        "insert into jobcell_workers (id, host, pid, version, started_ms, beats, seen_ms, draining, places)"
        f" select 'row-' || n, 'row', n, '0', 0, 0, 0, false, 4 from generate_series(1, {MANY - 1}) n"
    )
    stopped = threading.Event()
    beats: Callable[[], None] = lambda: field.query_write(  # noqa: E731
        "update jobcell_workers set beats = beats + 1 where host = 'row'"
    )

    def beat() -> None:
        while not stopped.wait(1.0):
            beats()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def main() -> None:
    """Measure everything, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the numbers of runs")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long waiting is measured")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    print(machine_line(), flush=True)
    columns = ["", "PostgreSQL ms", "transactions", "WAL kB", "worker ms", "disk kB", "connections"]
    runs = Table("Costs of a run", columns)
    others = Table("Other costs, in ms of PostgreSQL", ["", "enqueue", "prune, each run"])
    found: dict[str, Any] = {}
    postgres = PostgresServer(settings=STOCK)
    try:
        place_server(postgres.pid)
        for setup in setups(options.scale):
            cost, enqueue_ms, prune_ms = measure_runs(setup, postgres)
            runs.add(setup.label, *cost)
            others.add(setup.label, enqueue_ms, prune_ms)
            found[setup.label] = {**cost._asdict(), "enqueue_ms": enqueue_ms, "prune_ms": prune_ms}
            print(runs.rows[-1], others.rows[-1][1:], flush=True)
        idle = measure_idle(postgres, options.seconds)
    finally:
        postgres.stop()
    waiting = Table("A worker that waits", ["", ""])
    for label, value in idle.items():
        waiting.add(label, value)
    if options.json:
        write_json(options.json, {"runs": found, "waiting": idle})
    for table in (runs, others, waiting):
        print(table.markdown() if options.markdown else table.text())


if __name__ == "__main__":
    main()
