"""``python -m benchmarks.bench_store``: what a durable run costs, beside the bare engine and bare DBOS.

Every round measures each of them once, one after another, so that they share the noise of the machine.
Engines and workers, with their children, have one processor; the database has another one, where it comes before
other work of the machine, if the user may arrange that (root).  An engine does not come before other work: its
children are in sessions of their own, so it would come before them as well, and their steps would begin late.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from modes import let_everybody_in
from postgres import STOCK, PostgresServer

from benchmarks.chaos.deaths import kill, takeover_times
from benchmarks.chaos.effects import serving, write_repo
from benchmarks.chaos.field import PATIENCE_S, Field, plan_of
from benchmarks.measure import Table, machine_line, median, number, p95, write_json
from benchmarks.store_process import PLACES
from benchmarks.store_process import plan_of as plan_of_workload

RUNS: Final = {"trivial": 300, "five": 80}
WORKLOADS: Final = {"trivial": "one trivial step", "five": "five steps of 30 ms"}
TARGETS: Final = {"trivial": 0.25, "five": 0.9}
"""The least share of the bare engine's rate that a worker must reach."""

_ENQUEUE_S: Final = 8.0
"""Time in which all runs of a measurement are enqueued before they may begin."""

_LOOK_S: Final = 0.5
_WORKER_CORE, _OTHER_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
PIN: Final = f"import os\nos.sched_setaffinity(0, {{{_WORKER_CORE}}})"
Samples = dict[tuple[str, str], list["Sample"]]


class Sample(NamedTuple):
    """The figures of one measurement; None for a figure that SQLite does not have."""

    rate: float
    """Runs per second."""
    commits: float | None = None
    """Transactions that PostgreSQL has committed for each run."""
    database_ms: float | None = None
    """Processor time of PostgreSQL for each run."""
    worker_ms: float | None = None
    """Processor time of the worker's own process for each run, without its children."""


class Server:
    """The database of a measurement, and what it has used.

    Args:
        postgres: The server; None for SQLite.

    """

    def __init__(self, postgres: PostgresServer | None = None) -> None:
        self._postgres = postgres

    def used(self) -> tuple[int, float]:
        """Return the number of commits, and seconds of processor time, so far."""
        if self._postgres is None:
            return 0, 0.0
        text = self._postgres.sql("select sum(xact_commit) from pg_stat_database")
        postmaster = psutil.Process(self._postgres.pid)
        times = [postmaster.cpu_times()]
        for child in postmaster.children():
            with suppress(psutil.NoSuchProcess):
                times.append(child.cpu_times())
        first = times[0]
        seconds = sum(t.user + t.system for t in times)
        return int(text), seconds + first.children_user + first.children_system

    def costs(self, before: tuple[int, float], runs: int) -> tuple[float | None, float | None]:
        """Return commits and milliseconds for each run since `used` has returned *before*."""
        if self._postgres is None:
            return None, None
        commits, seconds = self.used()
        return (commits - before[0]) / runs, (seconds - before[1]) * 1000 / runs


