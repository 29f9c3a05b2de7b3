"""The outbox: when the flusher hears of a run."""

from __future__ import annotations

from typing import Any

import pytest

from jobcell.worker.beginning import Begun
from jobcell.worker.outbox import Outbox
from protocol.plan import Plan, Step, Workflow


class _Run:
    """A run of the engine, as far as an outbox looks at it here."""

    done = False


@pytest.fixture
def run() -> Any:
    """A run that goes on."""
    return _Run()


def outbox_of(run: Any, *, busy: bool, notices: list[bool]) -> Outbox:
    """Return the outbox of a run; *notices* gets whether each notice is urgent."""
    workflow = Workflow(steps=(Step(id="s"),))
    begun = Begun(
        run_id="a",
        owner="x",
        tenant="",
        plan=Plan(id="a", workflow=workflow),
        state=None,
        options=None,
        cancel=None,
        last_seq=0,
        lost=0,
        taken_over=False,
    )
    nothing: Any = None
    outbox = Outbox(
        begun,
        nothing,
        nothing,
        keeps_secrets=False,
        ends_unstarted=False,
        notify=lambda _outbox, urgent: notices.append(urgent),
        gone=lambda _run_id: busy,
    )
    outbox.attach(run)
    return outbox


def test_events_of_a_run_that_goes_on_are_not_urgent(run: Any) -> None:
    """The flusher hears of them once, until it has collected them."""
    notices: list[bool] = []
    outbox = outbox_of(run, busy=False, notices=notices)
    outbox.changed()
    outbox.changed()
    assert notices == [False]


@pytest.mark.parametrize("busy", [False, True])
def test_the_end_of_a_run_is_urgent_unless_other_runs_begin(run: Any, busy: bool) -> None:
    """A lone client gets its result at once, and the runs of a busy worker get the processor first."""
    notices: list[bool] = []
    outbox = outbox_of(run, busy=busy, notices=notices)
    outbox.changed()
    run.done = True
    outbox.changed()
    assert notices == [False, not busy]
