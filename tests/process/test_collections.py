"""Collections in real runs: a job reads and writes values that the manager keeps."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from runs import check_events, finish, make_engine, types_of, wait_for
from shelf import Shelf

from engine import CollectionItem, FileJournal, Permissions, Resolvers, RunOptions
from protocol.state import encode_state

ADAPTORS = Path(__file__).parents[2] / "adaptors"
SECRET = "hunter2-hunter2"
EAGER = """
import jobcell_collections

try:
    FOUND = jobcell_collections.get("visits", {"key": "*"})
except jobcell_collections.CollectionError as error:
    FOUND = str(error)


def found():
    return lambda state: {**state, "data": FOUND}


def raw(name, query):
    def run(state):
        return {**state, "data": jobcell_collections.get(name, query)[0]}
    return run


def in_thread():
    import threading

    def run(state):
        seen = []

        def ask():
            try:
                jobcell_collections.get("visits", {})
            except Exception as error:
                seen.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return {**state, "data": seen}

    return run


def broken_off():
    import signal

    class TooLong(Exception):
        pass

    def late(*_):
        raise TooLong

    def run(state):
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            jobcell_collections.get("visits", {"key": "slow"})
        except TooLong:
            pass
        return {**state, "data": jobcell_collections.get("visits", {"key": "k"})[0]}

    return run
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo with the adaptor, with `common`, and with one that sends requests by itself."""
    root = tmp_path_factory.mktemp("repo")
    entries = []
    for name, module in (("collections", "collections_"), ("common", "common"), ("eager", "eager")):
        place = root / f"{name}_1.0.0"
        place.mkdir()
        if name == "eager":
            (place / "eager.py").write_text(EAGER)
        else:
            shutil.copytree(ADAPTORS / name / module, place / module)
        entries.append({"name": name, "version": "1.0.0", "path": place.name, "module": module})
    (root / "repo.json").write_text(json.dumps({"adaptors": entries}))
    return root


@pytest.fixture(params=["exec", "zygote", "warm"])
def engine(request: pytest.FixtureRequest, repo: Path):
    """An engine with the repo; its runs are cold, or forked from an interpreter with the adaptors."""
    if request.param != "warm":
        with make_engine(request.param, repo_dir=repo, max_runs=2, warm_mb=0) as made:
            yield made
        return
    with make_engine("zygote", repo_dir=repo, preload=[("common", "collections")]) as made:
        wait_for_warm(made)
        yield made


def wait_for_warm(engine) -> None:
    """Wait until the adaptors that are to be imported were imported."""
    deadline = time.monotonic() + 60
    while not all(found.warm for found in engine.warm()):
        assert time.monotonic() < deadline, engine.warm()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def quick(repo: Path):
    """An engine that the tests share."""
    with make_engine("exec", repo_dir=repo, max_runs=2) as made:
        lasts = "import time\ndef main(state):\n    time.sleep(0.5)\n    return state"
        assert made.execute(lasts).result(60).reason == "success"  # all threads have been started
        yield made


def step(expression: str, step_id: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "adaptors": ["common", "collections"], "expression": expression, **more}


def start(engine, *steps, shelf=None, allow=("visits",), state=None, journal=None, **options):
    """Start a run of a chain of steps."""
    for one, after in itertools.pairwise(steps):
        one.setdefault("next", after["id"])
    return engine.execute(
        {"id": "run-1", "workflow": {"steps": list(steps)}},
        state,
        options=RunOptions(permissions=Permissions(collections=allow), **options),
        resolvers=Resolvers(collections=shelf),
        journal=journal,
    )


def values(shelf: Shelf, name: str = "visits") -> dict[str, Any]:
    return {key: msgspec.msgpack.decode(found.value) for key, found in shelf.values[name].items()}


JOB = """
collections.set("visits", lambda row: f"2024-{row['id']}", state.data)
collections.get("visits", "2024-*").then(lambda s: {**s, "all": s["data"], "cursor": s["data"].cursor})
collections.get("visits", f"2024-{state.want}", lambda s: {**s, "one": s["data"], "seen": []})
collections.each("visits", "*", lambda state, value, key: state["seen"].append(key), page_size=1)
collections.remove("visits", "*-a")
fn(lambda state: {**state, "distinct": len(set([1, 1]))})
collections.get("secret", "x").catch(lambda error, s: {**s, "error": str(error)})
"""


def test_a_job_uses_all_verbs(engine):
    """A cold run and a warm one do the same; `set` of Python stays what it is."""
    for _ in range(2):
        shelf = Shelf()
        rows = [{"id": "a", "n": 2**70}, {"id": "b", "n": None}]
        run = start(engine, step(JOB), shelf=shelf, state={"data": rows, "want": "b"})
        finish(run)
        result = run.result()
        assert result.reason == "success", result.error
        assert result.state["all"] == [
            {"key": "2024-a", "value": rows[0]},
            {"key": "2024-b", "value": rows[1]},
        ]
        assert result.state["cursor"] is None
        assert result.state["one"] == rows[1]
        assert result.state["seen"] == ["2024-a", "2024-b"]
        assert result.state["distinct"] == 1
        assert "the step may not read the collection 'secret'" in result.state["error"]
        assert list(shelf.values["visits"]) == ["2024-b"]
        assert ("get", "secret") not in shelf.calls


def test_an_uncaught_refusal_fails_the_step_with_its_position(quick):
    """It is an error of the adaptor, which no retry would mend."""
    job = "fn(lambda s: s)\ncollections.get('other', 'x')"
    result = start(quick, step(job, retry={"attempts": 3, "delay": 1}), shelf=Shelf()).result(30)
    assert (result.reason, result.error.name) == ("fail", "AdaptorError")
    assert result.error.position.line == 2
    assert result.error.subtype == "CollectionError"
    assert "Permissions(collections=['other:read'])" in result.error.message


@pytest.mark.parametrize("allow", [(), ("visits",)], ids=["not allowed", "no collections"])
def test_a_run_has_no_collections_by_default(quick, allow):
    """Both the permission and the manager's object must be there, and the error names what lacks."""
    result = start(quick, step("collections.get('visits', 'x')"), allow=allow).result(30)
    assert result.error.name == "AdaptorError"
    wanted = "this run has no collections" if allow else "it may use none"
    assert wanted in result.error.message


