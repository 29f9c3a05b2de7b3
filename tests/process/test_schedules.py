"""A schedule makes one run for each tick, whatever the workers do; its rows are moved in time, not the clock."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from warm import run_warm

from engine import Engine
from jobcell.store import (
    ScheduleConflictError,
    Store,
    UnknownScheduleError,
    runs,
    schedules,
)
from jobcell.worker import Worker
from protocol.state import encode_state

PLAN = {"workflow": {"steps": [{"id": "a", "expression": "fn(lambda state: state)"}]}}
HOURLY = "0 * * * *"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store, of each kind."""
    with closing(Store.open(store_url)) as opened:
        yield opened


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the minute in which a worker may be late be longer, for a machine that is slow."""
    monkeypatch.setattr("jobcell.store.due.LATE_S", 300)


def change(store: Store, name: str, **values: Any) -> None:
    """Change the row of a schedule."""
    with store.database.write() as connection:
        connection.execute(schedules.update().where(schedules.c.name == name).values(**values))


def due(store: Store, name: str, *, days: int = 0, minutes: int = 0) -> datetime:
    """Move a daily schedule so that its last tick was some minutes ago; return this tick.

    Args:
        store: The store.
        name: Of the schedule.
        days: Ticks before that one that no worker has seen, either.
        minutes: The age of the last tick.

    """
    tick = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes)
    earliest = tick - timedelta(days=days)
    change(
        store,
        name,
        cron=f"{tick.minute} {tick.hour} * * *",
        looked_ms=milliseconds(earliest - timedelta(hours=1)),
        due_ms=milliseconds(earliest),
    )
    return tick


def milliseconds(moment: datetime) -> int:
    """Return a time as the store keeps it."""
    return round(moment.timestamp() * 1000)


def end(store: Store, run_id: str, state: Any, *, reason: str = "success") -> None:
    """End a run as a worker does, as far as schedules look."""
    with store.database.write() as connection:
        blob = store.blobs.name(encode_state(state))
        keys = store.blobs.write(connection, [blob])
        connection.execute(
            runs.update()
            .where(runs.c.id == run_id)
            .values(
                status="done",
                reason=reason,
                final_state=keys[blob.key],
                ended_ms=store.database.now_ms,
            )
        )


def state_of(store: Store, run_id: str) -> Any:
    """Return the state with which a run begins."""
    with store.database.read() as connection:
        return store.reader.stored(connection, run_id).state


def count(store: Store) -> int:
    """Return the number of runs in the store."""
    with store.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one()


def test_a_new_schedule_waits_for_its_first_tick(store: Store) -> None:
    """A tick from before the schedule was made is not missed."""
    made = store.schedules.add("nightly", PLAN, cron="0 9 * * *", tz="Europe/Berlin", tenant="acme")

    assert made.next > datetime.now(UTC)
    assert made.last is None is made.last_run
    assert store.schedules.list() == [made]
    assert store.schedules.run_due() == []


def test_a_due_tick_becomes_a_run_that_is_named_after_it(store: Store) -> None:
    """The id is the tick in UTC, and the run has all that the schedule says."""
    store.schedules.add("each", PLAN, cron="* * * * *", state={"n": 1}, tenant="acme", priority=-3)
    due(store, "each")

    [run_id] = store.schedules.run_due()

    assert re.fullmatch(r"each@\d{4}-\d\d-\d\dT\d\d:\d\dZ", run_id)
    with store.database.read() as connection:
        stored = store.reader.stored(connection, run_id)
        schedule = connection.execute(sa.select(runs.c.schedule)).scalar_one()
    assert (stored.state, stored.tenant, stored.priority) == ({"n": 1}, "acme", -3)
    assert schedule == "each"
    found = store.schedules.get("each")
    assert found.last_run == run_id
    assert found.next > datetime.now(UTC)
    assert store.schedules.run_due() == []


def test_many_workers_make_one_run_of_a_tick(store: Store, store_url: str) -> None:
    """All of them look at the same moment."""
    for number in range(3):
        store.schedules.add(f"s{number}", PLAN, cron="* * * * *")
        due(store, f"s{number}")
    made: list[str] = []
    gate = threading.Barrier(4)

    def work() -> None:
        with closing(Store.open(store_url)) as own:
            gate.wait()
            made.extend(own.schedules.run_due())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A worker passes over a schedule that another one holds, and that one may meet an error.
    made.extend(store.schedules.run_due())

    assert sorted(run_id.split("@")[0] for run_id in made) == ["s0", "s1", "s2"]
    assert count(store) == 3


@pytest.mark.parametrize(("missed", "expected"), [("run", 1), ("skip", 0)])
def test_ticks_that_no_worker_saw_run_once_or_not_at_all(
    store: Store, missed: Any, expected: int
) -> None:
    """After three days without workers, a daily job runs once, for its last tick, or waits for the next."""
    store.schedules.add("sync", PLAN, cron=HOURLY, missed=missed)
    tick = due(store, "sync", days=3, minutes=10)

    made = store.schedules.run_due()

    assert len(made) == expected == count(store)
    if made:
        assert made == [f"sync@{tick:%Y-%m-%dT%H:%MZ}"]
    assert store.schedules.run_due() == []
    assert store.schedules.get("sync").next == tick + timedelta(days=1)
    assert ("was missed" in str(store.schedules.get("sync").problem)) is (missed == "skip")


def test_a_tick_within_a_minute_is_not_missed(store: Store, patience: None) -> None:
    """A worker that looks some seconds late has not missed the tick."""
    store.schedules.add("each", PLAN, cron="* * * * *", missed="skip")
    due(store, "each")

    assert len(store.schedules.run_due()) == 1


def test_a_run_begins_with_the_final_state_of_the_last_one_that_succeeded(store: Store) -> None:
    """A failed run changes nothing, and the first run has the state of the schedule."""
    store.schedules.add("sync", PLAN, cron="* * * * *", state={"cursor": 0}, carry_state=True)
    begins = []
    for ending, cursor in [("success", 1), ("success", 2), ("fail", 3), ("success", 4)]:
        due(store, "sync")
        forget_last(store)
        [run_id] = store.schedules.run_due()
        begins.append(state_of(store, run_id)["cursor"])
        end(store, run_id, {"cursor": cursor}, reason=ending)

    assert begins == [0, 1, 2, 2]


def forget_last(store: Store) -> None:
    """Give the runs of this minute other ids, so that the minute has a tick again."""
    with store.database.write() as connection:
        number = connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one()
        connection.execute(runs.update().where(runs.c.id.like("%@%")).values(id=f"old-{number}"))
        connection.exec_driver_sql(
            "delete from " + ("" if store.database.is_sqlite else "dbos.") + "workflow_status"
        )


def test_a_tick_waits_until_the_run_before_it_is_over(store: Store, patience: None) -> None:
    """Otherwise both would begin with the same state, and do the same work."""
    store.schedules.add("sync", PLAN, cron="* * * * *", carry_state=True, missed="skip")
    due(store, "sync", minutes=1)
    [earlier] = store.schedules.run_due()
    forget_last(store)
    due(store, "sync")

    assert store.schedules.run_due() == []
    assert store.schedules.get("sync").last_run == earlier

    end(store, "old-1", {"cursor": 7})
    # It has waited for longer than workers may be late, but they have seen it.
    due(store, "sync", minutes=30)
    # The clock of the database may be a millisecond behind.
    change(store, "sync", due_ms=milliseconds(datetime.now(UTC) - timedelta(seconds=1)))
    [later] = store.schedules.run_due()

    assert state_of(store, later) == {"cursor": 7}


def test_a_pruned_run_leaves_the_state_that_it_carries(store: Store) -> None:
    """A monthly schedule goes on where it was, though its last run was pruned after a week."""
    store.schedules.add("sync", PLAN, cron="* * * * *", state={"cursor": 0}, carry_state=True)
    due(store, "sync")
    [run_id] = store.schedules.run_due()
    end(store, run_id, {"cursor": 9})
    forget_last(store)
    assert store.prune(0) == 1
    due(store, "sync")

    [run_id] = store.schedules.run_due()

    assert state_of(store, run_id) == {"cursor": 9}


def test_a_redacted_state_is_not_carried(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A store without a key keeps no secret, so the next run would begin with a word in place of a token."""
    store.schedules.add("sync", PLAN, cron="* * * * *", carry_state=True)
    due(store, "sync")
    [run_id] = store.schedules.run_due()
    end(store, run_id, {"cursor": "page=2&token=[redacted]"})
    forget_last(store)
    due(store, "sync")

    assert store.schedules.run_due() == []
    assert "JOBCELL_STORE_KEY" in store.schedules.get("sync").problem
    assert "has no run" in caplog.text


