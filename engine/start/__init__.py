"""Room `start`: starts children, and holds the pipes to them.

It belongs here if it starts a process or holds its descriptors.  A child serves one run in every
start mode.  The room imports `confinement` only.
"""

from __future__ import annotations

from engine.start.child import (
    Child,
    Meter,
    Network,
    Networks,
    Started,
    Starter,
    StartKind,
    Watcher,
    is_readable,
    start_run,
)
from engine.start.connection import READS_AT_THE_END, Connection, lift
from engine.start.exec import ExecStarter, spawn_server
from engine.start.exit import Exit
from engine.start.starters import StartMode, make_starter, make_warm_sets
from engine.start.warm_sets import IMPORTING, WarmSet

__all__ = [
    "IMPORTING",
    "READS_AT_THE_END",
    "Child",
    "Connection",
    "ExecStarter",
    "Exit",
    "Meter",
    "Network",
    "Networks",
    "StartKind",
    "StartMode",
    "Started",
    "Starter",
    "WarmSet",
    "Watcher",
    "is_readable",
    "lift",
    "make_starter",
    "make_warm_sets",
    "spawn_server",
    "start_run",
]