def test_a_large_set_goes_in_parts_and_a_large_value_is_refused(quick):
    """A part has at most 10,000 values; the message about a value names its key."""
    shelf = Shelf()
    job = """
collections.set("visits", lambda n: f"k{n:05}", lambda state: list(range(10_001)))
collections.get("visits", "*", page_size=10_000).then(lambda s: {"data": len(s["data"])})
collections.set("visits", "big", "x" * 1_000_001).catch(lambda e, s: {**s, "error": str(e)})
collections.set("visits", "odd", lambda state: {1: {2}}).catch(lambda e, s: {**s, "odd": str(e)})
collections.set("visits", "fn", fn).catch(lambda e, s: {**s, "fn": 1})
"""
    result = start(quick, step(job), shelf=shelf).result(60)
    assert result.reason == "success", result.error
    assert result.state["data"] == 10_001
    assert "the value under 'big' has 1000006 bytes; allowed: 1000000" in result.state["error"]
    assert shelf.calls.count(("set", "visits")) == 3
    assert values(shelf)["odd"] == {1: [2]}


def test_values_of_another_run_come_back_equal(engine):
    """A later run gets the types of a state, under keys of any language."""
    shelf = Shelf()
    value = {"n": -(2**80), "b": b"\xff", "f": 1.5, "l": [None, True], 7: "ключ"}
    sets = step("collections.set('visits', 'ключ/1', state.data)")
    assert start(engine, sets, shelf=shelf, state={"data": value}).result(30).reason == "success"
    gets = step("collections.get('visits', 'ключ/1')")
    assert start(engine, gets, shelf=shelf).result(30).state["data"] == value


def test_a_value_that_a_job_gets_is_a_copy(quick):
    """A change of it reaches the collection only by a set."""
    shelf = Shelf()
    job = """
collections.set("visits", "k", {"n": 1})
collections.get("visits", "k")
fn(lambda state: state["data"].update(n=2) or state)
collections.get("visits", "k")
"""
    assert start(quick, step(job), shelf=shelf).result(30).state["data"] == {"n": 1}


def test_steps_narrow_the_permissions_of_their_run(quick):
    """The step that may only read has a child of its own, and its request to write is refused."""
    shelf = Shelf()
    writes = "collections.set('visits', 'k', 1)"
    refused = writes + ".catch(lambda e, s: {**s, 'error': str(e)})"
    narrow = {"collections": ["visits:read"]}
    run = start(quick, step(writes), step(refused, "b", permissions=narrow), shelf=shelf)
    result = run.result(30)
    assert result.reason == "success"
    assert result.children == 2
    assert "the step may not write the collection 'visits'" in result.state["error"]
    assert "its permissions are 'visits:read'" in result.state["error"]
    assert shelf.calls == [("set", "visits")]


