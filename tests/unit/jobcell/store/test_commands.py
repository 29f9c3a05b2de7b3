"""The commands that work with the runs of a store, as a user calls them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import sqlalchemy as sa
from store_runs import CHAIN, JOB, carry_out, write_events
from warm import WarmProcess, run_warm

from engine import CollectionItem
from jobcell import cli
from jobcell.store import Store, list_collections
from jobcell.store.schema import SCHEMA_VERSION
from protocol.events import AnyEvent

pytestmark = pytest.mark.slow  # each test has a store of its own

PATIENCE_S = 60.0
COMMAND = [sys.executable, "-m", "jobcell"]
UNKNOWN = "error: the store has no run 'nobody'; it may have been pruned\n"


@pytest.fixture
def here(tmp_path):
    """A directory with a plan, a state and a store in SQLite."""
    (tmp_path / "plan.json").write_text(json.dumps(CHAIN))
    (tmp_path / "state.json").write_text('{"n": 1}')
    return tmp_path


class Done(NamedTuple):
    """The end of a command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module", autouse=True)
def read_once():
    """Typer reads the signatures of all commands in each call, which takes 30 ms."""
    from typer import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "get_command", cache(main.get_command))
        yield


@pytest.fixture
def jobcell(here, monkeypatch, capfd):
    """The command, with the store of this test.  A process of its own would import for a second."""
    monkeypatch.chdir(here)
    monkeypatch.setenv("JOBCELL_STORE", f"sqlite:///{here}/runs.db")
    monkeypatch.delenv("JOBCELL_STORE_KEY", raising=False)

    def call(*arguments, env=None):
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                cli.main([str(argument) for argument in arguments])
        return Done(ended.value.code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A store without runs, which tests copy."""
    file = tmp_path_factory.mktemp("made") / "runs.db"
    Store.open(file).close()
    return file


@pytest.fixture
def store(here, made):
    shutil.copy(made, here / "runs.db")
    with Store.open(here / "runs.db") as opened:
        yield opened


def test_enqueue_prints_the_id_and_the_same_id_again_is_the_same_run(jobcell, store):
    """A script may repeat it."""
    words = [
        "enqueue",
        "plan.json",
        "--state",
        "state.json",
        "--id",
        "order-17",
        "--tenant",
        "acme",
    ]
    first = jobcell(*words)
    again = jobcell(*words, "--json")

    assert (first.returncode, first.stdout, first.stderr) == (0, "order-17\n", "")
    assert (again.returncode, json.loads(again.stdout)) == (0, {"id": "order-17"})
    (run,) = store.runs()
    assert (run.id, run.tenant, run.state) == ("order-17", "acme", "queued")


@pytest.mark.slow
def test_enqueue_takes_a_job_a_state_from_standard_input_and_limits(here, store):
    """Its options are those of `jobcell run`, as far as a client decides on them."""
    (here / "job.py").write_text(JOB)
    done = run_warm(
        None,
        *["enqueue", "job.py", "--state", "-", "--priority", "-3", "--timeout", "5"],
        *["--not-before", "2099-12-01T08:00+01:00", "--store", f"sqlite:///{here}/runs.db"],
        stdin='{"data": 1}',
        cwd=here,
    )

    assert done.returncode == 0, done.stderr
    (run,) = store.runs()
    assert (run.id, run.priority, run.not_before) == (done.stdout.strip(), -3, 4099791600.0)
    with store.database.read() as connection:
        stored = store.reader.stored(connection, run.id)
    assert stored.state == {"data": 1}
    assert msgspec.msgpack.decode(stored.options) == {"timeout_s": 5.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enqueue", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["enqueue", "bad.json"], "bad.json: workflow.steps[0].next: no step has the id 'z'"),
        (["enqueue", "plan.json", "--id", ""], "--id: must not be empty"),
        (["enqueue", "plan.json", "--id", "a\x1b[31m"], r"--id: must not have characters that"),
        (["enqueue", "plan.json", "--tenant", " "], "--tenant: must not be empty"),
        (["enqueue", "plan.json", "--priority", "99999999999"], "--priority: must be from"),
        (["enqueue", "plan.json", "--not-before", "soon"], "--not-before: 'soon' is not a time"),
        (["enqueue", "plan.json", "--not-before", "2026-12-01"], "is not a time with a zone"),
        (["enqueue", "plan.json", "--timeout", "-1"], "--timeout: must be a finite number above 0"),
        (["enqueue", "plan.json", "--timeout", "1e300"], "--timeout: must be at most"),
        (["enqueue", "secret.json"], "workflow.steps[0].configuration: has the value of 'token'"),
        (["enqueue", "plan.json", "--store", "runs.db"], "write sqlite:///runs.db"),
        (["runs", "--store", "mysql://h/d"], "a store cannot be in 'mysql'"),
        (["runs", "--store", "sqlite:///plan.json"], "plan.json is not a database of SQLite"),
        (["events", "nobody"], UNKNOWN),
        (["result", "nobody"], UNKNOWN),
        (["cancel", "nobody"], UNKNOWN),
        (["retry", "nobody"], UNKNOWN),
        (["store", "prune", "--older", "30"], "--older: '30' is not an age"),
        (["store", "prune", "--older", "9999999999d"], "is not an age"),
        (["store", "status", "--store", "postgresql://h"], "names no database"),
    ],
)
def test_bad_input_is_one_line_and_the_code_2(jobcell, here, words, message):
    """The line names the option and the value, and nothing of it steers a terminal."""
    (here / "bad.json").write_text('{"workflow": {"steps": [{"id": "a", "next": "z"}]}}')
    step = {"expression": JOB, "configuration": {"token": "hunter2secret"}}
    (here / "secret.json").write_text(json.dumps({"workflow": {"steps": [step]}}))
    done = jobcell(*words)

    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2secret" not in done.stderr
    assert "\x1b" not in done.stderr


def test_another_run_with_the_same_id_and_a_newer_store_are_bad_input(jobcell, here, store):
    """Both have the code 2."""
    jobcell("enqueue", "plan.json", "--id", "one")
    conflict = jobcell("enqueue", "plan.json", "--id", "one", "--state", "state.json")
    with store.database.write() as connection:
        connection.execute(sa.text("update jobcell_meta set readable_from = 9"))
    newer = jobcell("runs")

    assert conflict.returncode == 2
    assert "the store has a run 'one' with another plan or another state" in conflict.stderr
    assert newer.returncode == 2
    assert "was made by a newer jobcell" in newer.stderr


def test_a_store_out_of_reach_is_the_code_5(jobcell):
    """The line has the address without the password."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://u:hunter2secret@127.0.0.1:{taken.getsockname()[1]}/db"
        done = jobcell("runs", "--store", url)

    assert done.returncode == 5, done.stderr
    assert done.stderr.startswith("error: the store postgresql://u:***@127.0.0.1:")
    assert "is out of reach" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hunter2secret" not in done.stderr


def test_a_user_without_rights_in_the_database_is_the_code_5_for_each_command(postgres):
    """For a worker too, the same error has the same code."""
    with postgres.database() as url:
        Store.open(url).close()
        postgres.sql("create role poor login")
        try:
            address = url.replace("jobcell@", "poor@")
            for command in ("runs", "worker"):
                done = run_warm(None, command, "--store", address)
                assert done.returncode == 5, done.stderr
                assert "does not let this user do that: permission denied" in done.stderr
        finally:
            postgres.sql("drop role poor")


@pytest.mark.parametrize("words", [("result", "--wait"), ("events", "--follow")], ids=" ".join)
def test_a_command_that_waits_also_waits_for_its_store(jobcell, postgres, words):
    """A restart of the server does not end a script that waits for its run, whenever it comes."""
    with postgres.database() as url:
        with Store.open(url) as store:
            store.enqueue({"workflow": {"steps": [{"expression": JOB}]}}, id="one").cancel()
        postgres.take_away()
        thread = threading.Thread(target=postgres.start_again)
        thread.start()
        try:
            done = jobcell(words[0], "one", words[1], "--store", url)
        finally:
            thread.join()

    assert done.returncode == (4 if words[0] == "result" else 0), done.stderr
    assert "out of reach" not in done.stderr


def test_a_key_is_asked_for_and_checked(jobcell, here):
    """The messages do not show it."""
    key = {"JOBCELL_STORE_KEY": "11" * 32}
    assert jobcell("enqueue", "plan.json", env=key).returncode == 0
    without = jobcell("runs")
    wrong = jobcell("runs", env={"JOBCELL_STORE_KEY": "22" * 32})
    no_key = jobcell("runs", env={"JOBCELL_STORE_KEY": "hunter2secret"})

    assert [done.returncode for done in (without, wrong, no_key)] == [2, 2, 2]
    assert "is encrypted; give its key in JOBCELL_STORE_KEY" in without.stderr
    assert "is not that of the store" in wrong.stderr
    assert "does not hold a key" in no_key.stderr
    assert "hunter2secret" not in no_key.stderr
    assert jobcell("runs", "--json", env=key).returncode == 0


def test_result_ends_as_run_would_and_with_6_before_the_end(jobcell, store, eng):
    """Its standard output is the final state, and JSON has reason, state and error."""
    good = store.enqueue(CHAIN, {"n": 1}, id="good")
    early = jobcell("result", "good")
    carry_out(store, eng, good.id)
    bad = store.enqueue("def main(state):\n    raise ValueError('no')\n", id="bad")
    carry_out(store, eng, bad.id)
    gone = store.enqueue(JOB, id="gone")
    gone.cancel("why not")

    assert (early.returncode, early.stdout) == (6, "")
    assert early.stderr == "run 'good' is not over yet; wait for it with --wait\n"
    done = jobcell("result", "good", "--wait")
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"n": 25}, "")
    failed = jobcell("result", "bad")
    assert failed.returncode == 1
    assert "ValueError" in failed.stderr
    assert json.loads(failed.stdout)["errors"]
    as_json = json.loads(jobcell("result", "bad", "--json").stdout)
    assert as_json["reason"] == "fail"
    assert as_json["error"]["name"] == "RuntimeError"
    cancelled = jobcell("result", "gone", "--json")
    assert cancelled.returncode == 4
    assert json.loads(cancelled.stdout)["reason"] == "cancelled"