def test_a_run_with_the_id_of_a_tick_stays_and_the_schedule_goes_on(store: Store) -> None:
    """Somebody has enqueued another plan with this id; the next tick is not held up by it."""
    store.schedules.add("each", PLAN, cron="* * * * *")
    tick = due(store, "each")
    store.enqueue(PLAN, {"other": 1}, id=f"each@{tick:%Y-%m-%dT%H:%MZ}")

    assert store.schedules.run_due() == []

    found = store.schedules.get("each")
    assert "another id" in found.problem
    assert found.next > datetime.now(UTC)


def test_a_schedule_that_one_machine_cannot_read_stays_due_for_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A container without a database of time zones must not use up the ticks of the others, nor stop other schedules."""
    for name in ("bad", "good"):
        store.schedules.add(name, PLAN, cron="* * * * *")
        due(store, name)
    change(store, "bad", tz="Moon/Crater")

    made = [*store.schedules.run_due(), *store.schedules.run_due()]

    assert [run_id.split("@")[0] for run_id in made] == ["good"]
    assert caplog.text.count("Moon/Crater") == 1
    assert "Moon/Crater" in store.schedules.get("bad").problem
    change(store, "bad", tz="UTC")
    assert [run_id.split("@")[0] for run_id in store.schedules.run_due()] == ["bad"]


def test_the_same_schedule_again_changes_nothing(store: Store) -> None:
    """A script of a deployment may add its schedules each time."""
    made = store.schedules.add("each", PLAN, cron="0 9 * * *", state={"n": 1})
    tick = due(store, "each")
    before = store.schedules.get("each")

    cron = f" {tick.minute}  {tick.hour} * * *"
    assert store.schedules.add("each", PLAN, cron=cron, state={"n": 1}) == before
    assert before.created == made.created
    assert len(store.schedules.run_due()) == 1


def test_another_schedule_with_the_same_name_is_refused_or_replaces(store: Store) -> None:
    """The error names the difference; a replacement is asked for."""
    store.schedules.add("each", PLAN, cron="0 9 * * *")

    with pytest.raises(ScheduleConflictError, match="'each' with another cron, tenant"):
        store.schedules.add("each", PLAN, cron="0 10 * * *", tenant="acme")
    replaced = store.schedules.add("each", PLAN, cron="0 10 * * *", tenant="acme", replace=True)

    assert (replaced.cron, replaced.tenant) == ("0 10 * * *", "acme")
    assert store.schedules.list() == [replaced]


def test_a_removed_schedule_has_no_more_runs(store: Store) -> None:
    """Its runs stay."""
    store.schedules.add("each", PLAN, cron="* * * * *")
    due(store, "each")
    [run_id] = store.schedules.run_due()
    due(store, "each")

    store.schedules.remove("each")

    assert store.schedules.run_due() == [] == store.schedules.list()
    assert store.run(run_id).id == run_id
    with pytest.raises(UnknownScheduleError, match="no schedule 'each'; there are: none"):
        store.schedules.remove("each")
    with pytest.raises(LookupError, match="'nightly'"):
        store.schedules.get("nightly")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "must not be empty"),
        ("a@b", "must not have '@': 'a@b'; its runs are called NAME@2026-11-28T17:00Z"),
        ("a b", "must not have ' '"),
        ("a\nb", r"must not have '\\n'"),
        ("-x", "must not have '-' at its beginning"),
        ("x" * 201, "200 characters at most, not 201"),
        (5, "must be text, not int"),
        (None, "must be text, not NoneType"),
    ],
)
def test_a_name_that_cannot_begin_an_id_is_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, name: Any, message: str
) -> None:
    """The name is a part of the ids of the runs."""
    from jobcell.store.scheduling import check_name

    with pytest.raises((TypeError, ValueError), match=message):
        check_name(name)


def test_a_wrong_plan_is_refused_when_the_schedule_is_made(store: Store) -> None:
    """Not at the first tick, at night."""
    from engine import PlanError

    with pytest.raises(PlanError):
        store.schedules.add("each", {"workflow": {}}, cron=HOURLY)
    with pytest.raises(PlanError, match="keeps no credentials"):
        store.schedules.add(
            "each",
            PLAN,
            cron=HOURLY,
            state={"configuration": {"password": "correct horse battery"}},
        )
    with pytest.raises(ValueError, match="missed must be 'run' or 'skip', not 'maybe'"):
        store.schedules.add("each", PLAN, cron=HOURLY, missed="maybe")

    assert store.schedules.list() == []


COUNT = {
    "workflow": {
        "steps": [{"id": "a", "expression": "def main(state):\n    return {'n': state['n'] + 1}\n"}]
    }
}


def test_a_worker_makes_the_runs_and_carries_the_state_on(store: Store, zygote: Engine) -> None:
    """Nothing but a worker is needed: each tick counts on from the last."""
    store.schedules.add("sync", COUNT, cron=HOURLY, state={"n": 0}, carry_state=True)
    worker = Worker(store, zygote, max_runs=2)
    serving = threading.Thread(target=worker.serve)
    serving.start()
    try:
        counted = []
        for minutes in (6, 3):
            tick = due(store, "sync", minutes=minutes)
            wait_for_run(store, f"sync@{tick:%Y-%m-%dT%H:%MZ}")
            counted.append(store.run(f"sync@{tick:%Y-%m-%dT%H:%MZ}").result(timeout_s=30).state)
    finally:
        worker.stop()
        serving.join()

    assert counted == [{"n": 1}, {"n": 2}]


def wait_for_run(store: Store, run_id: str) -> None:
    """Return when the run exists."""
    deadline = time.monotonic() + 30
    while True:
        try:
            store.run(run_id)
        except LookupError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def test_the_commands_add_list_and_remove(made_file: Path, tmp_path: Path) -> None:
    """The names of the contract, and one line of error with exit code 2 for all that is wrong."""
    store_url = f"sqlite:///{shutil.copy(made_file, tmp_path)}"
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(COUNT))
    state = tmp_path / "state.json"
    state.write_text('{"n": 5}')

    def run(*arguments: str) -> tuple[int, str, str]:
        done = run_warm(
            None, "schedule", *arguments, env={**os.environ, "JOBCELL_STORE": store_url}
        )
        return done.returncode, done.stdout, done.stderr

    when = ["--cron", "0 * * * *", "--tz", "Europe/Berlin"]
    how = [
        "--state",
        str(state),
        "--carry-state",
        "--missed",
        "skip",
        "--tenant",
        "acme",
        "--priority",
        "2",
    ]
    added = run("add", "sync", *when, str(plan), *how)
    again = run("add", "sync", *when, str(plan), *how, "--json")
    listed = run("list", "--json")
    shown = run("list")
    wrong = [
        run("add", "sync", "--cron", "0 0 * * *", str(plan)),
        run("add", "two", "--cron", "0 25 * * *", str(plan)),
        run("add", "two", "--cron", "0 2 * * *", "--tz", "Berlin", str(plan)),
        run("add", "a@b", *when, str(plan)),
        run("add", "two", *when, str(tmp_path / "none.json")),
        run("remove", "two"),
    ]
    removed = run("remove", "sync")

    assert added[0] == again[0] == shown[0] == removed[0] == 0
    [found] = json.loads(listed[1])
    assert json.loads(again[1]) == found
    expected = {"name": "sync", "cron": "0 * * * *", "tz": "Europe/Berlin", "tenant": "acme"}
    expected |= {"priority": 2, "missed": "skip", "carry_state": True, "last_run": None}
    assert expected.items() <= found.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:00:00Z", found["next"])
    assert "sync" in shown[1]
    for code, out, err in wrong:
        assert (code, out) == (2, "")
        assert re.fullmatch(r"error: .+\n", err)
    assert run("list", "--json")[1] == "[]\n"


def test_a_part_of_a_plan_is_scheduled(made_file: Path, tmp_path: Path, zygote: Engine) -> None:
    """The runs begin and end with the steps that the command named; the plan itself does more."""
    store_url = f"sqlite:///{shutil.copy(made_file, tmp_path)}"
    steps = [
        {"id": name, "expression": f"def main(state): return {{'ran': [*state['ran'], '{name}']}}"}
        for name in ("load", "count", "send", "tell")
    ]
    for step, after in itertools.pairwise(steps):
        step["next"] = after["id"]
    (tmp_path / "plan.json").write_text(json.dumps({"workflow": {"steps": steps}}))
    (tmp_path / "state.json").write_text('{"ran": []}')
    when = ["--cron", "0 9 * * *", "--state", "state.json", "--store", store_url]

    def add(name: str, *arguments: str) -> Any:
        return run_warm(None, "schedule", "add", name, *when, *arguments, cwd=tmp_path)

    part = add("part", "plan.json", "--start", "coun", "--end", "send")
    whole = add("whole", "plan.json")
    none = add("none", "plan.json", "--start", "unload")
    lone = add("lone", "plan.json", "--adaptor", "common")

    assert (part.returncode, part.stderr) == (0, "--start: 'coun' is taken as 'count'\n")
    assert whole.returncode == 0
    assert (none.returncode, lone.returncode) == (2, 2)
    assert "--start: no step has the id or name 'unload'" in none.stderr
    assert "--adaptor is for a single job" in lone.stderr
    ran = {}
    with closing(Store.open(store_url)) as store:
        ticks = {name: due(store, name, minutes=2) for name in ("part", "whole")}
        worker = Worker(store, zygote, max_runs=1)
        serving = threading.Thread(target=worker.serve)
        serving.start()
        try:
            for name, tick in ticks.items():
                run_id = f"{name}@{tick:%Y-%m-%dT%H:%MZ}"
                wait_for_run(store, run_id)
                ran[name] = store.run(run_id).result(timeout_s=30).state["ran"]
        finally:
            worker.stop()
            serving.join()
    assert ran == {"part": ["count", "send"], "whole": ["load", "count", "send", "tell"]}


def test_the_commands_of_the_page_run(made_file: Path, tmp_path: Path) -> None:
    """docs/schedules.md shows what a user types."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
    examples = dict(re.findall(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", page, flags=re.DOTALL))
    (tmp_path / "plan.json").write_text(json.dumps(COUNT))
    (tmp_path / "state.json").write_text('{"n": 0}')
    shutil.copy(made_file, tmp_path / "s.db")
    env = {**os.environ, "JOBCELL_STORE": f"sqlite:///{tmp_path}/s.db"}

    done = [
        run_warm(None, *shlex.split(line.removeprefix("$ jobcell ")), cwd=tmp_path, env=env)
        for line in examples["schedules"].splitlines()
    ]

    assert [one.returncode for one in done] == [0, 0, 0, 0, 0], [one.stderr for one in done]
    listed = done[3].stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "nightly", "sync", "weekly"]
