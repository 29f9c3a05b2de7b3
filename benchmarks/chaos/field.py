"""The field of one drill: a store, its workers, the runs, and the server that counts side effects."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import psutil
import sqlalchemy as sa
from process_keeper import ProcessKeeper

from benchmarks.chaos.effects import Effects
from benchmarks.chaos.reader import Reader
from jobcell import Store

STEPS: Final = 5
STEP_S: Final = 0.03
PATIENCE_S: Final = 120.0
"""Longest time for all runs of a drill to end, on a busy machine."""

TAIL: Final = 3_000
_CLONE: Final = ("56", "220")
"""The number of clone on x86_64 and on aarch64."""


class ChaosError(Exception):
    """A promise was broken: a run was lost, doubled or changed."""


def plan_of(name: str, steps: int = STEPS, wait_s: float = STEP_S, **step: Any) -> dict[str, Any]:
    """Return a plan whose steps, one after another, each have one side effect."""
    return {
        "workflow": {
            "name": name,
            "steps": [
                {
                    "id": f"s{number}",
                    "adaptors": ["effects"],
                    "expression": f"note({wait_s})",
                    "next": {f"s{number + 1}": True} if number + 1 < steps else {},
                    **step,
                }
                for number in range(steps)
            ],
        }
    }


class Process(Protocol):
    """A running program: the part of `subprocess.Popen` that drills use."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, or None if it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit code."""

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""


Starter = Callable[[Sequence[str], BinaryIO], Process]
"""Starts ``jobcell`` with these arguments, and with this file for its output."""


class Worker:
    """A process with ``jobcell worker``."""

    def __init__(self, process: Process, log: Path) -> None:
        self.log = log
        self._process = process
        self.pid = process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def is_stopped(self) -> bool:
        """Return whether SIGSTOP has reached all threads: a busy one goes on for a moment."""
        states = []
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError):  # a thread that has just ended
                states.append(stat.read_text().rpartition(")")[2].split()[0])
        return set(states) == {"T"}

    def drain(self, timeout_s: float = PATIENCE_S) -> int:
        """Send it SIGTERM; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def zygotes(self) -> list[psutil.Process]:
        """Return its zygotes: its children that have children."""
        with suppress(psutil.NoSuchProcess):
            return [child for child in psutil.Process(self.pid).children() if child.children()]
        return []

    def run_children(self) -> list[psutil.Process]:
        """Return the children that carry out its runs, and those that wait for one."""
        found: list[psutil.Process] = []
        for zygote in self.zygotes():
            with suppress(psutil.NoSuchProcess):
                found += zygote.children(recursive=True)
        return [child for child in found if not _forks_runs(child.pid)]

    def tail(self) -> str:
        """Return the end of what it has logged."""
        return self.log.read_text(errors="replace")[-TAIL:]


def _forks_runs(pid: int) -> bool:
    """Return whether a process is a warm interpreter: it waits in a call of clone for the next run, and stays."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] in _CLONE
    return False


