"""The test covers the whole phase table: every phase with every message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.phases import AFTER_PROCEED, FROM_CHILD, Phase, advance, proceed
from protocol.report import make_report

DOCUMENT = Path(__file__).parents[3] / "docs" / "PROTOCOL.md"
KINDS = m.FromChild.__args__

TABLE = {
    ("STARTING", "Hello"): "GREETED",
    ("GREETED", "Ready"): "WALKING",
    ("GREETED", "ConfineFailed"): "DONE",
    ("WALKING", "InitStart"): "INITIALISING",
    ("WALKING", "StepDied"): "FAILING",
    ("WALKING", "Elsewhere"): "DONE",
    ("WALKING", "EdgeResolved"): "WALKING",
    ("WALKING", "LogBatch"): "WALKING",
    ("WALKING", "LoadCredential"): "WALKING",
    ("WALKING", "LoadState"): "WALKING",
    ("WALKING", "WorkflowComplete"): "DONE",
    ("WALKING", "WorkflowError"): "DONE",
    ("INITIALISING", "LoadCredential"): "INITIALISING",
    ("INITIALISING", "LoadState"): "INITIALISING",
    ("INITIALISING", "LogBatch"): "INITIALISING",
    ("INITIALISING", "InitComplete"): "LINKED",
    ("INITIALISING", "WorkflowError"): "DONE",
    ("LINKED", "LogBatch"): "LINKED",
    ("LINKED", "JobStart"): "RUNNING",
    ("RUNNING", "LogBatch"): "RUNNING",
    ("RUNNING", "CollectionGet"): "RUNNING",
    ("RUNNING", "CollectionSet"): "RUNNING",
    ("RUNNING", "CollectionRemove"): "RUNNING",
    ("RUNNING", "JobComplete"): "WALKING",
    ("RUNNING", "JobError"): "WALKING",
    ("RECORDING", "LogBatch"): "RECORDING",
    ("RECORDING", "WorkflowError"): "DONE",
    ("RETRYING", "LogBatch"): "RETRYING",
    ("RETRYING", "WorkflowError"): "DONE",
    ("FAILING", "LoadCredential"): "FAILING",
    ("FAILING", "LoadState"): "FAILING",
    ("FAILING", "LogBatch"): "FAILING",
    ("FAILING", "JobError"): "WALKING",
    ("FAILING", "WorkflowError"): "DONE",
    ("CHECKING", "Linking"): "CHECKING",
    ("CHECKING", "Checked"): "CHECKING",
}
"""The table is repeated on purpose: a change of the order of messages is a decision."""


WAITING = {
    Phase.RUNNING: [Phase.RECORDING, Phase.RETRYING],
    Phase.FAILING: [Phase.RECORDING],
}
"""The phases after the end of a step, if the child waits there."""

REPORT = make_report("AdaptorError", "no")


def complete(**fields):
    return m.JobComplete(state=None, state_bytes=1, next=(), duration_ms=0, **fields)


def failed(**fields):
    return m.JobError(state=None, error=REPORT, state_bytes=1, next=(), duration_ms=0, **fields)


def make(kind):
    """Make a message of a class; the table looks only at the class."""
    return kind(**dict.fromkeys(kind.__struct_fields__))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_a_message_is_taken_or_refused_as_the_table_says(phase, kind):
    """A message in a wrong phase is fatal, even if a later phase would allow it."""
    following = TABLE.get((phase.name, kind.__name__))
    if following is not None:
        assert advance(phase, make(kind)) is Phase[following]
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            advance(phase, make(kind))
        allowed = sorted(name for at, name in TABLE if at == phase.name)
        assert str(caught.value) == (
            f"child sent {kind.__name__} in phase {phase.name};"
            f" allowed there: {', '.join(allowed) or 'nothing'}"
        )


@pytest.mark.parametrize("kind", m.ToChild.__args__[1:], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_a_child_never_says_what_the_engine_says(phase, kind):
    """Only `Hello` travels in both directions."""
    with pytest.raises(RemoteProtocolError):
        advance(phase, make(kind))


def test_every_phase_can_be_reached_and_left():
    """From the start, each phase is reached over the tables or by a request to check; only the last
    one is a dead end.
    """
    reached, waiting = set(), [Phase.STARTING, Phase.CHECKING]
    while waiting:
        phase = waiting.pop()
        if phase not in reached:
            reached.add(phase)
            waiting += FROM_CHILD[phase].values()
            waiting += WAITING.get(phase, ())
            waiting += [AFTER_PROCEED[phase]] if phase in AFTER_PROCEED else []
    assert reached == set(Phase) == set(FROM_CHILD)
    assert all(leads is Phase.CHECKING for leads in FROM_CHILD[Phase.CHECKING].values())
    assert [phase for phase in Phase if not FROM_CHILD[phase]] == [Phase.DONE]


@pytest.mark.parametrize(
    ("phase", "end", "barrier", "following"),
    [
        (Phase.RUNNING, complete(), False, Phase.WALKING),
        (Phase.RUNNING, complete(), True, Phase.RECORDING),
        (Phase.RUNNING, complete(ends_run=True), True, Phase.WALKING),
        (Phase.RUNNING, failed(), False, Phase.WALKING),
        (Phase.RUNNING, failed(), True, Phase.RECORDING),
        (Phase.RUNNING, failed(ends_run=True), True, Phase.WALKING),
        (Phase.RUNNING, failed(retry=True), False, Phase.RETRYING),
        (Phase.RUNNING, failed(retry=True), True, Phase.RETRYING),
        (Phase.FAILING, failed(), False, Phase.WALKING),
        (Phase.FAILING, failed(), True, Phase.RECORDING),
    ],
)
def test_the_end_of_a_step_says_whether_the_child_waits_after_it(phase, end, barrier, following):
    """The child waits for a record or for the next attempt, but not at the end of the workflow."""
    assert advance(phase, end, barrier=barrier) is following


def test_a_step_that_died_is_not_retried_by_the_next_child():
    """Only the engine knows of a death, so only the engine decides about another attempt."""
    with pytest.raises(RemoteProtocolError, match="wants to retry a step that died"):
        advance(Phase.FAILING, failed(retry=True))


def test_a_child_that_may_proceed_walks_on_or_begins_the_next_attempt():
    """The engine sends `Proceed` only in these phases."""
    assert {phase: proceed(phase) for phase in AFTER_PROCEED} == {
        Phase.RECORDING: Phase.WALKING,
        Phase.RETRYING: Phase.LINKED,
    }


def test_every_message_of_a_child_has_its_place():
    """A message that is missing from the table could never be sent."""
    assert {kind for allowed in FROM_CHILD.values() for kind in allowed} == set(KINDS)


def test_the_table_in_the_document_is_the_table():
    """The document docs/PROTOCOL.md shows each phase with its messages and their next phases."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", DOCUMENT.read_text(), re.MULTILINE)
    documented = {
        (phase, message): following
        for phase, cell in rows
        if phase in Phase.__members__
        for message, following in re.findall(r"`(\w+)` → `(\w+)`", cell)
    }
    assert documented == TABLE
    assert {phase for phase, _ in rows} >= set(Phase.__members__)
