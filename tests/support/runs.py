"""Helpers for tests with real children: start runs, wait for facts, check every event."""

from __future__ import annotations

import itertools

from engine import Engine, Event, Run, RunOptions

MODES = ["exec", "zygote", "exec+spare", "zygote+spare"]
QUICK = RunOptions(timeout_s=20.0)


def make_engine(mode: str = "zygote", **changes: object) -> Engine:
    """Return an engine of a mode; ``+spare`` has a child waiting."""
    start_mode, _, spare = mode.partition("+")
    return Engine(start_mode=start_mode, spares=bool(spare) * 1, **changes)  # type: ignore[arg-type]


def types_of(events: list[Event]) -> list[str]:
    """Return the types of events, except logs."""
    return [event.type for event in events if event.type != "log"]


def finish(run: Run, timeout_s: float = 30.0) -> list[Event]:
    """Wait for the end of a run; return all its events, which must be complete and in order."""
    run.result(timeout_s)
    events = run.poll(after=0)
    check_events(events)
    return events


def check_events(events: list[Event]) -> None:
    """Check the facts that hold for the events of every run, for any end."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    types = [event.type for event in events]
    terminal = [kind for kind in types if kind in ("workflow-complete", "workflow-error")]
    assert len(terminal) == 1, types
    assert types[-1] == terminal[0], types
    started = [e.step_run_id for e in events if e.type == "job-start"]  # type: ignore[attr-defined]
    ended = [e.step_run_id for e in events if e.type in ("job-complete", "job-error")]  # type: ignore[attr-defined]
    assert started == ended, types
    assert all(a.time <= b.time for a, b in itertools.pairwise(events))


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
