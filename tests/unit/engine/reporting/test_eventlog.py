"""The events of a run are numbered, are read by cursor from any thread, and use bounded memory."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from engine.reporting import eventlog
from engine.reporting.eventlog import EventLog, without_state
from protocol.events import REDACTED, JobComplete, JobStart, Log, Memory, WorkflowComplete
from protocol.state import encode_state


def log_event(log, message="line"):
    return Log(seq=log.next_seq, run_id="r", time=0.0, level="info", source="job", message=message)


def lifecycle(log):
    return JobStart(seq=log.next_seq, run_id="r", time=0.0, step_id="a", step_run_id="a")


def complete(log, state):
    return JobComplete(
        seq=log.next_seq,
        run_id="r",
        time=0.0,
        step_id="a",
        step_run_id="a",
        state=state,
        next=(),
        duration_ms=0,
        mem=Memory(0, 0, 0),
    )


def raw(value):
    return msgspec.Raw(encode_state(value))


def seqs(events):
    return [event.seq for event in events]


@pytest.fixture
def log():
    return EventLog()


def test_events_are_numbered_from_one(log):
    """The number of an event is the number of the event before it, plus one."""
    assert log.next_seq == 1
    for _ in range(3):
        log.append(lifecycle(log))
    assert seqs(log.read(0, 0.0)) == [1, 2, 3]
    assert log.next_seq == 4


def test_a_cursor_gives_what_is_after_it(log):
    """A cursor gives the same events any number of times, also after another reader."""
    for _ in range(5):
        log.append(lifecycle(log))
    assert seqs(log.read(3, 0.0)) == [4, 5]
    assert seqs(log.read(3, 0.0)) == [4, 5]
    assert seqs(log.read(0, 0.0)) == [1, 2, 3, 4, 5]
    assert log.read(5, 0.0) == []


def test_without_a_cursor_each_event_is_read_once(log):
    """The handle of the run remembers the last event that was read."""
    log.append(lifecycle(log))
    assert seqs(log.read(None, 0.0)) == [1]
    assert log.read(None, 0.0) == []
    log.append(lifecycle(log))
    assert seqs(log.read(None, 0.0)) == [2]


def test_a_cursor_beyond_the_end_reads_nothing_for_others(log):
    """Events that no reader has seen are still unread."""
    log.append(lifecycle(log))
    assert log.read(10**9, 0.0) == []
    assert seqs(log.read(None, 0.0)) == [1]


def test_a_dropped_log_leaves_no_gap(log, monkeypatch):
    """A line gets its number only when it is kept."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 2)
    kept = [log.append(log_event(log)) for _ in range(5)]
    log.append(lifecycle(log))
    assert kept == [True, True, False, False, False]
    assert seqs(log.read(0, 0.0)) == [1, 2, 3]


def test_polled_logs_make_room_for_new_ones(log, monkeypatch):
    """A manager that polls gets all lines, however many a job logs."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 3)
    read = []
    for _ in range(20):
        assert log.append(log_event(log))
        read += seqs(log.read(None, 0.0))
    assert read == list(range(1, 21))
    assert seqs(log.read(0, 0.0)) == [18, 19, 20]


def test_lifecycle_events_are_never_dropped(log, monkeypatch):
    """A lifecycle event is kept even if nobody polls and the room for lines is used up."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 1)
    for _ in range(50):
        log.append(log_event(log))
        assert log.append(lifecycle(log))
    events = log.read(0, 0.0)
    assert seqs(events) == list(range(1, 52))
    assert sum(isinstance(event, JobStart) for event in events) == 50


def test_a_log_that_is_always_kept_asks_for_no_room(log, monkeypatch):
    """The line gets a normal number, and no other unread line is dropped for it."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 2)
    for _ in range(5):
        log.append(log_event(log))
    assert log.append(log_event(log, "three were dropped"), always=True)
    assert not log.append(log_event(log))
    events = log.read(0, 0.0)
    assert seqs(events) == [1, 2, 3]
    assert [event.message for event in events] == ["line", "line", "three were dropped"]


def test_no_log_is_kept_for_whom_it_says_to_be_from(log, monkeypatch):
    """A child can write a false source into each of its lines."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_LOGS", 2)
    for _ in range(2):
        log.append(log_event(log))
    forged = msgspec.structs.replace(log_event(log), source="runtime", level="warning")
    assert not log.append(forged)


def test_a_state_is_decoded_once_for_as_long_as_somebody_has_it(log):
    """A decoded state may take seventy times its bytes; two polls share the same decoded state."""
    log.append(complete(log, raw({"data": [1]})))
    (first,), (second,) = log.read(0, 0.0), log.read(0, 0.0)
    assert first.state is second.state
    first.state["data"].append(2)
    del first, second
    (third,) = log.read(0, 0.0)
    assert third.state == {"data": [1]}  # the readers had dropped the changed state


@pytest.mark.slow
def test_a_state_with_too_many_items_is_left_out_of_its_event():
    """A hostile child that does not count the items itself gets the same limit."""
    log = EventLog(max_items=100)
    log.append(complete(log, raw({"data": [0] * 97})))
    log.append(complete(log, raw({"data": [0] * 98})))
    (small,), (large,) = log.read(0, 0.0)[:1], log.read(1, 0.0)
    assert (small.redacted, large.redacted, large.state) == (False, True, REDACTED)


def test_a_state_that_is_none_is_redacted(log):
    """A hostile child may send bytes that only look like a state."""
    log.append(complete(log, msgspec.Raw(b"\xd4\x07\x00")))
    (event,) = log.read(0, 0.0)
    assert (event.state, event.redacted) == (REDACTED, True)


