"""The clock of a worker is set while it runs: forth, and then back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from warm import WarmProcess
from workers import PATIENCE_S, job, wait_event, wait_for

from engine import RunOptions
from jobcell import Store
from jobcell.store.schema import runs, schedules, workers

JUMPING = """
import sys, threading, time
from pathlib import Path
from jobcell.cli import main
from jobcell.store import database

true_s, prepare, offset_s = time.time, database._prepare_sqlite, [0]
file, seen = Path(sys.argv[1]), Path(sys.argv[1] + ".seen")

def watch():
    while True:
        new_s = int(file.read_text())
        if new_s != offset_s[0] or not seen.exists():
            offset_s[0] = new_s
            seen.write_text(str(round(time.time() - true_s())))
        time.sleep(0.05)

def julianday(_now):
    return (true_s() + offset_s[0]) / 86400 + 2440587.5

def prepare_jumping(connection, record):
    prepare(connection, record)
    connection.create_function("julianday", 1, julianday)

time.time = lambda: true_s() + offset_s[0]
database._prepare_sqlite = prepare_jumping
threading.Thread(target=watch, daemon=True).start()
sys.argv[1:2] = []
main()
"""
"""A command whose clock, and that of its SQLite, are set by a file.  Libfaketime cannot do it: it breaks sleeping threads."""

HOUR_S = 3600
NAP = job("import time\ndef main(state):\n    print('here')\n    time.sleep(5)\n    return state")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store, of each kind."""
    with closing(Store.open(store_url)) as opened:
        yield opened


class Clock:
    """The clock of the time of day, as a worker sees it; the one that never goes back stays as it is."""

    def __init__(self, place: Path) -> None:
        """Make it show the true time."""
        self.file = place / "clock"
        self.set(0)

    def set(self, offset_s: int) -> None:
        """Set it."""
        new = self.file.with_suffix(".new")
        new.write_text(str(offset_s))
        new.replace(self.file)

    def jump(self, offset_s: int) -> None:
        """Set it, and wait until the worker sees the new time."""
        self.set(offset_s)
        seen = self.file.with_name("clock.seen")
        wait_for(lambda: seen.read_text() == str(offset_s))


@contextmanager
def worker(url: str, log: Path, clock: Clock | None = None) -> Iterator[WarmProcess]:
    """Give a process of `jobcell worker`."""
    options = ["worker", "--store", url, "--log-json", "--max-runs", "1"]
    options += ["--heartbeat", "0.2", "--dead-after", "60"]
    with log.open("wb") as opened, Path(os.devnull).open("r+b") as nothing:
        streams = (nothing.fileno(), nothing.fileno(), opened.fileno())
        if clock is None:
            process = WarmProcess(None, *options, streams=streams)
        else:
            process = WarmProcess(JUMPING, clock.file, *options, streams=streams, kind="commands")
    try:
        wait_for(lambda: "serves" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def beats(store: Store) -> dict[str, Any]:
    """Return the number of beats of each worker."""
    with store.database.read() as connection:
        return {row.id: row.beats for row in connection.execute(sa.select(workers))}


def wait_beats(store: Store, number: int) -> None:
    """Wait until each worker has beaten so often."""
    before = beats(store)
    wait_for(lambda: all(beats(store).get(name, 0) >= n + number for name, n in before.items()))


def make_due(store: Store, name: str) -> None:
    """Let the tick of the current minute be due."""
    with store.database.write() as connection:
        now = int(connection.execute(sa.select(store.database.now_ms)).scalar_one())
        due = now // 60_000 * 60_000
        row = schedules.update().where(schedules.c.name == name)
        connection.execute(row.values(looked_ms=due - 1, due_ms=due))


def test_a_jump_of_the_clock_changes_no_run_and_no_worker(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    """Leases, heartbeats and limits of runs take clocks that are not set."""
    clock = Clock(tmp_path)
    logs = [tmp_path / "jumping.log", tmp_path / "steady.log"]
    with worker(store_url, logs[0], clock), worker(store_url, logs[1]):
        assert len(beats(store)) == 2
        limits = RunOptions(timeout_s=120, step_timeout_s=120)
        both = [store.enqueue(NAP, options=limits) for _ in range(2)]
        for run in both:
            wait_event(run, "log")
        clock.jump(HOUR_S)
        assert not any(run.done for run in both)
        for offset_s in (HOUR_S, -HOUR_S, 0):
            clock.jump(offset_s)
            wait_beats(store, 3)
        results = [run.result(timeout_s=PATIENCE_S) for run in both]
    for run, result in zip(both, results, strict=True):
        assert result.reason == "success"
        assert 4_500 < result.duration_ms < 120_000
        seqs = [event.seq for event in run.poll(after=0)]
        assert seqs == list(range(1, len(seqs) + 1))
    assert len({row.worker for row in store.runs()}) == 2
    assert [row.takeovers for row in store.runs()] == [0, 0]
    text = "".join(log.read_text() for log in logs)
    assert "is dead" not in text
    assert "fenced off" not in text


def test_the_clock_of_a_worker_does_not_move_the_ticks_of_postgresql(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    """Each tick comes once, at its time.  In SQLite the clock of the machine is that of the store."""
    if store.database.is_sqlite:
        pytest.skip("a worker with SQLite takes the clock of its machine")
    clock = Clock(tmp_path)
    store.schedules.add("minute", "def main(state):\n    return state\n", cron="* * * * *")
    with worker(store_url, tmp_path / "log", clock):
        for offset_s in (HOUR_S, -HOUR_S, 0):
            clock.jump(offset_s)
            make_due(store, "minute")
            wait_for(lambda: not is_due(store))
    with store.database.read() as connection:
        ids = sorted(connection.execute(sa.select(runs.c.id)).scalars())
    ticks = [datetime.strptime(name, "minute@%Y-%m-%dT%H:%MZ") for name in ids]  # noqa: DTZ007
    minute = timedelta(minutes=1)
    assert ticks
    assert ticks == [ticks[0] + number * minute for number in range(len(ticks))]
    age = datetime.now(UTC).replace(tzinfo=None) - ticks[-1]
    assert timedelta() <= age < 2 * minute


def is_due(store: Store) -> bool:
    """Return whether a tick waits for a worker."""
    with store.database.read() as connection:
        due = sa.select(schedules.c.due_ms <= store.database.now_ms)
        return bool(connection.execute(due).scalar_one())
