"""Journals that keep events as well, as a store does, with real children."""

from __future__ import annotations

from concurrent.futures import Future

import msgspec
import pytest
from runs import finish, make_engine

from engine import Attempts, Policy, Resolvers, Run
from engine.reporting import (
    cancelled_report,
    decode_event,
    decode_result,
    encode_event,
    encode_result,
    end_unstarted,
    raw_events,
)

SECRET = "correct-horse-battery-staple"
PLAN = {
    "id": "order-17",
    "workflow": {
        "steps": [
            {
                "id": name,
                "expression": f"def main(state):\n    state['data'].append('{name}')\n    return state",
                "next": following,
                "configuration": "login" if name == "b" else None,
                "retry": {"attempts": 2, "delay": 0},
            }
            for name, following in (("a", "b"), ("b", "c"), ("c", {}))
        ]
    },
}


class Store:
    """Keeps records with the events before them, as one transaction would."""

    keeps_events = True

    def __init__(self, kept=(), attempts=None):
        self.kept = [*kept]
        self.made = attempts or {}
        self.run: Future[Run] = Future()
        """The handle; the first record may come before `execute` has returned it."""
        self.written = []
        """What one transaction after another has kept: the types of events, and the record."""
        self._after = 0

    def record(self, record):
        events = raw_events(self.run.result(60), self._after)
        self._after = events[-1].seq
        self.written.append(([event.type for event in events], record.step_run_id))
        self.kept.append(record)

    def records(self):
        return [*self.kept]

    def attempts(self):
        return self.made


@pytest.fixture(scope="module")
def shared():
    with make_engine(policy=Policy(language=False), max_runs=1) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def execute(shared, store, state=None):
    run = shared.execute(
        PLAN,
        {"data": []} if state is None else state,
        resolvers=Resolvers(credential=lambda _: {"password": SECRET}),
        journal=store,
    )
    store.run.set_result(run)
    events, result = finish(run), run.result()
    assert result.reason == "success", result.error
    return events, result


def test_the_end_of_each_step_is_in_the_log_when_its_record_is_kept(shared):
    """The edges and the next step come after it."""
    store = Store()
    execute(shared, store)
    assert [(types[-1], name) for types, name in store.written] == [
        ("job-complete", "a"),
        ("job-complete", "b"),
        ("job-complete", "c"),
    ]
    assert store.written[1][0][0] == "edge-resolved"


def test_a_resumed_run_goes_on_with_the_numbers_of_its_attempts(shared):
    """Events, records and the facts for adaptors have the same number."""
    store = Store()
    execute(shared, store)
    again = Store(store.kept[:1], {"a": Attempts(1), "b": Attempts(4, 1), "c": Attempts(2)})
    events, result = execute(shared, again)
    starts = [(e.step_run_id, e.attempt) for e in events if e.type == "job-start"]
    assert starts == [("b", 5), ("c", 3)]
    assert [record.attempt for record in again.kept] == [1, 5, 3]
    assert result.state["data"] == ["a", "b", "c"]


def test_a_record_with_a_secret_says_so_in_a_real_run(shared):
    """The secret is known once the credential was loaded; each later state that holds it is marked."""
    store = Store()
    events, _ = execute(shared, store, {"data": [SECRET]})
    assert [record.holds_secret for record in store.kept] == [False, True, True]
    assert SECRET not in repr(events[5:])


def test_events_and_the_result_of_a_run_come_back_from_their_bytes(shared):
    """The bytes are made of the events as the child has encoded them."""
    store = Store()
    events, result = execute(shared, store)
    raw = raw_events(store.run.result(), 0)
    assert isinstance(raw[-1].state, msgspec.Raw)
    assert [decode_event(encode_event(event)) for event in raw] == events
    assert decode_result(encode_result(result)) == result


def test_a_run_that_is_cancelled_in_the_queue_ends_as_the_store_ends_it(shared):
    """A store writes the same event and the same result for a run that no engine has."""
    busy = {"workflow": {"steps": [{"id": "a", "expression": "import time\ntime.sleep(30)"}]}}
    first = shared.execute(busy)
    queued = shared.execute(PLAN, {"data": []})
    queued.cancel("not needed")
    [event] = finish(queued)
    first.cancel()
    first.result(20)
    expected, result = end_unstarted(
        "order-17",
        cancelled_report("not needed"),
        seq=1,
        time_s=event.time,
        versions=queued.result().versions,
    )
    assert msgspec.structs.replace(event, duration_ms=0) == expected
    same = {"duration_ms": 0, "confinement": result.confinement}
    assert msgspec.structs.replace(queued.result(), **same) == result
