"""Room `running`: carries runs from the queue to their end.

It belongs here if it changes while a run goes on.  The room imports `adaptors`, `api`, `reporting` and `start`.
"""

from __future__ import annotations

from engine.running.cgroup import RunCgroup
from engine.running.lane import Lane
from engine.running.preparation import Past, prepare
from engine.running.resolvers import Resolved, Resolvers, current_asker
from engine.running.session import Order, Session
from engine.running.supervisor import Supervisor

__all__ = [
    "Lane",
    "Order",
    "Past",
    "Resolved",
    "Resolvers",
    "RunCgroup",
    "Session",
    "Supervisor",
    "current_asker",
    "prepare",
]
