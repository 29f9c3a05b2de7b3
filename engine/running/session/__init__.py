"""Room `session`: decides what happens in a run, from the messages of its children and from facts.

It belongs here if it works without a process, a clock and a callback: a caller hands in the time and facts,
and carries out the effects that it gets.  The room imports `api`, `reporting` and `start`, and no other file
of `running`.
"""

from __future__ import annotations

from engine.running.session.collecting import Collected
from engine.running.session.effects import (
    AskWhere,
    Collect,
    Dismiss,
    Effects,
    Kill,
    Record,
    Resolve,
    Send,
)
from engine.running.session.footprint import Reading
from engine.running.session.limits import Used
from engine.running.session.loading import Answer, Request
from engine.running.session.moment import Moment
from engine.running.session.order import Order
from engine.running.session.resolution import Kind, Resolution, not_loaded
from engine.running.session.secrets import configurations_of, questions_about
from engine.running.session.session import Session

__all__ = [
    "Answer",
    "AskWhere",
    "Collect",
    "Collected",
    "Dismiss",
    "Effects",
    "Kill",
    "Kind",
    "Moment",
    "Order",
    "Reading",
    "Record",
    "Request",
    "Resolution",
    "Resolve",
    "Send",
    "Session",
    "Used",
    "configurations_of",
    "not_loaded",
    "questions_about",
]