def test_states_that_were_polled_make_room(log, monkeypatch):
    """The event is kept, and its state says that it was removed."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_STATE_BYTES", 250)
    for number in range(5):
        log.append(complete(log, raw(str(number) * 98)))
        log.read(None, 0.0)
    events = log.read(0, 0.0)
    assert [event.redacted for event in events] == [True, True, True, False, False]
    assert events[-1].state == "4" * 98


def test_states_that_nobody_polled_are_kept_before_new_ones(log, monkeypatch):
    """Memory is bounded for a manager that does not poll; the result still has the final state."""
    monkeypatch.setattr(eventlog, "MAX_KEPT_STATE_BYTES", 250)
    for number in range(5):
        log.append(complete(log, raw(str(number) * 98)))
    log.append(
        WorkflowComplete(seq=log.next_seq, run_id="r", time=0.0, state=raw("end"), duration_ms=0)
    )
    events = log.read(0, 0.0)
    assert [event.redacted for event in events] == [False, False, True, True, True, False]
    assert events[-1].state == "end"


def test_without_state_says_so(log):
    """A payload that was left out must not look like a state with that value."""
    event = without_state(complete(log, 1))
    assert (event.state, event.redacted) == (REDACTED, True)


def test_reading_waits_for_the_first_event(log):
    """The read returns as soon as there is an event."""
    reader = threading.Thread(target=lambda: seen.extend(log.read(None, None)))
    seen = []
    reader.start()
    log.append(lifecycle(log))
    reader.join(10)
    assert seqs(seen) == [1]


def test_reading_waits_no_longer_than_it_was_told(log):
    """The read returns an empty list when its time is over."""
    begun = time.monotonic()
    assert log.read(None, 0.02) == []
    assert 0.02 <= time.monotonic() - begun < 5


def test_the_end_wakes_whoever_waits(log):
    """The end wakes readers that wait for the end, and those that wait for another event."""
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(log.read(None, None))),
        threading.Thread(target=lambda: outcomes.append(log.read(7, 60))),
        threading.Thread(target=lambda: outcomes.append(log.wait_closed(None))),
    ]
    for thread in threads:
        thread.start()
    assert not log.wait_closed(0.0)
    log.close()
    for thread in threads:
        thread.join(10)
    assert sorted(map(repr, outcomes)) == ["True", "[]", "[]"]
    assert log.closed
    assert log.wait_closed(0.0)
    assert log.read(None, None) == []


def test_many_readers_each_see_every_event(log):
    """The readers have their own cursors, while events are appended."""
    total, readers = 500, 4
    seen = [[] for _ in range(readers)]

    def follow(mine):
        while not (log.closed and log.next_seq == len(mine) + 1):
            mine += seqs(log.read(len(mine), 1.0))

    threads = [threading.Thread(target=follow, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for _ in range(total):
        log.append(lifecycle(log))
    log.close()
    for thread in threads:
        thread.join(20)
    assert seen == [list(range(1, total + 1))] * readers


def test_readers_without_a_cursor_share_the_events(log):
    """Each event goes to exactly one of the readers."""
    seen = []
    lock = threading.Lock()

    def follow():
        events = []
        while events or not log.closed:
            events = log.read(None, 0.01)
            with lock:
                seen.extend(seqs(events))

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        log.append(lifecycle(log))
    log.close()
    for thread in threads:
        thread.join(20)
    seen += seqs(log.read(None, 0.0))  # the events between their last read and the end
    assert sorted(seen) == list(range(1, 201))


def test_a_listener_hears_of_every_change_until_it_stops(log):
    """The listener is called for events and for the end; others continue when one stops."""
    heard = []
    stop = log.listen(lambda: heard.append("one"))
    log.listen(lambda: heard.append("two"))
    log.append(lifecycle(log))
    stop()
    log.append(lifecycle(log))
    log.close()
    assert heard == ["one", "two", "two", "two"]


def test_who_waits_is_woken_for_what_was_waited_for(log, monkeypatch):
    """A reader that wakes takes the interpreter from the supervisor, so it must have a reason."""
    woken = []
    wait = log._came.wait

    def counted(timeout=None):
        came = wait(timeout)
        woken.append(len(log._events))
        return came

    monkeypatch.setattr(log._came, "wait", counted)
    reader = threading.Thread(target=lambda: log.read(3, None))
    ending = threading.Thread(target=lambda: log.wait_closed(None))
    reader.start()
    ending.start()
    while len(log._came._waiters) + len(log._over._waiters) < 2:
        time.sleep(0.001)
    for _ in range(3):
        log.append(lifecycle(log))
    assert log._came._waiters
    log.append(lifecycle(log))
    reader.join(10)
    assert woken == [4]
    log.append(lifecycle(log))
    assert log._over._waiters
    log.close()
    ending.join(10)
    assert not ending.is_alive()


def test_two_readers_get_what_each_waits_for(log):
    """A reader that waits for less does not make another reader miss the later events."""
    got = {}

    def read(after):
        got[after] = seqs(log.read(after, None))

    readers = [threading.Thread(target=read, args=(after,)) for after in (0, 2)]
    for reader in readers:
        reader.start()
    while len(log._came._waiters) < 2:
        time.sleep(0.001)
    log.append(lifecycle(log))
    readers[0].join(10)
    for _ in range(2):
        log.append(lifecycle(log))
    readers[1].join(10)
    assert got == {0: [1], 2: [3]}
