"""Drills in which workers die, stop, or are poisoned."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Any, Final, NamedTuple

import psutil

from benchmarks.chaos.field import ChaosError, Field, Worker, plan_of
from benchmarks.chaos.ledger import check_log, check_runs, shown
from benchmarks.measure import median

POISON: Final = 5
"""Number of workers that a run may kill."""


class Death(NamedTuple):
    """The death of a worker."""

    at_s: float
    gone_s: float
    """When it was over: the worker has no event after it."""
    held: list[str]
    """The runs that it had."""


def kill_workers(field: Field, *, runs: int = 120, kills: int = 8) -> str:
    """Kill workers at random moments: another one goes on within the dead-time and two beats.

    The first worker stays alive, because a new worker cannot know at once that another one is dead.
    """
    witness = field.start_worker()
    for _ in range(2):
        field.start_worker()
    field.wait_ready()
    deaths: list[Death] = []
    for _ in field.moments(runs, kills):
        victim = field.chance.choice([worker for worker in field.alive if worker is not witness])
        deaths.append(kill(field, victim))
        field.start_worker()
    field.wait_over()
    found = check_runs(field)
    times = takeover_times(field, deaths)
    limit_s = field.dead_s + 2 * field.heartbeat_s
    if times and max(times) > limit_s:
        raise ChaosError(
            f"a takeover took {max(times):.1f} s; allowed: {limit_s:.1f} s ({times})\n{field.tails()}"
        )
    return (
        f"{kills} workers killed, {found['takeovers']} takeovers, {found['repeated steps']} steps"
        f" repeated; takeover {_span(times)} (limit {limit_s:.1f} s)"
    )


def kill(field: Field, victim: Worker) -> Death:
    """Kill a worker with SIGKILL."""
    held = field.held_by(victim)
    at_s = time.time()
    victim.kill()
    return Death(at_s, time.time(), held)


def takeover_times(field: Field, deaths: list[Death]) -> list[float]:
    """Return the seconds from each death to the first event of its runs elsewhere.

    Only the first run counts: the others may have to wait for places, because their workers are killed as well.
    """
    times = []
    for death in deaths:
        events = [event for run_id in death.held for event in field.reader.read[run_id]]
        later = [event.time for event in events if event.time > death.gone_s]
        if later:
            times.append(min(later) - death.at_s)
    return times


def stop_worker(field: Field, *, runs: int = 120, stops: int = 2) -> str:
    """Stop a worker beyond its lease, and let it go on: it is fenced off, and kills its children."""
    for _ in range(2):
        field.start_worker()
    field.wait_ready()
    kills = []
    for _ in field.moments(runs, stops):
        victim = field.chance.choice(field.alive)
        stop(field, victim)
        children = victim.run_children()
        wait_taken(field, victim)
        victim.signal(signal.SIGCONT)
        kills.append(
            field.wait(
                lambda c=children: _are_gone(c),
                "the children of a fenced worker gone",
                field.heartbeat_s + 10,
            )
        )
    field.wait_over()
    found = check_runs(field)
    return (
        f"{stops} workers stopped, {found['takeovers']} takeovers, {found['repeated steps']} steps"
        f" repeated; children gone {_span(kills)} after SIGCONT"
    )


def stop(field: Field, victim: Worker) -> None:
    """Stop a worker with SIGSTOP at a moment at which it does not hold the lock of a SQLite file.

    A process that is stopped with this lock keeps it, and the whole store waits until it goes on.
    """
    while True:
        victim.signal(signal.SIGSTOP)
        field.wait(victim.is_stopped, "a worker stopped")
        if not field.is_locked():
            return
        victim.signal(signal.SIGCONT)
        time.sleep(field.chance.uniform(0, 0.01))


def wait_taken(field: Field, victim: Worker) -> None:
    """Wait until nothing in the store is the stopped worker's any more."""
    field.wait(lambda: not field.held_by(victim), "all runs taken from a stopped worker")


