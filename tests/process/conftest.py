"""What every test with real children shares: engines of each start mode, and proof of no leak."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine import Engine, Event, Policy, Run, RunOptions

MODES = ["exec", "zygote", "exec+spare", "zygote+spare"]


def _descriptors() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            pass  # the one that listed the directory
    return found


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """Compare children, threads and descriptors before and after the test."""
    before = (_children(), set(threading.enumerate()), _descriptors())
    yield
    gc.collect()
    after = (_children(), set(threading.enumerate()), _descriptors())
    for name, old, new in zip(("children", "threads", "descriptors"), before, after, strict=True):
        left = {item for item in new - old if "jobcell-resolve" not in getattr(item, "name", "")}
        assert not left, f"{name} left behind: {left}"


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each way to start a child."""
    return str(request.param)


def make_engine(mode: str = "zygote", **changes: object) -> Engine:
    """Return an engine of a mode; ``+spare`` has a child waiting."""
    start_mode, _, spare = mode.partition("+")
    return Engine(start_mode=start_mode, spares=bool(spare) * 1, **changes)  # type: ignore[arg-type]


@pytest.fixture
def engine(mode: str) -> Iterator[Engine]:
    """An engine of each start mode, with the walls that are the default."""
    with make_engine(mode) as made:
        yield made


@pytest.fixture
def zygote() -> Iterator[Engine]:
    """One engine, for what does not depend on how a child is started."""
    with make_engine("zygote") as made:
        yield made


@pytest.fixture
def plain() -> Iterator[Engine]:
    """An engine without the language wall: jobs may do what any Python does."""
    with make_engine("zygote", policy=Policy(language=False)) as made:
        yield made


@pytest.fixture
def bare() -> Iterator[Engine]:
    """An engine without any wall, to show what a job can do then."""
    with make_engine("zygote", policy=Policy(level="none", language=False)) as made:
        yield made


def types_of(events: list[Event]) -> list[str]:
    """Return the types of events, logs left out."""
    return [event.type for event in events if event.type != "log"]


def finish(run: Run, timeout_s: float = 30.0) -> list[Event]:
    """Wait for the end of a run; return all its events, which must be complete and in order."""
    run.result(timeout_s)
    events = run.poll(after=0)
    check_events(events)
    return events


def check_events(events: list[Event]) -> None:
    """Check what holds for the events of every run, however it ended."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    types = [event.type for event in events]
    terminal = [kind for kind in types if kind in ("workflow-complete", "workflow-error")]
    assert len(terminal) == 1, types
    assert types[-1] == terminal[0], types
    started = [e.step_run_id for e in events if e.type == "job-start"]  # type: ignore[attr-defined]
    ended = [e.step_run_id for e in events if e.type in ("job-complete", "job-error")]  # type: ignore[attr-defined]
    assert started == ended, types
    assert all(a.time <= b.time for a, b in zip(events, events[1:], strict=False))


def wait_for(run: Run, kind: str, timeout_s: float = 20.0) -> Event:
    """Wait for the first event of a type."""
    after = 0
    while True:
        events = run.poll(after=after, timeout_s=timeout_s)
        assert events, f"no {kind} within {timeout_s} s"
        for event in events:
            after = event.seq
            if event.type == kind:
                return event
        assert not run.done, f"the run ended without {kind}: {events[-1]}"


def job(body: str) -> str:
    """Return the source of a job with *body* in its ``main``."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"def main(state):\n{lines}\n    return state\n"


QUICK = RunOptions(timeout_s=20.0)
TMP = Path("/tmp")
