"""Lists, counts, removal and repetition of the runs of a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from store_runs import CHAIN, JOB, Records, carry_out, end, write_events

from engine import PlanError
from jobcell.store import (
    RunNotOverError,
    UnknownRunError,
    blobs,
    events,
    records,
    runs,
    workers,
    workflow_status,
)

pytestmark = pytest.mark.slow  # each test has a store of its own


def age(store, run_id, seconds):
    """Move the last event of a run into the past."""
    with store.database.write() as connection:
        past = runs.c.last_event_ms - seconds * 1000
        connection.execute(runs.update().where(runs.c.id == run_id).values(last_event_ms=past))


def rows_of(store, table):
    with store.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_runs_are_listed_newest_first_and_by_state_and_tenant(fresh):
    """`done` is everything that is over, except `dead`."""
    for number in range(4):
        fresh.enqueue(JOB, id=f"r{number}", tenant="even" if number % 2 == 0 else "odd")
        with fresh.database.write() as connection:
            created = runs.update().where(runs.c.id == f"r{number}")
            connection.execute(created.values(created_ms=1000 * number))
    fresh.run("r0").cancel()
    end_of = fresh.run("r0").result()
    end(fresh, "r1", end_of, status="dead")

    assert [run.id for run in fresh.runs()] == ["r3", "r2", "r1", "r0"]
    assert [run.id for run in fresh.runs(limit=2)] == ["r3", "r2"]
    assert fresh.runs(limit=10**30) == fresh.runs()
    assert [run.id for run in fresh.runs(tenant="even")] == ["r2", "r0"]
    assert [run.id for run in fresh.runs(state="done")] == ["r0"]
    assert [run.id for run in fresh.runs(state="dead", tenant="odd")] == ["r1"]
    assert fresh.runs(state="running") == []
    assert fresh.runs(tenant="\ud800") == fresh.runs(tenant="a\0b") == []
    assert fresh.runs(state="done")[0].reason == "cancelled"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"state": "lost"}, "queued, running, done, dead, not 'lost'"), ({"limit": 0}, "not 0")],
)
def test_a_wrong_filter_is_named_with_its_value(store, arguments, words):
    """The error says what would be right."""
    with pytest.raises(ValueError, match=words):
        store.runs(**arguments)


def test_an_argument_of_another_type_is_named(store):
    """It is an error of the program, before anything is asked of the database."""
    with pytest.raises(TypeError, match=r"^tenant must be text, not int"):
        store.runs(tenant=5)
    with pytest.raises(TypeError, match=r"^id must be text, not int"):
        store.runs(before=5)
    with pytest.raises(TypeError, match=r"^from_step must be text, not int"):
        store.retry("one", 5)
    with pytest.raises(LookupError, match=r"'a\\x00b'"):
        store.runs(before="a\0b")


def test_the_status_counts_runs_by_tenant_and_says_how_long_the_oldest_waits(fresh):
    """A run that may not begin yet does not count as waiting."""
    later = datetime.now(UTC) + timedelta(hours=1)
    fresh.enqueue(JOB, id="later", not_before=later, tenant="a")
    assert fresh.status().oldest_queued_s is None
    fresh.enqueue(JOB, id="waits", tenant="a")
    fresh.enqueue(JOB, id="over", tenant="b").cancel()
    with fresh.database.write() as connection:
        waits = runs.update().where(runs.c.id == "waits")
        connection.execute(waits.values(created_ms=runs.c.created_ms - 60_000))
        for worker_id, seen in (("alive", 0), ("gone", 600_000)):
            row = {"id": worker_id, "host": "h", "pid": 1, "version": "1", "places": 8}
            row |= {"started_ms": 0, "seen_ms": fresh.database.now_ms - seen, "beats": 1}
            connection.execute(workers.insert().values(row))
    status = fresh.status()

    assert (status.queued, status.running, status.done, status.dead) == (2, 0, 1, 0)
    assert status.tenants["a"].queued == 2
    assert status.tenants["b"].done == 1
    assert 60 <= status.oldest_queued_s < 600
    assert [(worker.id, worker.alive) for worker in status.workers] == [
        ("alive", True),
        ("gone", False),
    ]


@pytest.mark.slow
def test_old_runs_are_removed_with_everything_that_belongs_to_them(fresh, eng):
    """Younger runs and runs that are not over stay."""
    big = {"n": 1, "rows": ["row"] * 30_000}
    for run_id in ("old", "young", "waits"):
        fresh.enqueue(CHAIN, {**big, "id": run_id}, id=run_id)
    for run_id in ("old", "young"):
        carry_out(fresh, eng, run_id)
    age(fresh, "old", 7200)
    age(fresh, "waits", 7200)
    before = rows_of(fresh, blobs)

    assert fresh.prune(timedelta(hours=1)) == 1
    assert sorted(run.id for run in fresh.runs()) == ["waits", "young"]
    assert rows_of(fresh, blobs) == before  # they were used just now
    with fresh.database.write() as connection:
        connection.execute(blobs.update().values(used_ms=blobs.c.used_ms - 3_600_000))
    assert fresh.prune(3600.0) == 0
    assert rows_of(fresh, blobs) < before
    assert fresh.run("young").result().state == {"n": 25}
    with fresh.database.read() as connection:
        assert fresh.reader.stored(connection, "waits").state["id"] == "waits"
        for table in (events, records):
            ids = set(connection.execute(sa.select(table.c.run_id)).scalars())
            assert ids == {"young"}
        found = connection.execute(sa.select(workflow_status.c.workflow_uuid)).scalars()
        assert set(found) == {"waits", "young"}
    with pytest.raises(UnknownRunError):
        fresh.run("old")
    assert fresh.enqueue(CHAIN, {"n": 1}, id="old").id == "old"


def test_a_run_whose_worker_has_not_told_the_queue_yet_stays(fresh):
    """Otherwise the queue would hold a run that is nowhere."""
    run = fresh.enqueue(JOB)
    run.cancel()
    with fresh.database.write() as connection:
        connection.execute(workflow_status.update().values(status="PENDING"))
    age(fresh, run.id, 10)

    assert fresh.prune(0) == 0
    assert fresh.run(run.id).done


def test_a_content_that_is_used_again_while_it_is_swept_stays(fresh):
    """An old content that a new run needs is marked before the sweep can remove it."""
    first = fresh.enqueue(CHAIN, {"n": 1})
    first.cancel()
    with fresh.database.write() as connection:
        connection.execute(blobs.update().values(used_ms=0))
    age(fresh, first.id, 10)
    second = fresh.enqueue(CHAIN, {"n": 1}, id="second")
    fresh.prune(0)
    with fresh.database.read() as connection:
        assert fresh.reader.stored(connection, second.id).state == {"n": 1}


@pytest.mark.parametrize("older", ["30", "d", "1w", "-1d", "", None, True, -1, float("nan")])
def test_an_age_that_is_none_is_refused(store, older):
    """Nothing is removed."""
    with pytest.raises((TypeError, ValueError), match=r"^older"):
        store.prune(older)


def test_an_age_may_be_written_as_in_the_command(fresh):
    """A number and a unit."""
    fresh.enqueue(JOB, id="over").cancel()
    age(fresh, "over", 7200)

    assert [fresh.prune(text) for text in ("1d", "3h", "121m", "7100s")] == [0, 0, 0, 1]


def test_a_run_that_is_not_over_is_not_repeated(store):
    """It would then run twice at once."""
    run = store.enqueue(JOB)
    with pytest.raises(RunNotOverError, match=f"run '{run.id}' is queued"):
        store.retry(run.id)
    with pytest.raises(UnknownRunError):
        store.retry("nobody")


@pytest.mark.slow
def test_a_repeated_run_has_the_plan_state_tenant_and_options_of_the_old_one(store, eng):
    """The old run keeps its end, and the new one begins from the beginning."""
    old = store.enqueue(CHAIN, {"n": 1}, tenant="acme", priority=4)
    expected = carry_out(store, eng, old.id)
    new = store.retry(old.id)

    assert new.id != old.id
    (info,) = (run for run in store.runs(tenant="acme") if run.id == new.id)
    assert (info.retry_of, info.priority, info.state) == (old.id, 4, "queued")
    assert carry_out(store, eng, new.id).state == expected.state
    assert new.poll(after=0)[0].replayed == 0
    assert old.result() == expected


@pytest.mark.slow
@pytest.mark.parametrize(("step", "replayed"), [("a", 0), ("b", 1), ("c", 2)])
def test_a_run_is_repeated_from_a_step_with_the_records_before_it(store, eng, step, replayed):
    """Only the rest runs, and the final state is the same."""
    old = store.enqueue(CHAIN, {"n": 1})
    expected = carry_out(store, eng, old.id)
    new = store.retry(old.id, step)
    result = carry_out(store, eng, new.id)

    assert result.state == expected.state == {"n": 25}
    log = new.poll(after=0)
    assert log[0].replayed == replayed
    started = [event.step_id for event in log if event.type == "job-start"]
    assert started == ["a", "b", "c"][replayed:]
    again = store.retry(new.id, "c")
    assert carry_out(store, eng, again.id).state == {"n": 25}


@pytest.mark.slow
def test_a_step_that_the_run_never_came_to_is_not_a_start(store, eng):
    """The error quotes the step and says what is missing."""
    plan = {
        "workflow": {
            "steps": [
                {"id": "a", "expression": JOB, "next": {"b": False, "c": True}},
                {"id": "b", "expression": JOB},
                {"id": "c", "expression": JOB},
            ]
        }
    }
    run = store.enqueue(plan)
    carry_out(store, eng, run.id)
    with pytest.raises(PlanError, match="no input for step 'b'"):
        store.retry(run.id, "b")
    with pytest.raises(PlanError, match="has no step 'zebra'; there are: 'a', 'b', 'c'"):
        store.retry(run.id, "zebra")


def test_a_run_that_died_in_its_second_step_is_repeated_from_there(store, eng):
    """The step has no record, but the first one leads to it."""
    run = store.enqueue(CHAIN, {"n": 1})
    journal = Records()
    made = eng.execute({**CHAIN, "id": run.id}, {"n": 1}, journal=journal)
    result = made.result(30)
    write_events(store, run.id, made.poll(after=0))
    from store_runs import write_records

    write_records(store, run.id, journal.new[:1])
    end(store, run.id, result)
    new = store.retry(run.id, "b")

    assert carry_out(store, eng, new.id).state == {"n": 25}
    assert new.poll(after=0)[0].replayed == 1
