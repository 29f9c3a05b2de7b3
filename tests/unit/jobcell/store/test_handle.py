"""A handle of a store gives what a handle of an engine gives."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading

import msgspec
import pytest
from store_runs import CHAIN, JOB, carry_out, end, write_events

import engine
from jobcell.store import Store, StoreError, StoreRun, UnknownRunError

pytestmark = pytest.mark.slow  # each test has a store of its own

UNLIKE = {"usage", "duration_ms", "confinement"}


def test_it_has_the_methods_of_a_run_of_an_engine_with_the_same_parameters():
    """A program changes one line, and the rest of it stays."""
    for name in ("poll", "result", "cancel", "__aiter__", "__await__"):
        ours = inspect.signature(getattr(StoreRun, name))
        theirs = inspect.signature(getattr(engine.Run, name))
        assert list(ours.parameters.values()) == list(theirs.parameters.values())
        assert ours.return_annotation == theirs.return_annotation
    assert isinstance(StoreRun.id, property)
    assert isinstance(StoreRun.done, property)


@pytest.mark.slow
def test_events_and_result_come_back_as_the_engine_has_given_them(store, eng):
    """All of them, equal, from another store object as well."""
    state = {"n": 1, "big": 2**80, "raw": b"\x00\xff", 7: "seven"}
    plan = {
        "meta": {"by": "a test", "deep": [{"x": 2**70}]},
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(s):\n    print('hello')\n    return s\n",
                    "next": "b",
                },
                {"id": "b", "expression": "def main(s):\n    raise ValueError(['x', s['n']])\n"},
            ]
        },
    }
    with pytest.warns(engine.PlanWarning, match="'meta'") as warned:
        run = store.enqueue(plan, state)
    assert warned[0].filename == __file__
    expected = carry_out(store, eng, run.id)

    assert run.done
    assert run.result() == expected
    assert expected.reason == "fail"
    events = run.poll(after=0)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[0].meta == plan["meta"]
    complete = next(event for event in events if event.type == "job-complete")
    assert complete.state == {**state, "data": {}}
    with Store.open(
        str(store.database.url.render_as_string(hide_password=False)).replace("+psycopg", "")
    ) as other:
        assert other.run(run.id).poll(after=0) == events
        assert other.run(run.id).result() == expected


@pytest.mark.slow
def test_a_large_state_is_stored_once_for_the_event_the_record_and_the_result(fresh, eng):
    """A megabyte in three places takes less than a megabyte in the store."""
    import sqlalchemy as sa

    from jobcell.store import blobs, events

    rows = [{"number": number, "text": "row" * 10} for number in range(20_000)]
    run = fresh.enqueue(JOB, {"data": rows})
    result = carry_out(fresh, eng, run.id)

    assert result.state["data"] == rows
    assert run.result().state == result.state
    assert run.poll(after=0)[-1].state == result.state
    with fresh.database.read() as connection:
        kept = connection.execute(sa.select(blobs).where(blobs.c.size > 64_000)).all()
        bodies = connection.execute(sa.select(events.c.body, events.c.state)).all()
    assert len(kept) == 1
    assert len(kept[0].body) < kept[0].size / 5
    assert {row.state for row in bodies if row.state} == {kept[0].key}
    assert sum(len(row.body) for row in bodies) < 20_000


def test_poll_without_a_number_gives_each_event_once(store, eng):
    """The handle remembers what it has given; a number starts anywhere."""
    run = store.enqueue(JOB)
    events = engine_events(eng, run.id)
    write_events(store, run.id, events[:3])
    assert [event.seq for event in run.poll()] == [1, 2, 3]
    assert run.poll() == []
    assert [event.seq for event in run.poll(after=1)] == [2, 3]
    write_events(store, run.id, events[3:])
    assert [event.seq for event in run.poll()] == list(range(4, len(events) + 1))
    assert store.run(run.id).poll()[0].seq == 1


def engine_events(eng, run_id, plan=JOB):
    run = eng.execute({**plan, "id": run_id} if isinstance(plan, dict) else plan)
    run.result(30)
    return [msgspec.structs.replace(event, run_id=run_id) for event in run.poll(after=0)]


def test_poll_waits_for_an_event_that_another_process_writes(store, eng):
    """It returns when the event is there, long before its time is up."""
    run = store.enqueue(JOB)
    events = engine_events(eng, run.id)
    got = []
    thread = threading.Thread(target=lambda: got.extend(run.poll(after=0, timeout_s=60)))
    thread.start()
    write_events(store, run.id, events[:1])
    thread.join(30)

    assert [event.seq for event in got] == [1]


def test_result_waits_and_gives_up_with_the_error_of_an_engine(store):
    """The run goes on."""
    run = store.enqueue(JOB)
    with pytest.raises(TimeoutError, match=f"run {run.id} is not over after 0.05 s; it goes on"):
        run.result(timeout_s=0.05)
    assert run.poll(timeout_s=0.05) == []


@pytest.mark.parametrize("wrong", [-1, True, "1", 1.0])
def test_a_number_of_an_event_is_checked_as_in_an_engine(store, wrong):
    """The text is the same, too."""
    run = store.enqueue(JOB, id="checked")
    with pytest.raises(ValueError, match="after must be the seq of an event, 0 or None"):
        run.poll(after=wrong)


@pytest.mark.parametrize("wrong", [math.nan, True, "1"])
def test_a_time_is_checked_as_in_an_engine(store, wrong):
    """The text is the same, too."""
    run = store.enqueue(JOB, id="checked")
    for call in (lambda: run.poll(timeout_s=wrong), lambda: run.result(wrong)):
        with pytest.raises(ValueError, match="timeout_s must be a number of seconds or None"):
            call()


def test_a_run_that_waits_is_cancelled_at_once_as_in_an_engine(store, eng):
    """Its event and its result are those of a run that is cancelled in an engine's queue."""
    run = store.enqueue(JOB, id="cancelled in the queue")
    run.cancel("no more")

    assert run.done
    (event,) = run.poll()
    assert (event.type, event.seq, event.error.name) == ("workflow-error", 1, "Cancelled")
    assert event.error.message == "the run was cancelled: no more"
    result = run.result()
    assert (result.reason, result.state, result.error) == ("cancelled", None, event.error)
    run.cancel("again")
    assert run.result() == result
    import sqlalchemy as sa

    from jobcell.store import workflow_status

    with store.database.read() as connection:
        query = sa.select(workflow_status.c.status).where(workflow_status.c.workflow_uuid == run.id)
        assert connection.execute(query).scalar_one() == "CANCELLED"