def _are_gone(children: list[psutil.Process]) -> bool:
    """Whether these processes have ended."""
    for child in children:
        with suppress(psutil.NoSuchProcess):
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def poison_run(field: Field, *, runs: int = 12) -> str:
    """A run kills each worker that has it: it is dead after five of them, and the others succeed."""
    [poison] = field.enqueue(1, plan_of("poison", steps=2), id="poison")
    field.runs.remove(poison)
    innocent = field.enqueue(runs)

    def kill(key: str) -> None:
        if key == "poison:s1":
            # Other runs of the worker get on meanwhile, so that they are not suspected.
            time.sleep(0.5)
            for worker in field.alive:
                worker.kill()

    field.effects.on_post = kill
    for number in range(1, POISON + 1):
        field.start_worker()
        field.wait(
            lambda n=number: field.effects.posts["poison:s1"] == n and not field.alive,
            f"death number {number} of a worker",
        )
    field.start_worker()
    field.wait_over()
    found = check_runs(field, innocent)
    events = field.store.run(poison).poll(after=0, timeout_s=10)
    last: Any = events[-1]
    [[status]] = field.query("select status from jobcell_runs where id = 'poison'")
    if status != "dead" or last.type != "workflow-error" or last.error.name != "PoisonRunError":
        raise ChaosError(f"the poison run is {status}\n{shown(events)}")
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        raise ChaosError(f"the log of the poison run has a gap\n{shown(events)}")
    lost = [e for e in events if e.type == "job-error" and e.error.name == "WorkerLost"]
    if len(lost) != POISON or field.effects.posts["poison:s1"] != POISON:
        raise ChaosError(f"the poison run was begun {field.effects.posts} times\n{shown(events)}")
    result = field.store.run(poison).result(timeout_s=10)
    if (result.reason, result.state) != ("exception", None):
        raise ChaosError(f"the poison run ended with {result}")
    return f"dead after {POISON} workers; {found['runs']} other runs succeeded"


def two_kinds(field: Field, *, runs: int = 120, kills: int = 4) -> str:
    """Workers of two versions, one with a clock that is five minutes off, share the runs."""
    kinds = [
        {},
        {"prelude": clock_prelude(300)},
        {"prelude": clock_prelude(-300) + "\n" + VERSION_PRELUDE},
    ]
    for kind in kinds:
        field.start_worker(**kind)
    field.wait_ready()
    [[versions]] = field.query("select count(distinct version) from jobcell_workers")
    if versions != 2:
        raise ChaosError(f"the workers have {versions} versions, not 2")
    # A newer program has added to the tables, and says that this one can still read them.
    field.query_write("update jobcell_meta set schema_version = schema_version + 1")
    field.start_worker()
    for number in field.moments(runs, kills):
        # By turns one with a right clock and one with a wrong one.
        alive = field.alive
        alive[field.chance.randrange(len(alive))].kill()
        field.start_worker(**kinds[number % len(kinds)])
    field.wait_over()
    found = check_runs(field)
    if found["takeovers"] > runs:
        raise ChaosError(f"{found['takeovers']} takeovers for {kills} deaths: clocks are compared")
    return (
        f"2 versions, clocks 5 minutes off, {kills} killed: {found['takeovers']} takeovers,"
        f" {found['repeated steps']} steps repeated"
    )


def clock_prelude(ahead_s: int) -> str:
    """Return Python code after which the clock of a process is wrong.

    Args:
        ahead_s: Seconds by which it is ahead.

    """
    return f"""
import datetime, time
_time, _ns, _datetime = time.time, time.time_ns, datetime.datetime
class _Wrong(_datetime):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds={ahead_s})
    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)
datetime.datetime = _Wrong
time.time = lambda: _time() + {ahead_s}
time.time_ns = lambda: _ns() + {ahead_s} * 10**9
"""


VERSION_PRELUDE: Final = """
import engine.api, jobcell.worker.pulse
for _module in (engine, engine.api, jobcell.worker.pulse):
    _module.__version__ = "0.0.1"
"""


def _span(times: list[float]) -> str:
    if not times:
        return "-"
    return f"{min(times):.1f} to {max(times):.1f} s, median {median(times):.1f}"


__all__ = ["check_log", "kill_workers", "poison_run", "stop_worker", "two_kinds"]