@contextmanager
def new_store(kind: str, postgres: PostgresServer) -> Iterator[tuple[str, Server, Path]]:
    """Give the address of a new database, the database, and a directory for files."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobcell-bench-")))
        let_everybody_in(directory)
        if kind == "sqlite":
            yield f"sqlite:///{directory}/runs.db", Server(), directory
        else:
            url = stack.enter_context(postgres.database())
            yield url, Server(postgres), directory


def measure_engine(workload: str) -> Sample:
    """Measure the bare engine."""
    return Sample(RUNS[workload] / _seconds("engine", workload))


def measure_dbos(kind: str, workload: str, postgres: PostgresServer) -> Sample:
    """Measure a bare DBOS workflow with as many steps."""
    with new_store(kind, postgres) as (url, server, directory):
        if kind == "sqlite":
            import sqlite3

            with sqlite3.connect(directory / "runs.db") as connection:
                connection.execute("pragma journal_mode = wal")
        before = server.used()
        rate = RUNS[workload] / _seconds("dbos", workload, url)
        return Sample(rate, *server.costs(before, RUNS[workload]))


def _seconds(kind: str, workload: str, *url: str) -> float:
    code = f"{PIN}\nfrom benchmarks.store_process import main\nmain()"
    command = [sys.executable, "-c", code, kind, workload, str(RUNS[workload]), *url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure_worker(kind: str, workload: str, postgres: PostgresServer) -> Sample:
    """Measure a worker that finds all its runs in the queue.

    It has carried out a run before, as the bare engine has: its zygote is warm.
    """
    runs = RUNS[workload]
    with field_of(kind, postgres) as (field, server):
        plan = plan_of_workload(workload)
        worker = field.start_worker(PLACES, prelude=PIN, effects=False)
        own = psutil.Process(worker.pid)
        assert (
            field.store.enqueue(plan, {"data": 0}).result(timeout_s=PATIENCE_S).reason == "success"
        )
        start_s = time.time() + _ENQUEUE_S
        for value in range(runs):
            field.store.enqueue(plan, {"data": value}, not_before=start_s)
        left_s = start_s - time.time()
        assert left_s > 0, f"the runs were enqueued {-left_s:.1f} s too late"
        time.sleep(left_s)
        before, times = server.used(), own.cpu_times()
        while field.left():  # seldom, because each look is a transaction as well
            time.sleep(_LOOK_S)
        after = own.cpu_times()
        worker.drain()
        costs = server.costs(before, runs)
        worker_s = after.user + after.system - times.user - times.system
        [[first, last, good]] = field.query(
            "select min(started_ms), max(ended_ms), sum(case when reason = 'success' then 1 else 0"
            f" end) from jobcell_runs where started_ms >= {start_s * 1000:.0f}"
        )
        assert good == runs, f"{good} of {runs} runs succeeded"
        return Sample(runs * 1000 / (last - first), *costs, worker_s * 1000 / runs)


@contextmanager
def field_of(
    kind: str, postgres: PostgresServer, **settings: Any
) -> Iterator[tuple[Field, Server]]:
    """Give a field on a new store."""
    with new_store(kind, postgres) as (url, server, directory), serving() as effects:
        repo = write_repo(directory / "repo")
        field = Field(url, directory, repo, effects, random.Random(1), **settings)
        try:
            yield field, server
        finally:
            field.close()


def measure_latency(kind: str, postgres: PostgresServer, runs: int = 20) -> dict[str, list[float]]:
    """Measure ms from an event to its reader in another process, and from a request to its result."""
    events_ms: list[float] = []
    results_ms: list[float] = []
    with field_of(kind, postgres) as (field, _):
        field.start_worker(PLACES, prelude=PIN, effects=False)
        field.wait_ready()
        for _ in range(runs):
            begun = time.perf_counter()
            run = field.store.enqueue(plan_of_workload("five"), {"data": 0})
            after = 0
            while not run.done:
                for event in run.poll(after=after, timeout_s=10):
                    events_ms.append((time.time() - event.time) * 1000)
                    after = event.seq
            results_ms.append((time.perf_counter() - begun) * 1000)
    return {"event": events_ms, "run": results_ms}


def measure_takeover(kind: str, postgres: PostgresServer) -> list[float]:
    """Measure seconds from the death of a worker to the first event of its runs elsewhere."""
    with field_of(kind, postgres, heartbeat_s=1.0, dead_s=4.0) as (field, _):
        victim = field.start_worker(PLACES)
        field.wait_ready()
        field.enqueue(PLACES, plan_of("long", steps=2, wait_s=10.0))
        field.wait_posts(PLACES)
        field.start_worker(PLACES)
        field.wait_ready()
        time.sleep(2 * field.heartbeat_s)  # the new worker has seen the first one alive
        death = kill(field, victim)
        assert death.held, "the runs were over before their worker died"
        field.wait_over()
        return takeover_times(field, [death])


def place_server(pid: int) -> None:
    """Put PostgreSQL on its core, before other work if the user may do so: each backend is a session."""
    postmaster = psutil.Process(pid)
    for process in (postmaster, *postmaster.children()):
        with suppress(psutil.NoSuchProcess):
            process.cpu_affinity([_OTHER_CORE])
        with suppress(OSError):
            os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(1))


def tables(samples: Samples, latency: dict[str, Any], takeover: dict[str, Any]) -> list[Table]:
    """Return the tables: costs by workload, then times by store."""
    made = []
    for workload, label in WORKLOADS.items():
        columns = [
            "",
            "runs/s",
            "of the engine",
            "commits/run",
            "PostgreSQL ms/run",
            "worker ms/run",
        ]
        table = Table(f"{label}, one core, {PLACES} places", columns)
        engine = median([s.rate for s in samples["engine", workload]])
        for (subject, of), found in samples.items():
            if of == workload:
                rate = median([s.rate for s in found])
                rest = [_median_of([s[i] for s in found]) for i in (1, 2, 3)]
                table.add(subject, rate, rate / engine, *rest)
        made.append(table)
    columns = ["", "event ms", "p95", "run of five steps ms", "takeover s", "longest"]
    table = Table("Times: worker idle; a worker is dead after 4 s, a beat each second", columns)
    for kind in latency:
        events, whole, taken = latency[kind]["event"], latency[kind]["run"], takeover[kind]
        table.add(kind, median(events), p95(events), median(whole), median(taken), max(taken))
    return [*made, table]


def _median_of(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    print(machine_line())
    samples: Samples = defaultdict(list)
    latency: dict[str, Any] = {}
    takeover: dict[str, list[float]] = defaultdict(list)
    postgres = PostgresServer(settings=STOCK)
    try:
        place_server(postgres.pid)
        for turn in range(options.rounds):
            for workload in WORKLOADS:
                samples["engine", workload].append(measure_engine(workload))
                for kind in ("sqlite", "postgresql"):
                    found = measure_dbos(kind, workload, postgres)
                    samples[f"bare DBOS, {kind}", workload].append(found)
                    found = measure_worker(kind, workload, postgres)
                    samples[f"worker, {kind}", workload].append(found)
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr, flush=True)
        if options.json:
            write_json(options.json, {f"{a}: {b}": found for (a, b), found in samples.items()})
        for kind in ("sqlite", "postgresql"):
            latency[kind] = measure_latency(kind, postgres)
            for _ in range(max(1, options.rounds // 2)):
                takeover[kind] += measure_takeover(kind, postgres)
    finally:
        postgres.stop()
    for table in tables(samples, latency, takeover):
        print(table.markdown() if options.markdown else table.text())
    sys.exit(_report(samples))


def _report(samples: Samples) -> int:
    """Print each target and whether it is reached; return the number of missed ones."""
    missed = 0
    for workload, share in TARGETS.items():
        engine = median([s.rate for s in samples["engine", workload]])
        for kind in ("sqlite", "postgresql"):
            rate = median([s.rate for s in samples[f"worker, {kind}", workload]])
            missed += rate < share * engine
            word = "ok" if rate >= share * engine else "missed"
            print(f"{WORKLOADS[workload]}, {kind}: {number(rate / engine)} of {share}: {word}")
    return missed


if __name__ == "__main__":
    main()