def test_the_first_reason_is_kept_for_the_worker_of_a_run_that_goes_on(store, eng):
    """The worker reads it within a heartbeat."""
    import sqlalchemy as sa

    from jobcell.store import runs

    run = store.enqueue(JOB)
    write_events(store, run.id, engine_events(eng, run.id)[:1])
    run.cancel("first")
    run.cancel("second")
    with store.database.read() as connection:
        row = connection.execute(sa.select(runs).where(runs.c.id == run.id)).one()

    assert (row.cancel, row.status) == ("first", "running")
    assert not run.done


@pytest.mark.parametrize("reason", ["", "a\0b", "\ud800", "x" * 10_000, "line\nline"])
def test_any_text_may_be_a_reason(store, eng, reason):
    """Text that a database does not take is escaped."""
    waiting, going = store.enqueue(JOB), store.enqueue(JOB)
    write_events(store, going.id, engine_events(eng, going.id)[:1])
    waiting.cancel(reason)
    going.cancel(reason)
    assert waiting.result().error.name == "Cancelled"


def test_a_reason_must_be_text(store):
    """As in an engine."""
    with pytest.raises(TypeError, match="reason must be a str, not int"):
        store.enqueue(JOB).cancel(7)


@pytest.mark.parametrize("run_id", ["nobody", "", "x" * 1000, "a\nb", "a\0b", "\ud800"])
def test_an_unknown_id_is_a_lookup_error_that_quotes_it(store, run_id):
    """An id that no run can have is unknown, too."""
    with pytest.raises(LookupError) as caught:
        store.run(run_id)
    assert repr(run_id[:300])[:-1] in str(caught.value)  # of a long id the beginning
    assert isinstance(caught.value, StoreError)


