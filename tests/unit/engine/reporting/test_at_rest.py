"""Events and results survive a store: they come back equal, with any state that a run can have."""

from __future__ import annotations

import math

import msgspec
import pytest

from engine import ErrorReport, JobComplete, JobError, Memory, RunResult, Usage, Versions
from engine.reporting import (
    cancelled_report,
    decode_event,
    decode_result,
    encode_event,
    encode_result,
    end_unstarted,
    state_of,
)
from protocol.confinement import ConfinementReport, LayerReport
from protocol.events import EdgeResolved, Log, WorkflowComplete, WorkflowError, WorkflowStart
from protocol.report import Position, StackFrame, make_report
from protocol.state import encode_state

HEAD = {"seq": 7, "run_id": "r", "time": 1.5}
STEP = {**HEAD, "step_id": "a", "step_run_id": "a-1", "attempt": 3}
CONFINED = ConfinementReport(level="default", language=True, layers=(LayerReport("x", "on"),))
VERSIONS = Versions(python="3", engine="1", adaptors={"http": ["1.0.0"]})
STATES = [
    {"data": [1, 2.5, "x", None, True, b"bytes"]},
    {"data": {1: "a", None: 2**200, b"k": -(2**90)}},
    {"data": math.inf},
    [],
    None,
    "[redacted]",
]
REPORT = ErrorReport(
    name="AdaptorError",
    message="no\x00",
    severity="fail",
    position=Position(1, 2, source="x"),
    stack=(StackFrame("a", "f", 3),),
    details={"n": 2**80, 5: b"raw"},
)


def events_with(state):
    return [
        JobComplete(**STEP, state=state, next=("b",), duration_ms=3, mem=Memory(1, 2, 3)),
        JobError(**STEP, error=REPORT, state=state, next=(), duration_ms=3, retry_in_ms=0),
        WorkflowComplete(**HEAD, state=state, duration_ms=4, redacted=True),
    ]


OTHERS = [
    WorkflowStart(**HEAD, versions=VERSIONS, confinement=CONFINED, meta={"k": 2**70}, replayed=4),
    WorkflowError(**HEAD, error=REPORT, duration_ms=1),
    EdgeResolved(**HEAD, from_step_id="a", to_step_id="b", condition="state.x", taken=False),
    Log(**STEP, level="info", source="job", message="\ud7ff line"),
]


@pytest.mark.parametrize("event", [e for s in STATES for e in events_with(s)] + OTHERS)
def test_an_event_comes_back_equal(event):
    """Its states, its meta and the details of its error have large integers and keys of any type."""
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("event", events_with({"data": 2**200}))
def test_the_bytes_of_a_state_can_be_kept_elsewhere(event):
    """An event without its state is small, and it is whole again with the bytes of the state."""
    bare = encode_event(event, with_state=False)
    assert decode_event(bare).state is None
    assert decode_event(bare, state_of(event)) == event


def test_encoded_states_are_taken_as_they_are():
    """A store does not decode the states that a child has sent."""
    state = encode_state({"data": [1, 2**70]})
    details = msgspec.Raw(encode_state({"n": 1}))
    raw = JobError(
        **STEP,
        error=make_report("AdaptorError", "no", details=details),
        state=msgspec.Raw(state),
        next=(),
        duration_ms=1,
    )
    assert state_of(raw) == state
    event = decode_event(encode_event(raw))
    assert event.state == {"data": [1, 2**70]}
    assert event.error.details == {"n": 1}


def test_a_state_with_too_many_items_is_replaced_as_a_poll_replaces_it():
    """Decoding is bounded by the same limit."""
    [event, *_] = events_with({"data": [[]] * 100})
    read = decode_event(encode_event(event), max_items=50)
    assert (read.state, read.redacted) == ("[redacted]", True)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("error", [None, REPORT])
def test_a_result_comes_back_equal(state, error):
    """With its state, or with the state beside it."""
    result = RunResult(
        state=state,
        reason="fail" if error else "success",
        error=error,
        duration_ms=5,
        usage=Usage(10, 0.5),
        confinement=CONFINED,
        versions=VERSIONS,
        children=2,
    )
    assert decode_result(encode_result(result)) == result
    bare = encode_result(result, with_state=False)
    assert decode_result(bare, encode_state(state)) == result


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\xc0", b"\x94\x80\xc0\xc0\xc0", b"{}"])
@pytest.mark.parametrize("decode", [decode_event, decode_result])
def test_other_bytes_are_a_value_error(decode, data):
    """A damaged store does not lead to an error of another kind."""
    with pytest.raises(ValueError):
        decode(data)


def test_a_run_that_no_engine_started_ends_as_one_in_a_queue():
    """The text of the reason has the same limit."""
    event, result = end_unstarted("r", cancelled_report("x" * 900), seq=1, time_s=2.0)
    assert (event.type, event.seq, event.error) == ("workflow-error", 1, result.error)
    assert (result.reason, result.state, result.children) == ("cancelled", None, 1)
    assert result.error.message == "the run was cancelled: " + "x" * 500
