"""Runs that go on in another child, and runs that are resumed from their journal, with real deaths.

The side effects of steps are counted by a server on loopback, by idempotency key.  The jobs are plain
Python, without the wall of the language: they may do anything within the wall of the kernel.
"""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from runs import finish, make_engine, types_of, wait_for
from warm_children import children_of_engines

from engine import FileJournal, Permissions, PlanError, Policy, Resolvers, RunOptions
from engine.running.session import conversation

SECRET = "correct-horse-battery-staple"

HEAD = """
import ctypes, os, signal, time, urllib.request

def post(key):
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{key}", data=b"", timeout=10).close()

def fatal():
    return urllib.request.urlopen("http://127.0.0.1:%d/armed" % PORT, timeout=10).read() == b"1"
"""


class Counting(ThreadingHTTPServer):
    """Counts posts by their path, and says once whether a step is to die."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: Counter[str] = Counter()
        self.armed = False


class _Handler(BaseHTTPRequestHandler):
    server: Counting

    def do_POST(self) -> None:
        self.server.posts[self.path[1:]] += 1
        self._answer(b"")

    def do_GET(self) -> None:
        body = b"1" if self.server.armed else b"0"
        self.server.armed = False
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Memory:
    """A journal in memory, which raises or blocks if a test asks for it."""

    def __init__(self) -> None:
        self.kept = []
        self.before = lambda record: None
        """Called before a record is kept."""

    def record(self, record):
        self.before(record)
        self.kept.append(record)

    def records(self):
        return [*self.kept]


@pytest.fixture(scope="module")
def server():
    with Counting() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def shared(server):
    options = RunOptions(
        timeout_s=30,
        memory_mb=128,
        permissions=Permissions(net=(f"127.0.0.1:{server.server_port}",)),
    )
    with make_engine(policy=Policy(language=False), options=options, max_runs=2) as made:
        yield made


@pytest.fixture(autouse=True)
def no_leak():
    """The shared engine stays from one test to the next."""


def job(server, step_id, following=None, before="", after="", **more):
    source = HEAD.replace("{PORT}", str(server.server_port)).replace(
        "PORT", str(server.server_port)
    )
    lines = f"{before}\n    post({step_id!r})\n    {after}"
    body = f"def main(state):\n    {lines}\n    state['data'][{step_id!r}] = 1\n    return state"
    return {"id": step_id, "expression": f"{source}\n{body}", "next": following or {}, **more}


def ten_steps(server, changes=None):
    """Ten steps: a diamond, a failing branch, a join, and a secret in the state."""
    changes = changes or {}

    def step(step_id, following=None, **more):
        return job(server, step_id, **{"following": following, **more, **changes.get(step_id, {})})

    steps = [
        step("a", {"b": True, "c": "not state.errors"}, after=f"state['data']['key'] = {SECRET!r}"),
        step("b", {"d": True}),
        step("c", {"d": True, "e": True}),
        step("d", {"g": True}, join="all"),
        step("e", {"f": "on_job_failure"}, after="raise ValueError('row 7')"),
        step("f", {"g": True}),
        step("g", {"h": True, "i": "state.data.missing"}, join="all"),
        step("h", {"j": True}),
        step("i"),
        step("j"),
    ]
    steps[0]["configuration"] = {"password": SECRET}
    return {"workflow": {"steps": steps}}


def _kill_children():
    for zygote in children_of_engines():
        for child in zygote.children():
            child.kill()


def test_a_child_that_dies_while_it_waits_for_a_credential_is_followed_by_another(shared):
    """The question of the dead child does not keep the next one from asking."""
    released = threading.Event()
    asked = []

    def credential(name):
        asked.append(name)
        if len(asked) == 1:
            _kill_children()
            released.wait(20)
        return {"password": SECRET}

    step = {
        "id": "a",
        "expression": "def main(state): return state",
        "configuration": "the-credential",
        "retry": {"attempts": 2, "delay": 0, "on": ["death"]},
    }
    run = shared.execute(
        {"workflow": {"steps": [step]}}, resolvers=Resolvers(credential=credential)
    )
    try:
        assert run.result(20).reason == "success"
    finally:
        released.set()


def test_a_trigger_that_loaded_its_state_is_not_expected_from_the_next_child(shared):
    """A child that leaves the first job to another one has opened no step."""
    source = "def main(state): return state"
    steps = [
        {"id": "t", "next": {"a": "state.never", "b": True}},
        {"id": "a", "expression": source},
        {"id": "b", "expression": source, "permissions": {"net": []}},
    ]
    run = shared.execute(
        {"workflow": {"steps": steps}},
        "stored",
        resolvers=Resolvers(state=lambda _: {"data": {"n": 1}}),
    )
    events = finish(run)
    assert run.result().state == {"data": {"n": 1}}
    assert run.result().children == 2
    assert types_of(events).count("edge-resolved") == 2


def test_the_warning_of_a_trigger_s_condition_is_logged_once(shared):
    """The next child decides the edge again, but the run has decided it once."""
    source = "def main(state): return state"
    steps = [
        {"id": "s", "expression": source, "next": "t"},
        {"id": "t", "next": {"a": "state.data.age > 17", "b": True}},
        {"id": "a", "expression": source},
        {"id": "b", "expression": source, "permissions": {"net": []}},
    ]
    run = shared.execute({"workflow": {"steps": steps}}, {"data": {}})
    warnings = [e.message for e in finish(run) if e.type == "log" and e.source == "runtime"]
    assert run.result().children == 2
    assert len(warnings) == 1
    assert "'t' -> 'a': the key 'age' is missing" in warnings[0]


def test_a_state_that_cannot_be_carried_is_a_plan_error_with_a_journal_too(shared):
    """The hash of the plan covers the state, and meets it first."""
    with pytest.raises(PlanError, match="cannot carry"):
        shared.execute("def main(state): return state", {"x": object()}, journal=Memory())


def test_the_secret_of_a_stored_state_stays_redacted_after_a_resume(shared):
    """The resumed run does not load the state for its child, but must know what is secret in it."""
    first = "def main(state): return {'data': {'copy': state['configuration']['password']}}"
    steps = [
        {"id": "a", "expression": first, "next": {"b": True}},
        {"id": "b", "expression": "def main(state): return state"},
    ]
    plan = {"workflow": {"steps": steps}}
    resolvers = Resolvers(state=lambda _: {"configuration": {"password": SECRET}})
    journal = Memory()

    def refuse(record):
        if record.step_id == "b":
            raise OSError("the disk is full")

    journal.before = refuse
    run = shared.execute(plan, "stored", resolvers=resolvers, journal=journal)
    assert run.result(20).error.name == "JournalError"
    journal.before = lambda record: None
    run = shared.execute(plan, "stored", resolvers=resolvers, journal=journal)
    events = finish(run)
    assert events[0].replayed == 1
    assert SECRET.encode() in journal.kept[0].state  # the attack would succeed without redaction
    assert SECRET not in repr(events)


FAILING = {
    "id": "a",
    "expression": "def main(state): raise ValueError('again')",
    "retry": {"attempts": 9, "delay": 60_000, "on": ["RuntimeError"]},
}


DYING = {
    "id": "a",
    "expression": "import os\ndef main(state): os._exit(7)",
    "retry": {"attempts": 9, "delay": 60_000, "on": ["death"]},
}
LATE = {
    **FAILING,
    "expression": "import time\ndef main(state): time.sleep(60)",
    "timeout": 100,
    "retry": {"attempts": 9, "delay": 4_900, "on": ["timeout"]},
}


@pytest.fixture(scope="module")
def narrow():
    """An engine with one place; a child has a long time to end after a cancellation."""
    options = RunOptions(cancel_grace_s=60)
    with make_engine(policy=Policy(language=False), options=options, max_runs=1) as engine:
        yield engine


@pytest.mark.parametrize(
    "step", [FAILING, DYING, LATE], ids=["after an error", "after a death", "after a timeout"]
)
def test_a_run_that_waits_for_its_retry_gives_its_place_to_another(narrow, step):
    """With one place another run is over while the first one waits; a cancellation ends the wait.

    After an error the child waits for up to 5 s and keeps its place; after a death there is no child.
    """
    waiting = narrow.execute({"workflow": {"steps": [step]}})
    wait_for(waiting, "job-error")
    assert narrow.execute("def main(state): return state").result(20).reason == "success"
    assert not waiting.done
    waiting.cancel("enough")
    assert waiting.result(20).reason == "cancelled"
    assert types_of(finish(waiting)).count("job-start") == 1
    options = RunOptions(timeout_s=0.4)
    late = narrow.execute({"workflow": {"steps": [step]}}, options=options).result(20)
    assert late.error.option == "timeout_s"


def test_a_cancellation_ends_a_wait_in_which_the_child_stays(narrow):
    """The child waits for its next attempt, and hears the cancellation before that."""
    step = {**FAILING, "retry": {"attempts": 9, "delay": 4_900, "on": ["RuntimeError"]}}
    waiting = narrow.execute({"workflow": {"steps": [step]}})
    wait_for(waiting, "job-error")
    queued = narrow.execute("def main(state): return state")
    waiting.cancel("enough")
    assert waiting.result(20).reason == "cancelled"
    assert waiting.result().children == 1
    assert types_of(finish(waiting)).count("job-start") == 1
    assert queued.result(20).reason == "success"


@pytest.mark.parametrize("mode", ["exec", "zygote"])
def test_closing_the_engine_ends_a_run_that_waits_for_its_retry(mode):
    """`close` does not wait for the next attempt."""
    with make_engine(mode, policy=Policy(language=False)) as engine:
        run = engine.execute({"workflow": {"steps": [FAILING]}})
        wait_for(run, "job-error")
    assert run.result(0).error.name == "Cancelled"


def test_the_timeout_of_a_run_counts_while_it_waits_for_a_place_for_its_next_child(monkeypatch):
    """The delay is over, but another run has the only place: the run ends in time all the same."""
    monkeypatch.setattr(conversation, "KEPT_S", 0.0)
    step = {**FAILING, "retry": {"attempts": 9, "delay": 10, "on": ["RuntimeError"]}}
    with make_engine(policy=Policy(language=False), max_runs=1) as engine:
        engine.execute("def main(state): return state").result(20)
        run = engine.execute({"workflow": {"steps": [step]}}, options=RunOptions(timeout_s=0.5))
        other = engine.execute("import time\ndef main(state): time.sleep(60)")
        assert run.result(20).error.option == "timeout_s"
        assert not other.done


def test_a_journal_that_blocks_holds_up_only_its_own_run(shared):
    """Other runs go on, the timeout counts, and a cancellation does not wait for the journal."""
    released = threading.Event()
    journal = Memory()
    journal.before = lambda record: released.wait(20)
    source = "def main(state): return state"
    try:
        blocked = shared.execute(source, journal=journal)
        wait_for(blocked, "job-start")
        assert shared.execute(source).result(20).reason == "success"
        blocked.cancel("enough")
        assert blocked.result(5).reason == "cancelled"
        late = shared.execute(source, journal=journal, options=RunOptions(timeout_s=0.2))
        assert late.result(20).error.option == "timeout_s"
    finally:
        released.set()


def test_a_step_reaches_only_what_its_own_permissions_allow(shared, server):
    """In both orders, with and without a journal; each change of permissions takes a child."""
    free, closed = {}, {"permissions": {"net": []}}
    for first, second, journal in [
        (free, closed, None),
        (closed, free, None),
        (free, closed, Memory()),
        (closed, free, Memory()),
    ]:
        server.posts.clear()
        steps = [job(server, "x", {"y": True}, **first), job(server, "y", **second)]
        run = shared.execute({"workflow": {"steps": steps}}, {"data": {}}, journal=journal)
        events = finish(run)
        allowed = "x" if first is free else "y"
        assert dict(server.posts) == {allowed: 1}
        assert [e.type for e in events if e.type in ("job-complete", "job-error")] == (
            ["job-complete", "job-error"] if first is free else ["job-error", "job-complete"]
        )
        assert run.result().children == 2


class Slotted:
    """A journal to which no weak reference can be made."""

    __slots__ = ("kept",)

    def __init__(self):
        self.kept = []

    def record(self, record):
        self.kept.append(record)

    def records(self):
        return [*self.kept]


@pytest.mark.parametrize("kind", [FileJournal, Memory, Slotted])
def test_a_journal_keeps_one_run_at_a_time(shared, tmp_path, kind):
    """The second run ends before its first job; once the first is over, it can be resumed."""
    plan = {
        "workflow": {
            "steps": [{"id": "a", "expression": "import time\ndef main(state): time.sleep(60)"}]
        }
    }
    journal = kind(tmp_path / "j") if kind is FileJournal else kind()
    first = shared.execute(plan, journal=journal)
    wait_for(first, "job-start")
    with make_engine() as other:
        for engine in (shared, other):
            second = engine.execute(plan, journal=journal)
            assert second.result(20).error.name == "JournalError"
            assert "another run uses the journal" in second.result().error.message
            assert "job-start" not in types_of(finish(second))
    with pytest.raises(PlanError):
        shared.execute({"workflow": {"steps": []}}, journal=Memory())
    first.cancel("enough")
    first.result(20)
    third = shared.execute(plan, journal=journal)
    wait_for(third, "job-start")
    third.cancel("enough")
    assert third.result(20).reason == "cancelled"
    if kind is FileJournal:
        journal.close()


@pytest.mark.parametrize("damage", ["another plan", "foreign", "raises"])
def test_a_journal_that_cannot_be_used_ends_the_run_before_its_first_job(shared, damage):
    """The run ends with `JournalError`, and nothing has run."""
    source = "def main(state): return state"
    journal = Memory()
    assert shared.execute(source, journal=journal).result(20).reason == "success"
    plan = source
    if damage == "another plan":
        plan = f"{source} "
    elif damage == "foreign":
        journal.kept.append("a stranger")
    else:
        journal.records = lambda: 1 / 0
    run = shared.execute(plan, journal=journal)
    assert run.result(20).error.name == "JournalError"
    assert "job-start" not in types_of(finish(run))
    with pytest.raises(TypeError, match="record and records"):
        shared.execute(source, journal=object())


def test_a_child_that_dies_while_it_waits_for_a_retry_leaves_the_step_to_a_resume(shared, server):
    """A resume begins the step again with its first attempt; the steps before it are not repeated."""
    plan = ten_steps(
        server,
        {
            "h": {
                "before": "if fatal(): raise ValueError('once')",
                "retry": {"attempts": 2, "delay": 4000, "on": ["RuntimeError"]},
            }
        },
    )
    journal = Memory()
    server.posts.clear()
    server.armed = True
    run = shared.execute(plan, {"data": {}}, journal=journal)
    after = 0
    while not any(getattr(event, "retry_in_ms", None) is not None for event in run.poll(after=0)):
        after = run.poll(after=after, timeout_s=20)[-1].seq
    _kill_children()
    assert run.result(20).error.name == "ExitError"
    run = shared.execute(plan, {"data": {}}, journal=journal)
    started = [e.attempt for e in finish(run) if e.type == "job-start" and e.step_id == "h"]
    assert started == [1]
    assert set(server.posts.values()) == {1}
