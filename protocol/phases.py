"""The order of messages in one run, as a table.

Rule 1: every phase and every transition is in this file, and only here.  Rule 2: the table does not
know pipes, processes or clocks.  The death of the child is not a message; the supervisor notices
it.

Steps run one after another, so a single linear machine describes the whole run.
"""

from __future__ import annotations

import enum

from protocol import messages as m
from protocol.collection_messages import CollectionGet, CollectionRemove, CollectionSet
from protocol.errors import RemoteProtocolError
from protocol.message import Message


class Phase(enum.Enum):
    """How far a run has come, according to the messages of its child."""

    # Each message looks its phase up in a table, and the hash of Enum is Python code.
    __hash__ = object.__hash__

    STARTING = "starting"
    GREETED = "greeted"
    WALKING = "walking"
    """The run is between two steps."""
    INITIALISING = "initialising"
    """A job is being resolved, compiled and linked."""
    LINKED = "linked"
    RUNNING = "running"
    """A job is running."""
    RECORDING = "recording"
    """A job has ended; the child waits for `Proceed`, then it decides what comes next."""
    RETRYING = "retrying"
    """A job has failed; the child waits for `Proceed`, then it begins the next attempt."""
    FAILING = "failing"
    """A step died with an earlier child; this child puts its state together."""
    CHECKING = "checking"
    """Texts are checked in place of a run, because the engine asked for it."""
    DONE = "done"


FROM_CHILD: dict[Phase, dict[type[Message], Phase]] = {
    Phase.STARTING: {m.Hello: Phase.GREETED},
    Phase.GREETED: {m.Ready: Phase.WALKING, m.ConfineFailed: Phase.DONE},
    Phase.WALKING: {
        m.InitStart: Phase.INITIALISING,
        m.StepDied: Phase.FAILING,
        m.Elsewhere: Phase.DONE,
        m.EdgeResolved: Phase.WALKING,
        m.LogBatch: Phase.WALKING,
        m.LoadCredential: Phase.WALKING,
        m.LoadState: Phase.WALKING,
        m.WorkflowComplete: Phase.DONE,
        m.WorkflowError: Phase.DONE,
    },
    Phase.INITIALISING: {
        m.LoadCredential: Phase.INITIALISING,
        m.LoadState: Phase.INITIALISING,
        m.LogBatch: Phase.INITIALISING,
        m.InitComplete: Phase.LINKED,
        m.WorkflowError: Phase.DONE,
    },
    Phase.LINKED: {m.LogBatch: Phase.LINKED, m.JobStart: Phase.RUNNING},
    Phase.RUNNING: {
        m.LogBatch: Phase.RUNNING,
        CollectionGet: Phase.RUNNING,
        CollectionSet: Phase.RUNNING,
        CollectionRemove: Phase.RUNNING,
        m.JobComplete: Phase.WALKING,
        m.JobError: Phase.WALKING,
    },
    Phase.RECORDING: {m.LogBatch: Phase.RECORDING, m.WorkflowError: Phase.DONE},
    Phase.RETRYING: {m.LogBatch: Phase.RETRYING, m.WorkflowError: Phase.DONE},
    Phase.FAILING: {
        m.LoadCredential: Phase.FAILING,
        m.LoadState: Phase.FAILING,
        m.LogBatch: Phase.FAILING,
        m.JobError: Phase.WALKING,
        m.WorkflowError: Phase.DONE,
    },
    Phase.CHECKING: {m.Linking: Phase.CHECKING, m.Checked: Phase.CHECKING},
    Phase.DONE: {},
}


_ENDS = frozenset({m.JobComplete, m.JobError})

AFTER_PROCEED: dict[Phase, Phase] = {
    Phase.RECORDING: Phase.WALKING,
    Phase.RETRYING: Phase.LINKED,
}
"""The phases in which the child waits for `Proceed`, and the phase after it."""


def advance(phase: Phase, message: Message, *, barrier: bool = False) -> Phase:
    """Return the phase after *message*.

    Args:
        phase: The phase before it.
        message: From the child.
        barrier: Whether the child waits for `Proceed` after the end of a step (``Start.barrier``).

    Raises:
        RemoteProtocolError: The child may not send this message now.

    """
    allowed = FROM_CHILD[phase]
    kind = type(message)
    following = allowed.get(kind)
    if following is None:
        names = ", ".join(sorted(kind.__name__ for kind in allowed)) or "nothing"
        raise RemoteProtocolError(
            f"child sent {kind.__name__} in phase {phase.name}; allowed there: {names}"
        )
    if kind not in _ENDS:
        return following
    assert isinstance(message, (m.JobComplete, m.JobError))
    waiting = waiting_after(message, barrier=barrier)
    if waiting is Phase.RETRYING and phase is Phase.FAILING:
        raise RemoteProtocolError("child wants to retry a step that died with an earlier child")
    return waiting or following


def waiting_after(end: m.JobComplete | m.JobError, *, barrier: bool) -> Phase | None:
    """Return the phase in which the child waits after the end of a step; None if it does not wait."""
    if isinstance(end, m.JobError) and end.retry:
        return Phase.RETRYING
    return Phase.RECORDING if barrier and not end.ends_run else None


def proceed(phase: Phase) -> Phase:
    """Return the phase after the engine has sent `Proceed`; only for the keys of `AFTER_PROCEED`."""
    return AFTER_PROCEED[phase]
