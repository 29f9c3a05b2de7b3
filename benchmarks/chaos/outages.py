"""Drills in which the store is away, or its disk is full, and in which children and clients die."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
import sqlalchemy as sa

from benchmarks.chaos.field import STEPS, ChaosError, Field, plan_of
from benchmarks.chaos.ledger import check_runs

RETRY: Final = {"attempts": 30, "delay": 0, "on": ["death", "AdaptorError"]}


class Server:
    """The acts of a drill on the database; `kill` is None for a file."""

    def __init__(
        self,
        *,
        kill: Callable[[], object] | None = None,
        take_away: Callable[[], object],
        bring_back: Callable[[], object],
        disk: Path | None = None,
    ) -> None:
        self.kill = kill
        self.take_away = take_away
        self.bring_back = bring_back
        self.disk = disk
        """A directory on the small disk of the database."""


def lose_parts(
    field: Field, server: Server, *, runs: int = 120, full_s: float = 5.0, times: int = 2
) -> str:
    """Kill the database server, children and zygotes, and fill the disk, at random moments."""
    for _ in range(2):
        field.start_worker()
    field.wait_ready()
    actions: list[Callable[[], None]] = [lambda: kill_child(field)] * (2 * times)
    actions += [lambda: _kill_zygote(field)] * times
    if server.kill is not None:
        actions += [lambda: kill_server(server)] * times
    if server.disk is not None:
        disk = server.disk
        actions.append(lambda: _fill(disk, server, full_s))
    field.chance.shuffle(actions)
    plan = plan_of("drill", retry=RETRY)
    for number in field.moments(runs, len(actions), plan):
        actions[number]()
        for worker in field.workers:
            if not worker.alive:
                raise ChaosError(f"a worker has ended\n{worker.tail()}")
    field.wait_over()
    outages = (times if server.kill is not None else 0) + (server.disk is not None)
    found = check_runs(field, retries=True, outages=outages)
    full = "not tested (no small disk)" if server.disk is None else f"full for {full_s:g} s"
    return (
        f"{len(actions)} deaths, disk {full}: {found['takeovers']} takeovers,"
        f" {found['repeated steps']} steps repeated"
    )


def kill_child(field: Field) -> None:
    """Kill a child that carries out a run, or waits for one."""
    children = [child for worker in field.alive for child in worker.run_children()]
    if children:
        with suppress(psutil.NoSuchProcess):
            field.chance.choice(children).kill()


def _kill_zygote(field: Field) -> None:
    zygotes = [zygote for worker in field.alive for zygote in worker.zygotes()]
    if zygotes:
        with suppress(psutil.NoSuchProcess):
            field.chance.choice(zygotes).kill()


def kill_server(server: Server) -> None:
    """Kill the database server, and start it again."""
    assert server.kill is not None
    server.kill()
    server.bring_back()


def _fill(disk: Path, server: Server, full_s: float) -> None:
    """Fill a small disk for a while."""
    filler = disk / "filler"
    end = time.monotonic() + full_s
    with filler.open("wb", buffering=0) as out:
        while time.monotonic() < end:
            try:
                out.write(bytes(1 << 16))
            except OSError:
                with suppress(OSError):
                    out.write(bytes(512))
                time.sleep(0.02)
    filler.unlink()
    server.bring_back()


def take_store_away(
    field: Field, server: Server, *, runs: int = 120, away_s: float = 20.0, outlives: bool = False
) -> str:
    """Take the store away: no needless takeover, and at most one step of each run is repeated.

    Args:
        field: The field.
        server: The database.
        runs: The number of runs.
        away_s: Seconds without the store.
        outlives: Whether the outage is shorter than the lease, so that no run is taken over.

    """
    for _ in range(3):
        field.start_worker()
    field.wait_ready()
    field.enqueue(runs)
    field.wait_posts(runs * STEPS // 4)
    begun = time.monotonic()
    server.take_away()
    held = away_s - (time.monotonic() - begun)
    time.sleep(max(0.0, held))
    server.bring_back()
    field.wait_over()
    found = check_runs(field, outages=0 if outlives else 1)
    for run_id in field.runs:
        repeated = sum(field.effects.of_run(run_id).values()) - STEPS
        if repeated > 1:
            raise ChaosError(
                f"an outage repeated {repeated} steps of run {run_id}\n{field.tails()}"
            )
    taken = field.takeovers()
    several = {run_id: count for run_id, count in taken.items() if count > 1}
    if several:
        raise ChaosError(f"an outage led to several takeovers of a run: {several}\n{field.tails()}")
    places = 4 * len(field.workers)
    if found["takeovers"] > (0 if outlives else places):
        raise ChaosError(
            f"{found['takeovers']} takeovers after an outage of {away_s:g} s, with {places} places"
            f" and a dead-time of {field.dead_s:g} s\n{field.tails()}"
        )
    if outlives and found["repeated steps"]:
        raise ChaosError(f"{found['repeated steps']} steps were repeated for nothing")
    return (
        f"away for {away_s:g} s with a dead-time of {field.dead_s:g} s:"
        f" {found['takeovers']} takeovers, {found['repeated steps']} steps repeated"
    )


# --- clients ---

_CLIENT: Final = """
import json, sys
from jobcell import Store
url, count, plan, state = sys.argv[1], int(sys.argv[2]), *map(json.loads, sys.argv[3:5])
with Store.open(url) as store:
    for number in range(count):
        run = store.enqueue(plan, state, id=f"order-{number}")
        print(run.id, flush=True)