def test_awaiting_a_handle_gives_the_result_and_iterating_gives_all_events(store, eng):
    """Other tasks of the loop go on meanwhile."""
    run = store.enqueue(CHAIN, {"n": 1})
    ticks = []

    async def main():
        async def follow():
            return [event async for event in store.run(run.id)]

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        following = asyncio.create_task(follow())
        waiting = asyncio.ensure_future(wait())
        await asyncio.to_thread(carry_out, store, eng, run.id)
        events, result = await following, await waiting
        ticking.cancel()
        return events, result

    async def wait():
        return await run

    events, result = asyncio.run(main())

    assert result.state == {"n": 25}
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "workflow-complete"
    assert ticks


def test_many_tasks_wait_with_one_query_and_each_gets_its_own_result(fresh):
    """The number of looks does not grow with the number of tasks."""
    handles = [fresh.enqueue(JOB, id=f"run-{number}") for number in range(40)]
    looks = []
    standings = fresh.reader.standings
    fresh.reader.standings = lambda ids: looks.append(len(ids)) or standings(ids)

    async def main():
        waiting = [asyncio.ensure_future(_result(handle)) for handle in handles]
        gone = asyncio.ensure_future(_result(fresh.run("run-0")))
        while not looks or max(looks) < 40:  # noqa: ASYNC110 - another thread looks
            await asyncio.sleep(0.01)
        gone.cancel()
        for handle in handles:
            await asyncio.to_thread(handle.cancel, f"of {handle.id}")
        return await asyncio.gather(*waiting)

    results = asyncio.run(main())

    assert [result.error.message for result in results] == [
        f"the run was cancelled: of run-{number}" for number in range(40)
    ]
    assert asyncio.run(_result(fresh.run("run-7"))).reason == "cancelled"


async def _result(handle):
    return await handle


def _waits(store):
    return any(watcher._waiting for watcher in store._watchers.values())


def test_a_task_that_waits_learns_that_its_run_is_gone_or_its_store_closed(fresh):
    """It does not wait for ever."""
    run = fresh.enqueue(JOB)

    async def main():
        waiting = asyncio.ensure_future(_result(run))
        await asyncio.sleep(0)
        run.cancel()
        with fresh.database.write() as connection:
            connection.execute(runs.delete())
        with pytest.raises(UnknownRunError):
            await waiting
        other = fresh.enqueue(JOB)
        waiting = asyncio.ensure_future(_result(other))
        while not _waits(fresh):  # noqa: ASYNC110 - the watcher has no event for it
            await asyncio.sleep(0.01)
        fresh.close()
        with pytest.raises(StoreError, match="closed"):
            await waiting

    from jobcell.store import runs

    asyncio.run(main())


def test_a_handle_of_a_run_that_was_removed_says_so(store, eng):
    """Each method does."""
    run = store.enqueue(JOB)
    run.cancel()
    store.prune(0)
    for call in (run.poll, run.result, run.cancel, lambda: store.run(run.id).done):
        with pytest.raises(UnknownRunError, match=run.id):
            call()


def test_a_damaged_log_is_reported_and_not_guessed(fresh, eng):
    """The error names the event."""
    import sqlalchemy as sa

    from jobcell.store import StoreDamagedError
    from jobcell.store import events as table

    run = fresh.enqueue(JOB)
    events = engine_events(eng, run.id)
    write_events(fresh, run.id, events)
    end(fresh, run.id, eng.execute(JOB).result(30))
    with fresh.database.write() as connection:
        connection.execute(table.update().where(table.c.seq == 2).values(body=b"\x93\x01"))
        connection.execute(sa.text("update jobcell_runs set outcome = null"))
    with pytest.raises(StoreDamagedError, match=f"event 2 of {run.id}"):
        run.poll(after=0)
    with pytest.raises(StoreDamagedError, match="without a result"):
        run.result()
