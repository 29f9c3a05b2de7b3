"""The short form of `make kills`: managers are killed, and their runs end once."""

from __future__ import annotations

from benchmarks.kills import RUNS, kill_managers

SEED = 15


def test_no_run_is_lost_or_doubled_when_its_manager_is_killed():
    """Three managers with four runs each are killed; every run has each of its steps recorded once."""
    found = kill_managers(3, SEED)
    assert found["kills"] == 3
    assert found["runs"] >= RUNS
