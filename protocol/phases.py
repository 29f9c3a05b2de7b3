"""The order of messages in one run, as a table.

Rule 1: every phase and every transition is in this file, and only here.
Rule 2: the table knows nothing of pipes, processes or clocks.  Death of the child is not a
message; it is the supervisor's to notice.

Steps run one after another, so one linear machine describes the whole run.
"""

from __future__ import annotations

import enum

from protocol import messages as m
from protocol.errors import RemoteProtocolError


class Phase(enum.Enum):
    """How far a run has come, as seen by what its child has sent."""

    STARTING = "starting"
    GREETED = "greeted"
    WALKING = "walking"
    """Between two steps."""
    INITIALISING = "initialising"
    """A job is being resolved, compiled and linked."""
    LINKED = "linked"
    RUNNING = "running"
    """A job is running."""
    CHECKING = "checking"
    """Texts are checked in place of a run; the engine asked for it."""
    DONE = "done"


FROM_CHILD: dict[Phase, dict[type[m.Message], Phase]] = {
    Phase.STARTING: {m.Hello: Phase.GREETED},
    Phase.GREETED: {m.Ready: Phase.WALKING, m.ConfineFailed: Phase.DONE},
    Phase.WALKING: {
        m.InitStart: Phase.INITIALISING,
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
        m.JobComplete: Phase.WALKING,
        m.JobError: Phase.WALKING,
    },
    Phase.CHECKING: {m.Linking: Phase.CHECKING, m.Checked: Phase.CHECKING},
    Phase.DONE: {},
}


def advance(phase: Phase, message: m.Message) -> Phase:
    """Return the phase after *message*.

    Raises:
        RemoteProtocolError: The child may not send this message now.

    """
    allowed = FROM_CHILD[phase]
    following = allowed.get(type(message))
    if following is None:
        names = ", ".join(sorted(kind.__name__ for kind in allowed)) or "nothing"
        raise RemoteProtocolError(
            f"child sent {type(message).__name__} in phase {phase.name}; allowed there: {names}"
        )
    return following