"""


def kill_client(field: Field, *, runs: int = 120, kills: int = 4) -> str:
    """Kill a client while it enqueues, and start it again with the same ids: each run exists once."""
    import json

    field.start_worker()
    field.wait_ready()
    command = [sys.executable, "-c", _CLIENT, field.url, str(runs)]
    command += [json.dumps(plan_of("drill")), json.dumps(field.initial())]
    accepted: set[str] = set()
    for number in range(kills + 1):
        after = field.chance.randint(1, runs - 1) if number < kills else runs
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=field.keeper.environment
        ) as client:
            assert client.stdout is not None
            for _ in range(after):
                accepted.add(client.stdout.readline().strip())
            if number < kills:
                time.sleep(field.chance.uniform(0, 0.01))
                client.kill()
                accepted.update(client.stdout.read().split())
        if client.returncode not in (0, -signal.SIGKILL):
            raise ChaosError(f"the client ended with {client.returncode}")
    [[exist]] = field.query("select count(*) from jobcell_runs")
    if exist != runs or len(accepted) != runs:
        raise ChaosError(f"{runs} ids, {len(accepted)} accepted, and {exist} runs")
    field.follow(sorted(accepted))
    rolled = roll_back(field)
    field.wait_over()
    found = check_runs(field)
    if any(name.startswith("never") for name in field.effects.posts):
        raise ChaosError("a run of a transaction that was rolled back has run")
    return f"client killed {kills} times: {found['runs']} runs; {rolled} rolled back, none exists"


def roll_back(field: Field) -> int:
    """Enqueue in transactions of a caller that roll back, and in some that commit."""
    wait = {"timeout": 30} if field.is_sqlite else {}
    engine = sa.create_engine(_sqlalchemy_url(field), connect_args=wait)
    field.close_later(engine.dispose)
    connections = [_driver_of(field), engine.connect]
    for kind, connect in enumerate(connections):
        for commit in (False, True):
            name = f"{'always' if commit else 'never'}-{kind}"
            with closing(connect()) as connection:
                begin = getattr(connection, "begin", None)
                if isinstance(connection, sa.Connection) and begin is not None:
                    begin()
                handle = field.store.enqueue(
                    plan_of("drill"), field.initial(), id=name, connection=connection
                )
                if commit:
                    connection.commit()
                else:
                    connection.rollback()
            if commit:
                field.follow([handle.id])
            else:
                try:
                    field.store.run(name)
                except LookupError:
                    continue
                raise ChaosError(f"run {name} exists after a rollback")
    return len(connections)


def _driver_of(field: Field) -> Callable[[], Any]:
    """Return a function that connects to the database of the store without SQLAlchemy."""
    if field.is_sqlite:
        return partial(sqlite3.connect, field.url.removeprefix("sqlite:///"), timeout=30)
    import psycopg

    return partial(psycopg.connect, field.url)


def _sqlalchemy_url(field: Field) -> str:
    return field.url.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def lock_file(path: Path, disk: Path | None = None) -> Iterator[Server]:
    """Give the acts on a SQLite file: somebody holds its write lock, so it is as good as away."""
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as holder:

        def take_away() -> None:
            holder.execute("BEGIN EXCLUSIVE")

        def bring_back() -> None:
            if holder.in_transaction:
                holder.execute("ROLLBACK")

        yield Server(take_away=take_away, bring_back=bring_back, disk=disk)


def on_root() -> bool:
    """Whether this process may mount a small disk."""
    return os.geteuid() == 0
