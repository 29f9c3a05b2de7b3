"""Enqueueing: an accepted run is in the store, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from store_runs import CHAIN, JOB, everything

from engine import PlanError, RunOptions
from jobcell.store import (
    RunConflictError,
    UnknownRunError,
    UnknownScheduleError,
    merge_options,
    runs,
    workflow_status,
)

pytestmark = pytest.mark.slow  # its first test starts a PostgreSQL server


def queued(store, run_id):
    """Return the row of DBOS for a run."""
    with store.database.read() as connection:
        query = sa.select(workflow_status).where(workflow_status.c.workflow_uuid == run_id)
        return connection.execute(query).first()


def test_an_enqueued_run_waits_in_the_store_and_in_the_queue(store):
    """A worker finds all of it by its id."""
    run = store.enqueue(CHAIN, {"n": 1}, id="waits", tenant="acme", priority=5)

    assert run.id == "waits"
    assert not run.done
    assert run.poll() == []
    with store.database.read() as connection:
        stored = store.reader.stored(connection, "waits")
    assert stored.plan.id == "waits"
    assert [step.id for step in stored.plan.workflow.steps] == ["a", "b", "c"]
    assert (stored.state, stored.tenant, stored.priority) == ({"n": 1}, "acme", 5)
    row = queued(store, "waits")
    assert (row.status, row.queue_name, row.queue_partition_key) == ("ENQUEUED", "jobcell", "acme")


def test_without_an_id_the_run_has_that_of_its_plan_or_a_new_one(store):
    """As in an engine."""
    assert store.enqueue({**CHAIN, "id": "of-the-plan"}).id == "of-the-plan"
    assert store.enqueue({**CHAIN, "id": "of-the-plan"}, id="of-the-call").id == "of-the-call"
    assert store.enqueue(JOB).id != store.enqueue(JOB).id


def test_the_same_id_again_is_the_same_run(store):
    """A client that does not know whether its call came through repeats it."""
    first = store.enqueue(CHAIN, {"n": 1}, id="twice")
    again = store.enqueue(CHAIN, {"n": 1}, id="twice", priority=7)

    assert first.id == again.id
    assert len([run for run in store.runs() if run.id == "twice"]) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": {"n": 2}}, "another plan or another state"),
        ({"plan": JOB}, "another plan or another state"),
        ({"tenant": "other"}, "of tenant 'default'"),
    ],
    ids=["state", "plan", "tenant"],
)
def test_the_same_id_with_something_else_is_a_conflict(store, changes, words):
    """The first run stays, and the error quotes the id."""
    store.enqueue(CHAIN, {"n": 1}, id="conflict")
    arguments = {"plan": CHAIN, "state": {"n": 1}} | changes

    with pytest.raises(RunConflictError, match=words) as caught:
        store.enqueue(arguments.pop("plan"), arguments.pop("state"), id="conflict", **arguments)
    assert "'conflict'" in str(caught.value)


def test_a_wrong_plan_is_refused_with_all_its_problems_before_anything_is_stored(store):
    """The check is that of an engine."""
    before = len(store.runs())
    with pytest.raises(PlanError) as caught:
        store.enqueue({"workflow": {"steps": [{"id": "a", "next": "z"}, {"id": "a"}]}})

    assert len(caught.value.problems) == 2
    assert len(store.runs()) == before


def test_a_state_that_cannot_be_carried_is_a_plan_error(store):
    """The error has the path, as in an engine."""
    with pytest.raises(PlanError, match=r"state\.data\.f: cannot carry a function"):
        store.enqueue(JOB, {"data": {"f": print}})


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"id": ""}, ValueError, "id must not be empty"),
        ({"id": 7}, TypeError, "id must be text, not int"),
        ({"id": "a\nb"}, ValueError, r"'a\\nb'"),
        ({"id": "x" * 301}, ValueError, "300 characters"),
        ({"tenant": None}, TypeError, "tenant must be text"),
        ({"tenant": " "}, ValueError, "tenant must not be empty"),
        ({"priority": "high"}, TypeError, "priority must be an int, not 'high'"),
        ({"priority": 2**31}, ValueError, "priority must be from"),
        ({"not_before": datetime(2026, 1, 1)}, ValueError, "time zone"),  # noqa: DTZ001
        ({"not_before": "tomorrow"}, TypeError, "not 'tomorrow'"),
        ({"not_before": 1e13}, ValueError, "Unix seconds"),
        ({"options": {"timeout_s": 1}}, TypeError, "RunOptions, not dict"),
        ({"connection": object()}, TypeError, "connection must be a psycopg.Connection"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(store, arguments, error, words):
    """Nothing is stored."""
    before = len(store.runs())
    with pytest.raises(error, match=words):
        store.enqueue(JOB, **arguments)
    assert len(store.runs()) == before


def test_lower_priorities_come_first_and_equal_ones_in_their_order(store):
    """The queue sorts by priority and then by time; negative priorities count as well."""
    given = [("p1", 1), ("p0a", 0), ("pm", -3), ("p0b", 0), ("p0c", 0)]
    with store.database.engine.begin() as connection:  # one transaction has one time
        for run_id, priority in given:
            store.enqueue(JOB, id=run_id, priority=priority, connection=connection)
    with store.database.read() as connection:
        query = sa.select(workflow_status.c.workflow_uuid).where(
            workflow_status.c.workflow_uuid.in_([run_id for run_id, _ in given])
        )
        order = sa.text("priority, created_at")
        found = list(connection.execute(query.order_by(order)).scalars())

    assert found == ["pm", "p0a", "p0b", "p0c", "p1"]


def test_a_run_with_a_later_start_is_delayed_and_one_with_an_earlier_start_is_not(store):
    """A time with a zone and Unix seconds mean the same."""
    later = datetime.now(UTC) + timedelta(hours=1)
    store.enqueue(JOB, id="later", not_before=later)
    store.enqueue(JOB, id="later too", not_before=later.timestamp())
    store.enqueue(JOB, id="earlier", not_before=datetime.now(UTC) - timedelta(hours=1))

    assert [queued(store, run_id).status for run_id in ("later", "later too", "earlier")] == [
        "DELAYED",
        "DELAYED",
        "ENQUEUED",
    ]


CREDENTIALS = {
    "workflow.credentials": {"workflow": {"credentials": {"token": "hunter2secret"}}},
    "workflow.steps[0].configuration": {"step": {"configuration": {"password": "hunter2secret"}}},
    "workflow.steps[0].configuration (deep)": {
        "step": {"configuration": {"hosts": [{"key": "hunter2secret"}]}}
    },
    "workflow.steps[0].configuration (url)": {
        "step": {"configuration": {"url": "https://u:hunter2secret@example.org/"}}
    },
    "workflow.steps[0].configuration (id)": {
        "step": {"configuration": "postgresql://u:hunter2secret@example.org/db"}
    },
    "workflow.steps[0].state.configuration": {
        "step": {"state": {"configuration": {"token": "hunter2secret"}}}
    },
    "state.configuration": {"state": {"configuration": {"token": "hunter2secret"}}},
    "state.configuration (text)": {"state": {"configuration": "hunter2secret"}},
}


@pytest.mark.parametrize("place", CREDENTIALS)
def test_a_credential_in_a_plan_or_state_is_refused_and_not_stored(store, place):
    """The error names the place and the way out, and does not show the value."""
    given = CREDENTIALS[place]
    workflow = {
        "steps": [{"expression": JOB, **given.get("step", {})}],
        **given.get("workflow", {}),
    }
    with pytest.raises(PlanError) as caught:
        store.enqueue({"workflow": workflow}, given.get("state"))

    (problem,) = caught.value.problems
    assert problem.path == place.split(" ")[0]
    assert "write the id of a credential" in problem.message
    assert "hunter2secret" not in str(caught.value)
    assert b"hunter2secret" not in everything(store)


def test_ids_of_credentials_and_public_values_are_stored(store):
    """Nothing in them is a secret by the rules of redaction."""
    step = {"expression": JOB, "configuration": {"user": "somebody", "host": "example.org", "n": 1}}
    plan = {"workflow": {"credentials": "main-login", "steps": [step]}}
    run = store.enqueue(plan)
    with store.database.read() as connection:
        stored = store.reader.stored(connection, run.id)

    assert stored.plan.workflow.credentials == "main-login"
    assert stored.plan.workflow.steps[0].configuration["user"] == "somebody"


def test_options_of_a_client_tighten_limits_and_open_nothing(store):
    """Of two limits the smaller one holds; start and end are written into the plan."""
    options = RunOptions(timeout_s=5.0, memory_mb=900, log_level="error", start="b", end="b")
    run = store.enqueue(CHAIN, options=options)
    with store.database.read() as connection:
        stored = store.reader.stored(connection, run.id)
    merged = merge_options(RunOptions(timeout_s=60.0, memory_mb=100), stored.options)

    assert (merged.timeout_s, merged.memory_mb, merged.log_level) == (5.0, 100, "error")
    assert (stored.plan.options.start, stored.plan.options.end) == ("b", "b")
    unlimited = store.enqueue(JOB, options=RunOptions(timeout_s=None))
    with store.database.read() as connection:
        stored = store.reader.stored(connection, unlimited.id)
    assert merge_options(RunOptions(timeout_s=60.0), stored.options).timeout_s == 60.0


@pytest.mark.parametrize("name", ["permissions", "whitelist", "modules", "public_credential_keys"])
def test_an_option_that_opens_something_is_refused(store, name):
    """A client of the store must not widen what a worker allows."""
    from engine import ModuleRef, Permissions

    values = {
        "permissions": Permissions(net=["*"]),
        "whitelist": (".*",),
        "modules": {"x": ModuleRef(path="/tmp/x")},
        "public_credential_keys": ("password",),
    }
    with pytest.raises(PlanError, match=f"options.{name}: belongs to the worker"):
        store.enqueue(JOB, options=RunOptions(**{name: values[name]}))


def test_a_plan_of_many_runs_is_stored_once(fresh):
    """Contents have their hash as a name."""
    for number in range(5):
        fresh.enqueue(CHAIN, {"n": number % 2})
    with fresh.database.read() as connection:
        keys = connection.execute(sa.select(runs.c.plan, runs.c.state)).all()

    assert len({key.plan for key in keys}) == 1
    assert len({key.state for key in keys}) == 2


@pytest.mark.parametrize("run_id", ["nobody", "a\0b", "\ud800", "x" * 10_240, "", "\u202ex"])
def test_an_id_that_no_run_has_is_unknown_to_each_call(store, run_id):
    """Neither database takes all characters.  The error shows the beginning of a long id."""
    for call in (store.run, store.info, store.plan, store.retry, lambda i: store.runs(before=i)):
        with pytest.raises(UnknownRunError, match="the store has no run") as caught:
            call(run_id)
        assert len(str(caught.value)) < 400


def test_an_id_that_is_not_text_is_a_type_error_of_each_call(store):
    """PostgreSQL would not compare it with text."""
    for call in (store.run, store.info, store.plan, store.retry, lambda i: store.runs(before=i)):
        with pytest.raises(TypeError, match="id must be text, not int"):
            call(5)


@pytest.mark.parametrize("name", ["nobody", "a\0b", "\ud800", "x" * 10_240, "", "a b"])
def test_a_name_that_no_schedule_has_is_unknown(store, name):
    """As an id of a run."""
    for call in (store.schedules.get, store.schedules.remove):
        with pytest.raises(UnknownScheduleError, match="the store has no schedule"):
            call(name)


@pytest.mark.parametrize("after", [2**31 - 1, 2**31, 2**40, 2**63, 2**70])
def test_a_number_beyond_all_events_has_no_events_after_it(store, after):
    """A database has a largest number, and the numbers of events stay below it."""
    assert store.enqueue(JOB).poll(after=after) == []