def test_a_cancelled_run_does_not_wait_for_the_managers_code(quick):
    """The run ends while the call hangs; the thread is left behind until it returns."""
    blocked = threading.Event()
    shelf = Shelf(blocked=blocked)
    run = start(quick, step("collections.get('visits', 'x')"), shelf=shelf)
    try:
        assert shelf.called.wait(30)
        run.cancel("enough")
        result = run.result(10)
    finally:
        blocked.set()
    assert result.reason == "cancelled"
    events = run.poll(after=0)
    check_events(events)
    assert [event.type for event in events][-2:] == ["job-error", "workflow-error"]


def test_a_call_that_hangs_is_late_and_the_job_can_go_on(quick):
    """The job sees an error after the deadline, and so does each request until the call returns."""
    blocked = threading.Event()
    shelf = Shelf(blocked=blocked)
    job = """
collections.get("visits", "x").catch(lambda e, s: {**s, "first": str(e)})
collections.get("visits", "x").catch(lambda e, s: {**s, "second": str(e)})
"""
    try:
        result = start(quick, step(job), shelf=shelf, resolve_timeout_s=0.3).result(30)
    finally:
        blocked.set()
    assert "did not answer within 0.3 s (resolve_timeout_s)" in result.state["first"]
    assert "an earlier request of the run is still carried out" in result.state["second"]
    assert len(shelf.calls) == 1


def test_a_step_that_times_out_in_a_request_fails_alone(quick):
    """The next child asks from number 1 again, and gets its answers."""
    blocked = threading.Event()

    class Once(Shelf):
        def get(self, name, query):
            if query.key == "slow":
                blocked.wait()
            return super().get(name, query)

    shelf = Once()
    shelf.set("visits", [CollectionItem("k", encode_state(7))])
    slow = step("collections.get('visits', 'slow')", timeout=500, next={"b": "on_job_failure"})
    asks = "collections.get('visits', 'k').catch(lambda e, s: {**s, 'late': str(e)})"
    after = step(asks, "b")
    run = start(quick, slow, after, shelf=shelf)
    try:
        result = run.result(30)
    finally:
        blocked.set()
    assert result.state["errors"]["a"]["name"] == "TimeoutError"
    # The hanging call of the first child still counts: a run has one call at a time.
    assert "an earlier request of the run is still carried out" in result.state["late"]


def test_a_replayed_step_does_not_ask_again(quick, tmp_path):
    """A resumed run takes the recorded state, and carries out the rest."""
    shelf = Shelf()
    steps = [step("collections.set('visits', 'k', 1)"), step("collections.get('visits', 'k')", "b")]
    with FileJournal(tmp_path / "journal") as journal:
        assert start(quick, *steps, shelf=shelf, journal=journal).result(30).reason == "success"
    with FileJournal(tmp_path / "journal") as journal:
        again = Shelf()
        assert start(quick, *steps, shelf=again, journal=journal).result(30).state["data"] == 1
    assert again.calls == []


def test_an_attempt_that_is_repeated_sets_the_same_values(quick):
    """A set is idempotent, so a step that runs at least once leaves what a single run leaves."""
    shelf = Shelf()
    job = """
collections.set("visits", lambda n: f"k{n}", lambda state: [1, 2])
fn(lambda state: state if attempt() > 1 else 1 / 0)
"""
    job = "from jobcell_context import attempt\n" + job.replace(
        "attempt()", "jobcell_context.attempt"
    )
    job = job.replace("from jobcell_context import attempt", "import jobcell_context")
    retry = {"attempts": 2, "delay": 1, "on": ["RuntimeError"]}
    result = start(quick, step(job, retry=retry), shelf=shelf).result(30)
    assert result.reason == "success", result.error
    assert values(shelf) == {"k1": 1, "k2": 2}
    assert shelf.calls.count(("set", "visits")) == 2


def test_a_secret_of_the_configuration_is_not_kept_and_not_shown(quick):
    """Neither the collection nor an event has it; a value that another run left is shown as it is."""
    shelf = Shelf()
    job = "collections.set('visits', 'k', state.configuration)"
    run = start(quick, step(job, configuration={"password": SECRET}), shelf=shelf)
    events = finish(run)
    error = run.result().error
    assert "the value under 'k' has a secret of the configuration in it" in error.message
    assert shelf.calls == []
    assert SECRET not in repr(events)


