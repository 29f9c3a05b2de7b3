"""The parts of a run that its children have in common."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.api import RunOptions
from engine.reporting import EventLog, Reporter
from engine.running.session.claims import Claims
from engine.running.session.collecting import Collecting
from engine.running.session.deaths import Deaths
from engine.running.session.loading import Loading
from engine.running.session.order import Order
from engine.running.session.recovery import Recovery
from engine.running.session.secrets import make_redactor
from engine.running.session.steps import Steps
from engine.running.session.verdict import Verdict
from protocol import events


class RunParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a run that all its conversations share."""

    options: RunOptions
    reporter: Reporter
    steps: Steps
    loading: Loading
    collecting: Collecting
    recovery: Recovery
    deaths: Deaths
    verdict: Verdict
    versions: events.Versions
    meta: dict[str, Any]
    """The ``meta`` of the plan."""
    replayed: int
    """The number of steps that a journal has recorded."""


def make_reporter(order: Order, log: EventLog, claims: Claims) -> Reporter:
    """Return the reporter of a run, which knows the secrets of its plan."""
    redactor = make_redactor(
        order.options,
        order.credential_ids | order.state_ids,
        order.configurations,
        claims.is_id,
    )
    return Reporter(order.run_id, order.options, log, redactor)
