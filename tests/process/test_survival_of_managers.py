"""The short form of `make kills`: managers and commands are killed, and their runs end once."""

from __future__ import annotations

from benchmarks.kills import RUNS, kill_commands, kill_managers

SEED = 15


def test_no_run_is_lost_or_doubled_when_its_manager_is_killed():
    """Three managers with four runs each are killed; every run has each of its steps recorded once."""
    found = kill_managers(3, SEED)
    assert found["kills"] == 3
    assert found["runs"] >= RUNS


def test_no_run_of_the_command_is_lost_or_doubled_when_it_is_killed():
    """`jobcell run --journal` and `jobcell resume` die at random moments, until a run is over."""
    found = kill_commands(4, SEED)
    assert found["kills"] == 4
