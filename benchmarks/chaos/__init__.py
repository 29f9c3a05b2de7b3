"""Drills: workers, servers, children and clients die, and no run is lost, doubled or changed.

Run them with `make chaos`.  A short form of each drill is in `tests/process/test_chaos.py`.
"""