def test_events_are_lines_for_people_or_json_and_end_with_the_run(jobcell, store, eng):
    """Each line of JSON is an event of the contract."""
    run = store.enqueue(CHAIN, {"n": 1}, id="told")
    carry_out(store, eng, run.id)
    lines = jobcell("events", "told", "--follow")
    as_json = jobcell("events", "told", "--json")
    rest = jobcell("events", "told", "--json", "--after", "3")

    assert lines.returncode == 0
    assert "[a] done in " in lines.stdout
    assert lines.stdout.splitlines()[-1].startswith("success after ")
    events = [msgspec.json.decode(line, type=AnyEvent) for line in as_json.stdout.splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "workflow-complete"
    assert len(rest.stdout.splitlines()) == len(events) - 3


@pytest.mark.slow
def test_following_shows_what_another_process_writes_and_ends_with_the_run(here, store, eng):
    """The command waits, and prints each event when it comes."""
    run = store.enqueue(JOB, id="followed")
    events = [msgspec.structs.replace(event, run_id=run.id) for event in _events_of(eng)]
    words = ["events", "followed", "--follow", "--json", "--store", f"sqlite:///{here}/runs.db"]
    with following(*words, errors=here / "errors") as (follow, lines):
        write_events(store, run.id, events[:2])
        assert json.loads(lines.readline())["seq"] == 1
        assert json.loads(lines.readline())["seq"] == 2
        assert follow.poll() is None
        result = eng.execute(JOB).result(30)
        write_events(store, run.id, events[2:])
        from store_runs import end

        end(store, run.id, result)
        assert len(lines.readlines()) == len(events) - 2
        assert follow.wait(PATIENCE_S) == 0


@contextlib.contextmanager
def following(*words, errors):
    """Give a command that runs until it is interrupted or its run is over, and its lines; it is killed at the end."""
    read, write = os.pipe()
    with os.fdopen(read) as lines:
        with (
            os.fdopen(write, "wb") as printed,
            errors.open("wb") as complaints,
            Path(os.devnull).open("rb") as nothing,
        ):
            streams = (nothing.fileno(), printed.fileno(), complaints.fileno())
            process = WarmProcess(None, *words, streams=streams)
        try:
            yield process, lines
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _events_of(eng):
    run = eng.execute(JOB)
    run.result(30)
    return run.poll(after=0)


@pytest.mark.slow
def test_a_reader_that_goes_and_an_interrupt_end_the_command_quietly(here, store, eng):
    """As with other commands: 141 after ``| head``, and 130 after Ctrl-C."""
    run = store.enqueue(CHAIN, {"n": 1}, id="long")
    carry_out(store, eng, run.id)
    words = [*COMMAND, "events", "long", "--json", "--store", f"sqlite:///{here}/runs.db"]
    read, write = os.pipe()
    os.close(read)
    gone = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (gone.returncode, gone.stderr) == (141, "")

    store.enqueue(JOB, id="waits")
    words[4] = "waits"
    write_events(
        store,
        "waits",
        [msgspec.structs.replace(event, run_id="waits") for event in _events_of(eng)[:1]],
    )
    errors = here / "errors"
    with following(*words[len(COMMAND) :], "--follow", errors=errors) as (follow, lines):
        assert lines.readline()
        follow.send_signal(signal.SIGINT)
        assert follow.wait(PATIENCE_S) == 130
    assert "Traceback" not in errors.read_text()


def test_cancel_ends_a_waiting_run_and_is_well_with_one_that_is_over(jobcell, store):
    """The reason is in the last event."""
    store.enqueue(JOB, id="waits")
    first = jobcell("cancel", "waits", "--reason", "no more")
    again = jobcell("cancel", "waits")

    assert (first.returncode, first.stderr) == (0, "run 'waits' is cancelled\n")
    assert (again.returncode, again.stderr) == (0, "run 'waits' is over already\n")
    assert store.run("waits").result().error.message == "the run was cancelled: no more"


def test_retry_makes_a_new_run_and_keeps_the_old_one(jobcell, store, eng):
    """With --from the steps before are taken over."""
    run = store.enqueue(CHAIN, {"n": 1}, id="old")
    early = jobcell("retry", "old")
    carry_out(store, eng, run.id)
    new = jobcell("retry", "old", "--from", "c", "--json")
    wrong = jobcell("retry", "old", "--from", "zebra")

    assert early.returncode == 2
    assert "run 'old' is queued; only a run that is over can be repeated" in early.stderr
    assert new.returncode == 0, new.stderr
    new_id = json.loads(new.stdout)["id"]
    result = carry_out(store, eng, new_id)
    assert result.state == {"n": 25}
    events = store.run(new_id).poll(after=0)
    assert events[0].replayed == 2
    assert [event.step_id for event in events if event.type == "job-start"] == ["c"]
    assert wrong.returncode == 2
    assert (
        wrong.stderr
        == "error: --from: no step has the id or name 'zebra'; there are: 'a', 'b', 'c'\n"
    )
    assert store.run("old").result().state == {"n": 25}


def test_runs_are_listed_by_state_and_tenant(jobcell, store, eng):
    """A table for people, and an array for programs."""
    store.enqueue(JOB, id="waits", tenant="acme")
    store.enqueue(JOB, id="over", tenant="globex").cancel()
    listed = jobcell("runs")
    as_json = json.loads(jobcell("runs", "--json").stdout)
    filtered = [
        json.loads(jobcell("runs", "--json", *words).stdout)
        for words in (["--state", "done"], ["--tenant", "acme"], ["--state", "dead"])
    ]

    assert listed.stdout.splitlines()[0].split()[:4] == ["id", "state", "tenant", "takeovers"]
    assert "over" in listed.stdout
    assert {(run["id"], run["state"], run["tenant"], run["takeovers"]) for run in as_json} == {
        ("waits", "queued", "acme", 0),
        ("over", "done", "globex", 0),
    }
    assert [[run["id"] for run in runs] for runs in filtered] == [["over"], ["waits"], []]
    assert jobcell("runs", "--state", "lost").returncode == 2


def test_a_store_is_migrated_measured_and_pruned(jobcell, here):
    """Each is a command of `jobcell store`."""
    made = jobcell("store", "migrate")
    jobcell("enqueue", "plan.json", "--id", "over")
    jobcell("cancel", "over")
    jobcell("enqueue", "plan.json", "--id", "waits")
    status = jobcell("store", "status", "--json")
    told = jobcell("store", "status")
    young = jobcell("store", "prune", "--older", "1h")
    pruned = jobcell("store", "prune", "--older", "0s", "--json")

    assert (made.returncode, made.stderr) == (0, "")
    assert f"the tables have version {SCHEMA_VERSION}" in made.stdout
    counts = json.loads(status.stdout)
    assert [counts[name] for name in ("queued", "running", "done", "dead")] == [1, 0, 1, 0]
    assert counts["tenants"] == {"default": {"queued": 1, "running": 0, "done": 1, "dead": 0}}
    assert counts["oldest_queued_s"] >= 0
    assert "0 of 0 known workers are alive" in told.stdout
    assert young.stdout == "removed 0 runs\n"
    assert json.loads(pruned.stdout) == {"pruned": 1}
    assert jobcell("result", "over").returncode == 2


def test_collections_are_listed_and_removed(jobcell, here):
    """Without a terminal the removal needs --yes. A missing collection is bad input."""
    empty = jobcell("store", "collections")
    with Store.open() as store:
        store.collections("acme").set("visits", [CollectionItem("p-7", b"\xc0")])
        store.collections().set("codes", [CollectionItem("a", b"\xc0")])
    listed = jobcell("store", "collections")
    found = json.loads(jobcell("store", "collections", "--tenant", "acme", "--json").stdout)
    unsure = jobcell("store", "remove-collection", "visits", "--tenant", "acme")
    wrong = jobcell("store", "remove-collection", "visits", "--yes")
    removed = jobcell("store", "remove-collection", "visits", "--tenant", "acme", "--yes")
    as_json = jobcell("store", "remove-collection", "codes", "--yes", "--json")

    assert (empty.returncode, empty.stdout) == (0, "no collections\n")
    head, acme, default = (line.split() for line in listed.stdout.splitlines())
    assert head == ["tenant", "name", "items", "bytes", "newest"]
    assert (acme[:3], default[:3]) == (["acme", "visits", "1"], ["default", "codes", "1"])
    assert [(one["tenant"], one["name"], one["items"]) for one in found] == [("acme", "visits", 1)]
    assert found[0]["updated"] > 1.7e9
    assert (unsure.returncode, unsure.stdout) == (2, "")
    assert "no terminal can be asked; give --yes" in unsure.stderr
    assert (wrong.returncode, wrong.stderr) == (
        2, "error: the store has no collection 'visits' of the tenant 'default'\n",
    )  # fmt: skip
    assert removed.stdout.startswith("removed the collection 'visits' of 'acme' (1 value, ")
    assert json.loads(as_json.stdout)["removed"]["name"] == "codes"
    assert jobcell("store", "collections", "--json").stdout == "[]\n"


@pytest.mark.parametrize(("answer", "goes"), [("n", False), ("", False), ("y", True)])
def test_a_terminal_is_asked_before_a_collection_is_removed(jobcell, here, answer, goes):
    """The default is no."""
    with Store.open() as store:
        store.collections().set("visits", [CollectionItem("p-7", b"\xc0")])
    words = ["store", "remove-collection", "visits"]
    main, terminal = os.openpty()
    try:
        with Path(os.devnull).open("r+b") as nothing:
            streams = (terminal, nothing.fileno(), terminal)
            process = WarmProcess(None, *words, streams=streams, cwd=here)
        os.close(terminal)
        question = b""
        while b"[y/N] " not in question:
            question += os.read(main, 1000)
        os.write(main, f"{answer}\n".encode())
        process.wait(60)
    finally:
        os.close(main)
    assert b"Remove the collection 'visits' of 'default' (1 value, " in question
    assert process.returncode == (0 if goes else 2)
    with Store.open() as store:
        assert (list_collections(store.database) == []) is goes


@pytest.mark.slow
def test_without_the_extra_a_command_says_what_to_install(here):
    """The rest of the command works without it."""
    script = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from jobcell.cli import main; main(sys.argv[1:])"
    )
    words = [sys.executable, "-c", script, "runs"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(here))

    assert done.returncode == 2
    assert "pip install 'jobcell[store]'" in done.stderr
