"""A child that breaks off the conversation, after every message and in every way.

The child is a process of a few lines (`fake_process`), because a real job could not do all of this.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from fake_child import PLAN, FakeChildren, FakeEngine
from fake_process import CONVERSATION, LIES, STOPS
from runs import finish

from engine import Engine, Resolvers, Run, RunOptions
from engine.start.child import is_readable
from engine.start.exec import SpawnedChild
from protocol import messages as m

WHOLE = len(CONVERSATION)
BOUNDARIES = range(WHOLE + 1)
READY = 1 + next(n for n, message in enumerate(CONVERSATION) if isinstance(message, m.Ready))
"""After this number of messages, the child has said that it is ready."""
RESOLVERS = Resolvers(credential=lambda _: {"password": "hunter2-hunter2"})
SHORT = RunOptions(timeout_s=1.0)

TOLD = {
    m.Ready: "workflow-start",
    m.InitStart: "init-start",
    m.InitComplete: "init-complete",
    m.JobStart: "job-start",
    m.LogBatch: "log",
    m.JobComplete: "job-complete",
    m.JobError: "job-error",
    m.EdgeResolved: "edge-resolved",
}

MEANING = {
    "exits with 0": ("ExitError", "exit code 0"),
    "exits with 7": ("ExitError", "exit code 7"),
    "is killed": ("ExitError", "SIGKILL"),
    "closes and exits": ("ExitError", "exit code 0"),
    "closes and stays": ("ProtocolError", "closed its pipe, and stayed"),
    "stalls": ("TimeoutError", "1000 ms (timeout_s)"),
    "sends half a prefix and exits": ("ProtocolError", "middle of a frame"),
    "sends half a frame and exits": ("ProtocolError", "middle of a frame"),
    "sends half a frame and stays": ("TimeoutError", "1000 ms (timeout_s)"),
    "sends garbage": ("ProtocolError", "undecodable frame"),
    "sends text that is none": ("ProtocolError", "undecodable frame"),
    "sends a deep nest": ("ProtocolError", "undecodable frame"),
    "announces 4 GB": ("ProtocolError", "a frame of 4294967295 bytes"),
    "announces nothing": ("ProtocolError", "a frame of 0 bytes"),
    "greets twice": ("ProtocolError", "child sent Hello in phase"),
    "sends what only the engine may": ("ProtocolError", "undecodable frame"),
    "sends no message": ("ProtocolError", "undecodable frame"),
}


@pytest.fixture(scope="module")
def children() -> Iterator[FakeChildren]:
    """The interpreter whose forks are the children of this file."""
    made = FakeChildren()
    yield made
    made.close()


@pytest.fixture
def fakes(children: FakeChildren) -> Iterator[FakeEngine]:
    """The engine has all runs of a test at once, because most of them only wait for the end of their time."""
    with FakeEngine(children, max_runs=WHOLE) as engine:
        yield engine


def execute(fakes: FakeEngine, count: int, fault: str, options: RunOptions = SHORT) -> Run:
    """Start a child that sends *count* messages and then does this."""
    fakes.scenarios.append((count, fault))
    return fakes.execute(PLAN, {"data": {}}, options=options, resolvers=RESOLVERS)


def told_after(count: int, run: Run) -> list[str]:
    """Return the expected events of a run that failed after *count* messages."""
    told = [TOLD[type(message)] for message in CONVERSATION[:count] if type(message) in TOLD]
    if "credential-load" in [event.type for event in run.poll(after=0)]:
        told.insert(told.index("init-start") + 1, "credential-load")
    if told.count("job-start") > told.count("job-complete") + told.count("job-error"):
        told.append("job-error")
    return [*told, "workflow-error"]


def assert_usable(fakes: FakeEngine) -> None:
    """The next run works as if no fault had happened."""
    result = execute(fakes, WHOLE, "goes on", RunOptions(timeout_s=20)).result(20)
    assert (result.reason, result.state) == ("success", {"data": {"n": 1}})


@pytest.mark.parametrize("fault", [*STOPS, *LIES])
def test_whatever_a_child_does_after_a_frame_the_run_has_one_right_end(
    fakes: FakeEngine, fault: str
):
    """The run has one terminal event, the right error and all earlier messages; nothing hangs."""
    name, text = MEANING[fault]
    options = SHORT if name == "TimeoutError" else RunOptions(timeout_s=30)
    runs = [execute(fakes, count, fault, options) for count in BOUNDARIES[:-1]]
    for count, run in enumerate(runs):
        events = finish(run)
        result = run.result()
        # The end of a child before it is ready is not the fault of the job.
        expected = "SpawnError" if name == "ExitError" and count < READY else name
        assert result.error.name == expected, (count, result.error)
        assert text in result.error.message, (count, result.error)
        assert events[-1].type == "workflow-error"
        if name != "TimeoutError":  # the end may come before all messages
            assert [event.type for event in events] == told_after(count, run), count
    assert_usable(fakes)


def test_what_follows_the_last_word_changes_nothing(fakes: FakeEngine):
    """Later messages and a late end do not count; a child that was already dead has crashed."""
    options = RunOptions(timeout_s=20)
    runs = {fault: execute(fakes, WHOLE, fault, options) for fault in (*STOPS, *LIES)}
    for fault, run in runs.items():
        events = finish(run)
        result = run.result()
        if fault in ("exits with 7", "is killed") and result.error is not None:
            assert (result.error.name, events[-1].type) == ("ExitError", "workflow-error"), fault
        else:
            assert (result.reason, events[-1].type) == ("success", "workflow-complete"), fault
            assert result.state == {"data": {"n": 1}}
    assert_usable(fakes)


@pytest.mark.parametrize("fault", ["exits with 7", "is killed"])
def test_a_child_that_was_gone_before_it_was_heard_has_crashed(
    fakes: FakeEngine, fault: str, monkeypatch: pytest.MonkeyPatch
):
    """The kernel's report counts more than the child's message; here the engine reads late."""

    def gone(child: SpawnedChild) -> bool:
        return is_readable(child.exit_fd, timeout_ms=None)

    monkeypatch.setattr(SpawnedChild, "gone", gone)
    run = execute(fakes, WHOLE, fault, RunOptions(timeout_s=20))
    events = finish(run)
    assert run.result().error == events[-1].error
    assert events[-1].error.name == "ExitError"


@pytest.mark.parametrize("fault", ["floods with lines", "floods with empty batches"])
def test_a_flood_is_ended_by_its_limit(fakes: FakeEngine, fault: str):
    """Batches without a line are a flood as well, and a quiet run goes on beside them."""
    running = CONVERSATION.index(next(x for x in CONVERSATION if isinstance(x, m.JobStart))) + 1
    options = RunOptions(timeout_s=60, max_log_bytes=30_000)
    flood = execute(fakes, running, fault, options)
    quiet = execute(fakes, WHOLE, "goes on", RunOptions(timeout_s=60))
    assert flood.result(90).error.name == "OutputLimitError"
    assert quiet.result(90).reason == "success"
    assert len(finish(flood)) < 10_000


def test_one_who_asks_before_it_was_answered_is_not_answered(fakes: FakeEngine):
    """A child cannot make the engine call a resolver a hundred times at once."""
    asked: list[str] = []

    def resolver(value_id: str) -> dict:
        asked.append(value_id)
        time.sleep(0.3)
        return {"password": "hunter2-hunter2"}

    fakes.scenarios.append((3, "asks again and again"))
    run = fakes.execute(PLAN, resolvers=Resolvers(credential=resolver), options=SHORT)
    assert run.result(20).error.name == "ProtocolError"
    assert asked == ["cred"]


def test_answers_that_nobody_reads_do_not_pile_up(fakes: FakeEngine):
    """A child that asks for megabytes again before it has read them is stopped."""
    large = {"blob": [[1] * 100_000] * 40}  # a text would be searched as a secret, for long
    fakes.scenarios.append((3, "asks and does not read"))
    run = fakes.execute(PLAN, resolvers=Resolvers(credential=lambda _: large))
    result = run.result(20)
    assert result.error.name == "ProtocolError"
    # The child may ask before the answer is there, or before it has read the answer.
    assert re.search("before it (has read|had the last answer)", result.error.message)


def test_a_child_that_does_not_read_its_plan_holds_up_nobody(fakes: FakeEngine):
    """The part that does not fit into the pipe waits, but other runs do not wait."""
    fakes.scenarios.append((2, "stalls"))
    run = fakes.execute(PLAN, {"data": "x" * 20_000_000}, options=RunOptions(timeout_s=6))
    begun = time.monotonic()
    assert_usable(fakes)
    assert time.monotonic() - begun < 6
    assert not run.done
    assert run.result(20).error.name == "TimeoutError"


@pytest.mark.parametrize(
    "fault",
    [
        "ends with bad text",
        "ends with a deep nest",
        "ends with a strange key",
        "ends with an extension",
        "ends with a bad time",
    ],
)
def test_a_final_state_that_is_none_is_the_fault_of_the_child(fakes: FakeEngine, fault: str):
    """The state looks like a message but cannot be decoded; only the result reports this."""
    run = execute(fakes, WHOLE - 1, fault, RunOptions(timeout_s=20))
    result = run.result(20)
    assert result.reason in ("exception", "success"), result
    if result.reason == "exception":
        assert result.error.name == "ProtocolError"
        assert result.state is None
    finish(run)
    assert_usable(fakes)


def test_a_starter_that_always_fails_ends_every_queued_run():
    """The runs end one after the other, and not one inside of the other, for any number of runs."""

    class Failing(Engine):
        def _make_starter(self):
            starter = super()._make_starter()

            def refuse(_request):
                raise BlockingIOError(11, "Resource temporarily unavailable")

            starter.start = refuse
            return starter

    with Failing(start_mode="exec", max_runs=1) as engine:
        runs = [engine.execute("def main(state): return state") for _ in range(1_000)]
        for run in runs:
            result = run.result(20)
            assert (result.error.name, result.reason) == ("SpawnError", "exception")
            assert "temporarily unavailable" in result.error.message
            assert [event.type for event in run.poll()] == ["workflow-error"]


def test_a_bug_of_ours_ends_the_run_and_only_it(fakes: FakeEngine, monkeypatch, caplog):
    """At each place a bug is reported as a bug and never as a success; the next run works."""
    from engine.running.session import Session
    from engine.start.connection import Connection

    def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a bug")

    # The last bug happens again when the rest from the child is read.
    for kind, name in ((Session, "receive"), (Session, "finish"), (Connection, "read")):
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, broken)
            run = execute(fakes, WHOLE, "goes on", RunOptions(timeout_s=20))
            result = run.result(20)
        assert (result.error.name, result.reason) == ("ProtocolError", "exception"), name
        assert "internal error of the engine: ZeroDivisionError" in result.error.message
        assert [event.type for event in run.poll()][-1] == "workflow-error"
        assert_usable(fakes)
    assert "internal error" in caplog.text
    caplog.clear()  # the tracebacks hold all objects of the run
