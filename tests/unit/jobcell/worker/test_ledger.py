"""The transactions of workers, on both kinds of stores: claims, takeovers and runs that are given up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
import sqlalchemy as sa

from engine.api import StepRecord
from jobcell import Store
from jobcell.store import StoreRun
from jobcell.store.schema import runs, workflow_status
from jobcell.worker.append import Append, Last
from jobcell.worker.beginning import Begin, Begun
from jobcell.worker.ledger import Ledger
from jobcell.worker.pulse import Pulses
from jobcell.worker.takeover import MOST_LOST
from protocol.events import InitStart, JobStart

pytestmark = pytest.mark.slow  # each test has a store of its own

PLAN = {"workflow": {"steps": [{"id": "a", "expression": "fn(lambda state: state)"}]}}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store, of each kind."""
    with closing(Store.open(store_url)) as opened:
        yield opened


class Fake:
    """A worker without an engine and without DBOS."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self._store = store
        self.ledger = Ledger(store.database, store.blobs, store.contents, name)
        self.pulses = Pulses(store.database, name, 1)
        self.pulses.register()

    def claim(self, run: StoreRun) -> None:
        """Claim a run as DBOS does."""
        with self._store.database.write() as connection:
            claimed = connection.execute(
                workflow_status.update()
                .where(
                    workflow_status.c.workflow_uuid == run.id,
                    workflow_status.c.status == "ENQUEUED",
                )
                .values(status="PENDING", executor_id=self.name, owner_xid=f"token of {self.name}")
            )
            assert claimed.rowcount == 1

    def begin(self, run: StoreRun, reason: str = "") -> Begun | None:
        """Begin a run."""
        (answer,) = self.ledger.commit([Begin(run.id, reason)])
        assert answer is None or isinstance(answer, Begun)
        return answer

    def start_job(self, run: StoreRun, begun: Begun, attempt: int) -> bool:
        """Write the start of step ``a``."""
        fields = {"run_id": run.id, "time": 1.0, "step_id": "a", "step_run_id": "a"}
        first = InitStart(seq=begun.last_seq + 1, attempt=attempt, **fields)  # type: ignore[arg-type]
        second = JobStart(seq=begun.last_seq + 2, attempt=attempt, **fields)  # type: ignore[arg-type]
        events = tuple((e.seq, self._store.contents.pack_event(e)) for e in (first, second))
        (kept,) = self.ledger.commit([Append(run.id, begun.owner, second.seq, events)])
        return kept is True


def claim_state(store: Store, run: StoreRun) -> str:
    """Return the state that DBOS has for a run."""
    query = sa.select(workflow_status.c.status).where(workflow_status.c.workflow_uuid == run.id)
    with store.database.read() as connection:
        return str(connection.execute(query).scalar_one())


def test_a_run_that_takes_five_workers_with_it_is_given_up(store: Store) -> None:
    """Each death had a step in flight, and none recorded a step."""
    run = store.enqueue(PLAN)
    for number in range(MOST_LOST):
        worker = Fake(store, f"worker-{number}")
        worker.claim(run)
        begun = worker.begin(run)
        assert begun is not None
        assert begun.attempts == ({} if number == 0 else {"a": begun.attempts["a"]})
        assert begun.lost == number
        assert worker.start_job(run, begun, number + 1)
        worker.pulses.reap(worker.name, 1)
    last = Fake(store, "last")
    last.claim(run)
    assert last.begin(run) is None
    result = run.result(timeout_s=0)
    assert (result.reason, result.error.name) == ("exception", "PoisonRunError")  # type: ignore[union-attr]
    events = run.poll(after=0)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events].count("job-error") == MOST_LOST
    assert events[-1].type == "workflow-error"
    with store.database.read() as connection:
        row = connection.execute(sa.select(runs).where(runs.c.id == run.id)).one()
    assert (row.status, row.takeovers) == ("dead", MOST_LOST)
    assert claim_state(store, run) == "SUCCESS"


def test_a_worker_that_was_taken_for_dead_writes_nothing(store: Store) -> None:
    """Its claim has another token, or none."""
    run = store.enqueue(PLAN)
    old, new = Fake(store, "old"), Fake(store, "new")
    old.claim(run)
    begun = old.begin(run)
    assert begun is not None
    assert new.pulses.reap("old", 1) == 1
    assert not old.start_job(run, begun, 1)
    new.claim(run)
    assert not old.start_job(run, begun, 1)
    again = new.begin(run)
    assert again is not None
    assert again.taken_over
    assert new.start_job(run, again, 1)
    assert [event.type for event in run.poll(after=0)] == ["init-start", "job-start"]


def test_only_one_worker_takes_the_runs_of_a_dead_one(store: Store) -> None:
    """A second reaper finds nothing, and does not take a run that was claimed meanwhile."""
    run = store.enqueue(PLAN)
    dead, first, second = (Fake(store, name) for name in ("dead", "first", "second"))
    dead.claim(run)
    assert first.pulses.reap("dead", 1) == 1
    first.claim(run)
    assert second.pulses.reap("dead", 1) == 0
    assert first.begin(run) is not None


def test_a_worker_that_beats_again_is_not_reaped(store: Store) -> None:
    """Its number of beats has changed since it was found dead."""
    run = store.enqueue(PLAN)
    slow, other = Fake(store, "slow"), Fake(store, "other")
    slow.claim(run)
    assert slow.pulses.beat(draining=False).claims == {run.id: "token of slow"}
    assert other.pulses.reap("slow", 1) == 0
    assert slow.begin(run) is not None


def test_a_worker_that_was_reaped_knows_it_at_its_next_beat(store: Store) -> None:
    """It makes itself known again with a higher number of beats, so an old decision does not hit it."""
    slow, other = Fake(store, "slow"), Fake(store, "other")
    other.pulses.reap("slow", 1)
    assert not slow.pulses.beat(draining=False).is_known
    slow.pulses.register()
    run = store.enqueue(PLAN)
    slow.claim(run)
    assert other.pulses.reap("slow", 1) == 0
    assert other.pulses.beat(draining=False).others == {"slow": 3}


def test_claims_of_a_worker_that_is_not_known_are_found(store: Store) -> None:
    """It was reaped while it claimed."""
    run = store.enqueue(PLAN)
    lost, other = Fake(store, "lost"), Fake(store, "other")
    other.pulses.reap("lost", 1)
    lost.claim(run)
    others = other.pulses.beat(draining=False).others
    assert other.pulses.reap("lost", others["lost"]) == 1
    assert claim_state(store, run) == "ENQUEUED"


def test_a_beginning_may_be_repeated(store: Store) -> None:
    """The answer to the first transaction may be lost with the connection."""
    run = store.enqueue(PLAN)
    worker = Fake(store, "w")
    worker.claim(run)
    first, second = worker.begin(run), worker.begin(run)
    assert first is not None
    assert second is not None
    assert (second.taken_over, second.last_seq) == (False, 0)


def test_a_write_from_before_a_second_beginning_is_refused(store: Store) -> None:
    """It was on its way when the connection broke, and comes to the server after the worker has begun again."""
    run = store.enqueue(PLAN)
    worker = Fake(store, "w")
    worker.claim(run)
    before = worker.begin(run)
    assert before is not None
    again = worker.begin(run, reason="the store was away")
    assert again is not None
    assert not worker.start_job(run, before, 1)
    assert run.poll(after=0) == []
    assert worker.start_job(run, again, 1)
    assert [event.type for event in run.poll(after=0)] == ["init-start", "job-start"]
    assert worker.pulses.beat(draining=False).claims == {run.id: again.owner}


def test_a_part_that_is_refused_does_not_hold_up_the_others(store: Store) -> None:
    """Both are in one transaction."""
    first, second = store.enqueue(PLAN), store.enqueue(PLAN)
    worker = Fake(store, "w")
    ends = []
    for run in (first, second):
        worker.claim(run)
        begun = worker.begin(run)
        assert begun is not None
        ends.append(Append(run.id, begun.owner, 0, last=Last("success", b"")))
    assert Fake(store, "other").pulses.reap("w", 1) == 2
    worker.claim(second)
    assert worker.ledger.commit(ends) == [False, True]
    assert claim_state(store, first) == "ENQUEUED"
    assert claim_state(store, second) == "SUCCESS"


def test_rows_of_a_part_are_in_the_store(store: Store) -> None:
    """Events, records and contents come back as they were written, in whatever way that was."""
    run = store.enqueue(PLAN)
    worker = Fake(store, "w")
    worker.claim(run)
    begun = worker.begin(run)
    assert begun is not None
    states = [b"\x81\xa4data\x01", msgspec.msgpack.encode({"data": "x" * 3_000})]
    states.append(msgspec.msgpack.encode({"data": "y" * 100_000}))
    for number, state in enumerate(states, start=1):
        record = StepRecord(f"a-{number}", "a", 1, "success", state)
        packed = store.contents.pack_record(run.id, number, record)
        part = Append(run.id, begun.owner, 0, records=((number, record, packed),))
        assert worker.ledger.commit([part]) == [True]
        assert worker.ledger.commit([part]) == [True]
    again = worker.begin(run, reason="once more")
    assert again is not None
    assert [bytes(record.state) for record in again.records] == states
    assert [record.step_run_id for record in again.records] == ["a-1", "a-2", "a-3"]


def test_an_end_may_be_repeated(store: Store) -> None:
    """The second transaction finds that the run is over, and that this worker has ended it."""
    run = store.enqueue(PLAN)
    worker = Fake(store, "w")
    worker.claim(run)
    begun = worker.begin(run)
    assert begun is not None
    end = Append(run.id, begun.owner, 0, last=Last("success", b""))
    assert worker.ledger.commit([end]) == [True]
    assert worker.ledger.commit([end]) == [True]
    foreign = Append(run.id, "token of another", 0, last=Last("success", b""))
    assert worker.ledger.commit([foreign]) == [False]


def test_a_run_that_was_cancelled_after_its_claim_is_not_begun(store: Store) -> None:
    """Its claim is closed, so that nobody claims it again."""
    run = store.enqueue(PLAN)
    worker = Fake(store, "w")
    worker.claim(run)
    run.cancel("too late")
    assert worker.begin(run) is None
    assert claim_state(store, run) == "SUCCESS"
    assert run.result(timeout_s=0).reason == "cancelled"


def test_a_run_that_is_given_back_before_it_began_waits_again(store: Store) -> None:
    """It is not a takeover when another worker begins it."""
    run = store.enqueue(PLAN)
    worker, other = Fake(store, "w"), Fake(store, "other")
    worker.claim(run)
    begun = worker.begin(run)
    assert begun is not None
    assert worker.pulses.hand_back({run.id: begun.owner}) == 1
    other.claim(run)
    again = other.begin(run)
    assert again is not None
    assert not again.taken_over


def test_a_run_that_is_given_back_in_flight_is_not_a_lost_one(store: Store) -> None:
    """The worker was stopped in order."""
    run = store.enqueue(PLAN)
    worker, other = Fake(store, "w"), Fake(store, "other")
    worker.claim(run)
    begun = worker.begin(run)
    assert begun is not None
    worker.start_job(run, begun, 1)
    assert worker.pulses.hand_back_all() == 1
    other.claim(run)
    again = other.begin(run)
    assert again is not None
    assert (again.taken_over, again.lost, again.last_seq) == (True, 0, 3)
    assert run.poll(after=2)[0].error.message.startswith("the worker was stopped")  # type: ignore[union-attr]
