"""Acts on the decisions of a session: its effects, and its last event."""

from __future__ import annotations

import logging

from engine.reporting import Outcome, Run
from engine.running.calls import Calls
from engine.running.running_child import RunningChild
from engine.running.session import (
    AskWhere,
    Collect,
    Dismiss,
    Effects,
    Kill,
    Moment,
    Record,
    Send,
    Session,
)

_log = logging.getLogger("jobcell")


def carry_out(effects: Effects, child: RunningChild, calls: Calls) -> None:
    """Carry out the effects in their order."""
    for effect in effects:
        if isinstance(effect, Send):
            child.send(effect.body)
        elif isinstance(effect, Kill):
            child.kill()
        elif isinstance(effect, AskWhere):
            child.ask_where()
        elif isinstance(effect, Dismiss):
            child.dismissed = True
        elif isinstance(effect, Record):
            calls.record(effect)
        elif isinstance(effect, Collect):
            calls.collect(effect)
        else:
            calls.resolve(effect)


def last_event(session: Session, child: RunningChild | None, run: Run, now: Moment) -> Outcome:
    """Emit the last event of a run, and return how the run ended."""
    exited, oom_killed, memory = (None, False, (0, 0)) if child is None else child.final_facts()
    try:
        return session.finish(exited, now, oom_killed=oom_killed, memory=memory)
    except Exception as error:  # noqa: BLE001 - reported as an error of the run
        _log.exception("internal error at the end of run %s", run.id)
        return session.give_up(error, now)
