"""Room `start`: starts children, and holds the pipes to them.

It belongs here if it starts a process or holds its descriptors.  A child serves one run in every
start mode.  The room imports `api` and `confinement`.
"""

from __future__ import annotations

from engine.start.checker import check_texts
from engine.start.child import Child, Meter, Started, Starter, Watcher
from engine.start.connection import Connection
from engine.start.exit import Exit
from engine.start.starters import StartMode, make_starter

__all__ = [
    "Child",
    "Connection",
    "Exit",
    "Meter",
    "StartMode",
    "Started",
    "Starter",
    "Watcher",
    "check_texts",
    "make_starter",
]
