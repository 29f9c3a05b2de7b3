"""For all logs and readers, numbers have no gap, and the log keeps at most what it may keep."""

from __future__ import annotations

from unittest.mock import patch

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.reporting import eventlog
from engine.reporting.eventlog import EventLog
from examples import examples
from protocol.events import JobComplete, JobStart, Log, Memory
from protocol.state import encode_state

QUICK = examples(80)
KEPT_LOGS = 4
KEPT_STATE_BYTES = 40
ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["log", "always", "start", "poll"]),
        st.tuples(st.just("state"), st.integers(0, 60)),
        st.tuples(st.just("read"), st.integers(0, 30)),
    ),
    max_size=60,
)


def event_for(action, seq):
    """Make the event that an action appends."""
    common = {"seq": seq, "run_id": "r", "time": 0.0}
    if action in ("log", "always"):
        return Log(level="info", source="job", message="m", **common)
    common |= {"step_id": "a", "step_run_id": "a"}
    if action == "start":
        return JobStart(**common)
    state = msgspec.Raw(encode_state("x" * action[1]))
    return JobComplete(state=state, next=(), duration_ms=0, mem=Memory(0, 0, 0), **common)


def run(actions):
    """Apply actions to a log; return it, and the events from polls without a cursor."""
    log, polled = EventLog(), []
    for action in actions:
        if action == "poll":
            polled += log.read(None, 0.0)
        elif action[0] == "read":
            log.read(action[1], 0.0)
        else:
            kept = log.append(event_for(action, log.next_seq), always=action == "always")
            assert kept or action == "log"
    return log, polled


@QUICK
@given(ACTIONS)
def test_a_manager_that_only_polls_sees_every_number_once(actions):
    """The numbers are 1, 2, 3, ... even if lines were dropped or polls are rare."""
    with (
        patch.object(eventlog, "MAX_KEPT_LOGS", KEPT_LOGS),
        patch.object(eventlog, "MAX_KEPT_STATE_BYTES", KEPT_STATE_BYTES),
    ):
        log, polled = run([action for action in actions if action[0] != "read"])
        polled += log.read(None, 0.0)
    assert [event.seq for event in polled] == list(range(1, log.next_seq))


@QUICK
@given(ACTIONS)
def test_no_more_is_kept_than_allowed(actions):
    """Logs and states have limits; all lifecycle events are kept, in order, with rising numbers."""
    with (
        patch.object(eventlog, "MAX_KEPT_LOGS", KEPT_LOGS),
        patch.object(eventlog, "MAX_KEPT_STATE_BYTES", KEPT_STATE_BYTES),
    ):
        log, _ = run(actions)
        kept = log.read(0, 0.0)
    numbers = [event.seq for event in kept]
    assert numbers == sorted(set(numbers))
    allowed = KEPT_LOGS + actions.count("always")
    assert sum(isinstance(event, Log) for event in kept) <= allowed
    appended = sum(action == "start" or action[0] == "state" for action in actions)
    assert sum(not isinstance(event, Log) for event in kept) == appended
    sizes = [
        len(event.state) for event in kept if type(event) is JobComplete and not event.redacted
    ]
    assert len(sizes) <= 1 or sum(sizes) <= KEPT_STATE_BYTES
