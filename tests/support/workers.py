"""Workers for tests: real processes of the command `jobcell worker`, and one in a thread of the tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import psutil
from warm import WarmProcess

from engine import Engine
from jobcell import Store
from jobcell.store import StoreRun
from jobcell.worker import Worker
from protocol.events import AnyEvent

HEARTBEAT_S = 0.2
DEAD_S = 1.5
PATIENCE_S = 60.0
"""Far more than anything takes on a busy machine."""

FIRST_HANGS = """
import time
import jobcell_context

def main(state):
    print("here")
    if jobcell_context.attempt == 1:
        time.sleep(300)
    return {**state, "b": jobcell_context.attempt}
"""


def job(text: str) -> dict[str, Any]:
    """Return a plan of one job, with the id ``a``."""
    return {"workflow": {"steps": [{"id": "a", "expression": text}]}}


QUICK = job("def main(state):\n    return {**state, 'a': 1}")
HANGS = {
    "workflow": {
        "steps": [
            {"id": "t", "next": {"a": True}},
            {
                "id": "a",
                "expression": "def main(state):\n    return {**state, 'a': 1}",
                "next": {"b": True, "never": False},
            },
            {"id": "never", "expression": "def main(state):\n    return state"},
            {"id": "b", "expression": FIRST_HANGS, "next": {"c": True}},
            {"id": "c", "expression": "def main(state):\n    return {**state, 'c': 1}"},
        ]
    }
}
"""A run whose step ``b`` hangs in its first attempt, and returns in the second one."""


class WorkerProcess:
    """A process of `jobcell worker`."""

    def __init__(self, url: str, *options: object) -> None:
        """Start it, and wait until it serves the store."""
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at the end of the process
        with Path(os.devnull).open("r+") as nothing:
            self.process = WarmProcess(
                None,
                *("worker", "--store", url, "--log-json"),
                *("--heartbeat", HEARTBEAT_S, "--dead-after", DEAD_S, *options),
                streams=(nothing.fileno(), nothing.fileno(), self._log.fileno()),
            )
        wait_for(lambda: self.has_said("serves") or self.process.poll() is not None)
        assert self.process.poll() is None, self.text

    @property
    def text(self) -> str:
        """Everything that it has logged."""
        # Opened anew, because the process moves the position of the file that it shares.
        return Path(f"/proc/self/fd/{self._log.fileno()}").read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The records that it has logged."""
        return [json.loads(line) for line in self.text.splitlines() if line.endswith("}")]

    def has_said(self, words: str) -> bool:
        """Return whether a message of its log has these words."""
        return any(words in line["message"] for line in self.lines)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(PATIENCE_S)

    def children(self) -> list[psutil.Process]:
        """Return the processes that it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
            self.wait()
        self._log.close()


@contextlib.contextmanager
def warm_engine(**options: Any) -> Iterator[Engine]:
    """Give an engine that has run and killed a child that lasted, so that a later test does not find its threads new."""
    with Engine(**options) as made:
        run = made.execute(
            # The thread for control groups starts when a run is 0.25 s old.
            job(
                "import time\ndef main(state):\n    time.sleep(0.5)\n    print()\n    time.sleep(300)"
            )
        )
        while not any(event.type == "log" for event in run.poll(after=0)):
            time.sleep(0.01)
        run.cancel()
        run.result()
        yield made


@contextlib.contextmanager
def serving(store: Store, engine: Engine, **options: Any) -> Iterator[Worker]:
    """Serve a store in a thread of the tests."""
    given = {"heartbeat_s": HEARTBEAT_S, "dead_s": DEAD_S, "drain_s": 0.0, **options}
    worker = Worker(store, engine, **given)
    problems: list[BaseException] = []

    def serve() -> None:
        try:
            worker.serve()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if problems:
        raise problems[0]


def wait_for(fact: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Wait until *fact* is true."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, f"not true within {timeout_s:g} s"
        time.sleep(0.02)


def wait_event(run: StoreRun, kind: str, **fields: Any) -> AnyEvent:
    """Wait for an event of a run, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    seq = 0
    while time.monotonic() < deadline:
        for event in run.poll(after=seq, timeout_s=1.0):
            seq = event.seq
            if event.type == kind and all(getattr(event, k) == v for k, v in fields.items()):
                return event
    raise AssertionError(f"no {kind} of {run.id}")


def story(run: StoreRun) -> list[str]:
    """Return the events of a run in short: ``job-start b 2``, ``edge a>b``, ``workflow-start 1``."""
    told = []
    for event in run.poll(after=0):
        if event.type == "edge-resolved":
            told.append(f"edge {event.from_step_id}>{event.to_step_id}")
        elif event.type == "workflow-start":
            told.append(f"workflow-start {event.replayed}")
        elif event.type.startswith(("job-", "init-")):
            told.append(f"{event.type} {event.step_run_id} {event.attempt}")
        else:
            told.append(event.type)
    return told


def row_of(store: Store, run: StoreRun) -> Any:
    """Return the row of a run."""
    import sqlalchemy as sa

    from jobcell.store.schema import runs

    with store.database.read() as connection:
        return connection.execute(sa.select(runs).where(runs.c.id == run.id)).one()