class Field:
    """Everything that one drill needs.

    Args:
        url: The address of a new store.
        directory: For logs.
        repo: A repo with the adaptor ``effects``.
        effects: The server that counts.
        chance: The source of all random moments.
        heartbeat_s: See `jobcell.Worker`.
        dead_s: See `jobcell.Worker`.
        starter: Starts workers; None: each is a new interpreter.

    """

    def __init__(
        self,
        url: str,
        directory: Path,
        repo: Path,
        effects: Effects,
        chance: random.Random,
        *,
        heartbeat_s: float = 1.0,
        dead_s: float = 4.0,
        starter: Starter | None = None,
    ) -> None:
        self.url = url
        self.effects = effects
        self.chance = chance
        self.heartbeat_s = heartbeat_s
        self.dead_s = dead_s
        self.is_sqlite = url.startswith("sqlite")
        self.store = Store.open(url)
        self.reader = Reader(self.store)
        self.keeper = ProcessKeeper()
        """Ends workers and clients when this process is gone."""
        self.workers: list[Worker] = []
        self.runs: list[str] = []
        self.directory = directory
        self._starter = starter
        self._repo = repo
        self._sql = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        self._closing: list[Callable[[], object]] = [self._sql.dispose, self.store.close]
        self.reader.start()

    def close(self) -> None:
        """Kill all workers, and close the store."""
        self.reader.stop()
        for worker in self.workers:
            if worker.alive:
                worker.signal(signal.SIGCONT)
                worker.kill()
        for close in self._closing:
            close()
        self.keeper.close()

    def close_later(self, close: Callable[[], object]) -> None:
        """Have something called at the end."""
        self._closing.append(close)

    # --- workers ---

    def start_worker(
        self,
        places: int = 4,
        *options: str,
        prelude: str = "",
        effects: bool = True,
        home: Path | None = None,
    ) -> Worker:
        """Start a worker.

        Args:
            places: The number of runs at once.
            options: Further options of ``jobcell worker``.
            prelude: Python code that the process executes first.
            effects: Whether its runs may have effects: they reach the server, and find the adaptor.
            home: The directory with the packages of another version.

        """
        allowed = (
            *("--repo", str(self._repo)),
            *("--net", f"127.0.0.1:{self.effects.server_port}"),
        )
        arguments = [
            "worker",
            *("--store", self.url),
            *("--max-runs", str(places)),
            *("--heartbeat", str(self.heartbeat_s)),
            *("--dead-after", str(self.dead_s)),
            *(allowed if effects else ()),
            *options,
        ]
        log = self.directory / f"worker-{len(self.workers)}.log"
        with log.open("ab") as out:
            if self._starter is not None and not prelude and home is None:
                process = self._starter(arguments, out)
            else:
                process = self._new_interpreter(arguments, out, prelude, home)
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def _new_interpreter(
        self, arguments: Sequence[str], out: BinaryIO, prelude: str, home: Path | None
    ) -> Process:
        start = [sys.executable, "-m", "jobcell"]
        if prelude:
            code = f"{prelude}\nimport sys\nfrom jobcell.__main__ import main\nsys.exit(main())"
            start = [sys.executable, "-c", code]
        return subprocess.Popen(
            [*start, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=home,  # Python looks there first for the packages
            env=self.keeper.environment,
        )

    @property
    def alive(self) -> list[Worker]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.alive]

    # --- runs ---

    def initial(self) -> dict[str, Any]:
        """Return the initial state of all runs."""
        return {"data": {"port": self.effects.server_port, "done": []}}

    def enqueue(self, count: int, plan: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """Enqueue runs; return their ids."""
        plan = plan or plan_of("drill")
        ids = [
            self.store.enqueue(plan, self.initial(), **options).id  # a made-up id
            for _ in range(count)
        ]
        self.follow(ids)
        return ids

    def moments(self, runs: int, acts: int, plan: dict[str, Any] | None = None) -> Iterator[int]:
        """Enqueue runs in portions; yield once for each act, at a random moment while they run."""
        for number in range(acts):
            portion = runs * (number + 1) // acts - runs * number // acts
            self.enqueue(portion, plan)
            self.wait_posts(self.chance.randint(1, max(1, portion * STEPS // 2)))
            yield number

    def follow(self, ids: Iterable[str]) -> None:
        """Have the events of these runs read, and the runs checked."""
        ids = list(ids)
        self.runs += ids
        self.reader.follow(ids)

    # --- facts from the tables ---

    def query(self, text: str, **values: Any) -> list[Any]:
        """Return the rows of a query; wait while the store is away."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._sql.connect() as connection:
                    return list(connection.execute(sa.text(text), values))
            except sa.exc.DBAPIError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def query_write(self, text: str) -> None:
        """Carry out a statement that writes."""
        with self._sql.begin() as connection:
            connection.execute(sa.text(text))

    def is_locked(self) -> bool:
        """Whether somebody keeps the write lock of a SQLite file for longer than a second."""
        if not self.is_sqlite:
            return False
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    def held_by(self, worker: Worker) -> list[str]:
        """Return the runs that a worker has now."""
        rows = self.query(
            "select r.id from jobcell_runs r join jobcell_workers w on w.id = r.worker"
            " where r.status = 'running' and w.pid = :pid",
            pid=worker.pid,
        )
        return [row[0] for row in rows]

    def takeovers(self) -> dict[str, int]:
        """Return how often each run was taken over."""
        return dict(tuple(row) for row in self.query("select id, takeovers from jobcell_runs"))

    def left(self) -> int:
        """Return the number of runs that are not over."""
        [[count]] = self.query(
            "select count(*) from jobcell_runs where status not in ('done', 'dead')"
        )
        return int(count)

    # --- waiting ---

    def wait_posts(self, more: int) -> None:
        """Wait for a number of further side effects, and then for a random moment."""
        if not self.effects.wait_total(self.effects.total + more, PATIENCE_S):
            raise ChaosError(f"no {more} side effects in {PATIENCE_S:g} s\n{self.tails()}")
        time.sleep(self.chance.uniform(0, 2 * STEP_S))

    def wait(self, fact: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> float:
        """Wait until a fact holds; return the seconds that it took.

        Raises:
            ChaosError: It does not hold after *timeout_s*.

        """
        begun = time.monotonic()
        while not fact():
            if time.monotonic() - begun > timeout_s:
                raise ChaosError(f"after {timeout_s:g} s: not {what}\n{self.tails()}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def wait_over(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until all runs are over, and their events are read."""
        self.wait(lambda: self.left() == 0, "all runs over", timeout_s)
        self.wait(lambda: self.reader.finished, "all events read", timeout_s)

    def wait_ready(self) -> None:
        """Wait until all workers have registered themselves."""
        pids = {worker.pid for worker in self.alive}

        def registered() -> bool:
            if any(not worker.alive for worker in self.workers if worker.pid in pids):
                raise ChaosError(f"a worker has ended\n{self.tails()}")
            with suppress(sa.exc.DBAPIError):
                rows = self.query("select pid from jobcell_workers")
                return pids <= {row[0] for row in rows}
            return False

        self.wait(registered, "all workers registered")

    def tails(self) -> str:
        """Return the ends of the logs of all workers."""
        return "\n".join(f"--- {worker.log}\n{worker.tail()}" for worker in self.workers)
