"""The short form of the drills, for the test suite: a few deaths of each kind within seconds."""

from __future__ import annotations

import signal

from benchmarks.chaos.deaths import stop, wait_taken
from benchmarks.chaos.field import ChaosError, Field, plan_of
from benchmarks.chaos.ledger import check_runs
from benchmarks.chaos.outages import RETRY, Server, kill_child, kill_server, roll_back


def short(field: Field, server: Server, *, runs: int = 8) -> str:
    """Kill a child, stop a worker beyond its lease, kill it, and take the store away for a moment."""
    witness = field.start_worker()
    victim = field.start_worker()
    field.wait_ready()
    for act in field.moments(runs, 4, plan_of("drill", retry=RETRY)):
        if act == 0:
            kill_child(field)
        elif act == 1:
            stop(field, victim)
        elif act == 2:
            wait_taken(field, victim)
            victim.signal(signal.SIGCONT)
        elif server.kill is not None:
            victim.kill()
            kill_server(server)
        else:
            victim.kill()
            server.take_away()
            server.bring_back()
    rolled = roll_back(field)
    field.wait_over()
    if not witness.alive:
        raise ChaosError(f"the worker that nobody has killed has ended\n{witness.tail()}")
    found = check_runs(field, retries=True, outages=1)
    return f"{found['runs']} runs, {found['takeovers']} takeovers, {rolled} rolled back"
