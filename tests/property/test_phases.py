"""For messages in any order, the table allows them, or the run ends with a RemoteProtocolError."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from protocol import messages as m
from protocol.collection import CollectionQuery
from protocol.collection_messages import (
    CollectionFailed,
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
    SentItem,
)
from protocol.confinement import ConfinementReport
from protocol.errors import RemoteProtocolError
from protocol.phases import AFTER_PROCEED, FROM_CHILD, Phase, advance, proceed
from protocol.report import make_report

QUICK = examples(80)
RAW = memoryview(b"\xc0")
REPORT = make_report("JobError", "boom")
MESSAGES = [
    m.Hello(version=1),
    m.Ready(confinement=ConfinementReport(level="none", language=True), python="3"),
    m.ConfineFailed(layer="x", reason="y", remedy="z"),
    m.InitStart(step_id="a", step_run_id="a"),
    m.InitComplete(duration_ms=0),
    m.LoadCredential(step_id="a", step_run_id="a", id="c"),
    m.LoadState(step_id="a", step_run_id="a", id="s"),
    CollectionGet(number=1, name="visits", query=CollectionQuery(key="a*", cursor="b")),
    CollectionSet(number=2, name="visits", items=(SentItem("a", RAW),)),
    CollectionRemove(number=3, name="visits", query=CollectionQuery(), dry_run=True),
    m.JobStart(),
    m.JobComplete(state=RAW, state_bytes=1, next=(), duration_ms=0),
    m.JobError(error=REPORT, state=RAW, state_bytes=1, next=(), duration_ms=0),
    m.JobError(error=REPORT, state=RAW, state_bytes=1, next=(), duration_ms=0, retry=True),
    m.StepDied(step_id="a", step_run_id="a"),
    m.Elsewhere(step_id="a", step_run_id="a"),
    m.EdgeResolved(from_step_id="a", to_step_id="b", taken=True),
    m.LogBatch(entries=()),
    m.WorkflowComplete(state=RAW),
    m.WorkflowError(error=REPORT),
    m.Linking(adaptor="rest@1.0.0"),
    m.Checked(),
]
FROM_ENGINE = [
    m.Loaded(value=RAW),
    m.LoadFailed(error=REPORT),
    CollectionGiven(number=1),
    CollectionFailed(number=2, reason="no"),
    m.Cancel(reason="x"),
    m.Replay(step_run_id="a", state=RAW),
    m.Proceed(),
]


def walk(messages):
    """Advance as far as the table allows; return the messages that were taken."""
    phase, taken = Phase.STARTING, []
    for message in messages:
        try:
            phase = advance(phase, message)
        except RemoteProtocolError:
            return taken
        taken.append(message)
    return taken


@QUICK
@given(st.lists(st.sampled_from(MESSAGES + FROM_ENGINE), max_size=60))
def test_any_order_is_taken_or_refused(messages):
    """Each order of messages has one of these outcomes, and the table cannot be bypassed."""
    taken = walk(messages)
    assert all(type(message) in m.FromChild.__args__ for message in taken)


@QUICK
@given(st.data())
def test_whatever_was_taken_is_a_run(data):
    """On any way through the table, jobs open and close alternately, and the end is last."""
    phase, taken = Phase.STARTING, []
    barrier = data.draw(st.booleans())
    for _ in range(60):
        if phase in AFTER_PROCEED and data.draw(st.booleans()):
            phase = proceed(phase)
        allowed = [message for message in MESSAGES if type(message) in FROM_CHILD[phase]]
        if phase is Phase.FAILING:
            allowed = [message for message in allowed if not getattr(message, "retry", False)]
        if not allowed:
            break
        message = data.draw(st.sampled_from(allowed))
        phase = advance(phase, message, barrier=barrier)
        taken.append(type(message))

    assert taken[0] is m.Hello
    assert taken.count(m.Hello) == 1
    ends = [
        kind for kind in taken if kind in (m.WorkflowComplete, m.WorkflowError, m.ConfineFailed)
    ]
    assert len(ends) <= 1
    assert not ends or ends[0] is taken[-1]
    begins = (m.JobStart, m.StepDied)
    jobs = [kind for kind in taken if kind in (*begins, m.JobComplete, m.JobError)]
    assert all((kind in begins) == (index % 2 == 0) for index, kind in enumerate(jobs))