def test_a_secret_that_a_collection_holds_is_redacted_in_the_events(quick):
    """Somebody else may have put the value there; the job gets it unaltered."""
    shelf = Shelf()
    shelf.set("visits", [CollectionItem("k", encode_state({"text": SECRET}))])
    job = "collections.get('visits', 'k')\nfn(lambda s: {**s, 'n': len(s['data']['text'])})\nfn(lambda s: print(s['data']) or s)"
    run = start(quick, step(job, configuration={"password": SECRET}), shelf=shelf)
    events = finish(run)
    assert run.result().state["n"] == len(SECRET)
    assert SECRET not in repr(events)
    assert SECRET not in repr(run.result().state)


def test_an_import_cannot_ask(quick):
    """A request before the job runs is refused in the child."""
    shelf = Shelf()
    job = {"id": "a", "adaptor": "eager", "expression": "found()"}
    result = start(quick, job, shelf=shelf).result(30)
    assert result.state["data"] == "collections can be used only while a step runs"
    assert shelf.calls == []


def test_an_adaptor_that_asks_while_it_is_imported_is_not_warm(repo):
    """A request that a run makes by importing late would find no step in a warm zygote."""
    with make_engine("zygote", repo_dir=repo, preload=["eager"]) as engine:
        deadline = time.monotonic() + 60
        while not (reason := engine.warm()[0].reason) or "being imported" in reason:
            assert time.monotonic() < deadline, engine.warm()
            time.sleep(0.02)
        assert "asks for a collection, while it is imported" in reason


def test_requests_come_from_the_thread_of_the_job_only(quick):
    """Two threads would read the answers of each other."""
    job = {"id": "a", "adaptor": "eager", "expression": "in_thread()"}
    result = start(quick, job, shelf=Shelf()).result(30)
    assert result.state["data"] == ["collections can be used only in the thread of the job"]


def test_a_wait_that_was_broken_off_does_not_mix_up_answers(quick):
    """The next request waits for the answer that nobody wanted, and then gets its own."""
    went_on = threading.Event()

    class Slow(Shelf):
        def get(self, name, query):
            if query.key == "slow":
                went_on.wait(1)
            return super().get(name, query)

    shelf = Slow()
    shelf.set("visits", [CollectionItem("k", encode_state(7)), CollectionItem("slow", b"\x01")])
    job = {"id": "a", "adaptor": "eager", "expression": "broken_off()"}
    result = start(quick, job, shelf=shelf).result(30)
    assert result.reason == "success", result.error
    assert [found["key"] for found in result.state["data"]] == ["k"]


def test_a_request_works_within_an_event_loop(quick):
    """The loop of the run does not take the answer away."""
    shelf = Shelf()
    shelf.set("visits", [CollectionItem(f"k{n}", encode_state(n)) for n in range(3)])
    job = """
async def look(state, value, key):
    import asyncio
    await asyncio.sleep(0.01)
    state["seen"].append(value)

collections.each("visits", "*", look, page_size=1)
"""
    result = start(quick, step(job), shelf=shelf, state={"seen": []}).result(30)
    assert result.reason == "success", result.error
    assert result.state["seen"] == [0, 1, 2]


def test_a_run_with_collections_has_the_usual_events(quick):
    """A request is not an event."""
    run = start(quick, step("collections.set('visits', 'k', 1)"), shelf=Shelf())
    wait_for(run, "job-complete")
    assert types_of(finish(run)) == [
        "workflow-start", "init-start", "init-complete", "job-start", "job-complete",
        "workflow-complete",
    ]  # fmt: skip


def test_the_example_of_the_readme_runs(quick):
    """A reader can copy it."""
    text = (ADAPTORS / "collections" / "README.md").read_text()
    examples = dict(re.findall(r"<!-- test: (\w+) -->\n```\w+\n(.*?)```", text, flags=re.DOTALL))
    shelf = Shelf()
    visits = [{"id": "p7", "cost": 3}, {"id": "p8", "cost": 4}]
    run = start(
        quick,
        step(examples["run"]),
        shelf=shelf,
        allow=("visits", "mappings:write"),
        state={"visits": visits},
    )
    result = run.result(30)
    assert result.reason == "success", result.error
    assert result.state["visit"] == visits[0]
    assert result.state["total"] == 7
    assert result.state["data"] == ["2024-p7", "2024-p8"]
    assert values(shelf, "mappings") == {"smoker": {"code": "77176002"}}
