"""The events of a stopped run report all that it did, at every boundary where it is stopped.

The proof is a server that counts the requests of jobs, adaptors, `globals` and conditions.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from runs import check_events, finish, make_engine
from stopping import JOBS, Server, Stopping, chain, unreported, write_repo
from warm import WarmProcess

from engine import Engine, Permissions, Run, RunOptions, event_from_json

LONG = 1000
"""Steps of a chain that takes longer than any test here waits."""

BOUNDARIES = [name for name in JOBS if name != "chain"]

AFTER_CANCEL = {
    "init": ["a.init"],
    "globals": ["a.globals"],
    "body": ["a.1", "a.2", "a.3"],
    "operations": ["a.1", "a.2"],
    "reducer": ["a.1", "a.2"],
    "steps": ["a.1", "b.1"],
    "async": ["a.1"],
    "condition": ["a.1", "a.condition1"],
    "credential": [],
    "state": [],
    "queued": [],
}
"""All requests of a run that is cancelled during the last or the second last request of `body`. The
running operation ends, and no other operation begins.
"""

ENDS = {
    "init": [],
    "globals": [],
    "body": [("a", "job-complete")],
    "operations": [("a", "job-error")],
    "reducer": [("a", "job-error")],
    "steps": [("a", "job-complete"), ("b", "job-complete")],
    "async": [("a", "job-error")],
    "condition": [("a", "job-complete")],
    "credential": [],
    "state": [],
    "queued": [],
}
"""The end events of those runs."""


def cancel(stopping: Stopping) -> None:
    for run in stopping.runs.values():
        run.cancel("enough")
    stopping.delivered()


def close(stopping: Stopping) -> None:
    """Close the engine from a thread, because it waits until the runs are over."""
    closing = threading.Thread(target=stopping.engine.close)
    supervisor = stopping.engine._supervisor
    closing.start()
    while not supervisor._closing:
        done = threading.Event()
        supervisor.post(done.set)
        assert done.wait(60)


def leave(stopping: Stopping) -> None:
    """Leave a `with` block because of an error."""

    def fail_inside() -> None:
        with pytest.raises(KeyError), stopping.engine:
            raise KeyError

    supervisor = stopping.engine._supervisor
    threading.Thread(target=fail_inside).start()
    while not supervisor._closing:
        done = threading.Event()
        supervisor.post(done.set)
        assert done.wait(60)


def ends_of(events: list) -> list[tuple[str, str]]:
    return [(e.step_id, e.type) for e in events if e.type in ("job-complete", "job-error")]


@pytest.mark.parametrize(
    ("stop", "mode"), [(cancel, "exec"), (cancel, "zygote"), (close, "zygote"), (leave, "zygote")]
)
def test_after_a_stop_nothing_begins_at_any_boundary(stop, mode: str, tmp_path: Path):
    """The running operation ends by itself with its events; the last event is `Cancelled`.

    Every stop is the same message to a child, so one of them shows that the way in which it was started does not matter.
    """
    stopping = Stopping(tmp_path, mode, BOUNDARIES, cancel_grace_s=30.0)
    try:
        stopping.start()
        stop(stopping)
        # A resolver that never answers, and a run in the queue, do not delay the end.
        for boundary in ("credential", "state", "queued"):
            stopping.runs[boundary].result(20)
        stopping.server.release.set()
        for boundary in BOUNDARIES:
            events = stopping.events(boundary)
            requests = stopping.server.counted[boundary]
            assert requests == AFTER_CANCEL[boundary], boundary
            assert unreported(requests, events) == []
            assert ends_of(events) == ENDS[boundary], boundary
            error = stopping.runs[boundary].result().error
            assert error.name == "Cancelled", boundary
        assert sorted(stopping.resolved) == ["credential", "state"]
    finally:
        stopping.close()


@pytest.mark.parametrize(
    ("limit", "seconds", "mode"),
    [
        pytest.param("timeout_s", (2.0, 6.0, 20.0, 60.0), "exec", id="timeout-exec"),
        pytest.param("timeout_s", (2.0, 6.0, 20.0, 60.0), "zygote", id="timeout-zygote"),
        # The engine kills a child in the same way for both limits.
        pytest.param("step_timeout_s", (0.5, 2.0, 10.0, 60.0), "zygote", id="step timeout-zygote"),
    ],
)
def test_a_run_that_a_limit_ends_has_reported_all_that_it_did(
    limit: str, seconds: tuple[float, ...], mode: str, tmp_path: Path
):
    """The child is killed at once, and the open step is closed with the limit.

    On a busy machine a run may meet a short limit before it comes to its boundary, so longer ones follow.
    """
    within_a_job = ["body", "operations", "reducer", "steps", "async", "condition"]
    others = [] if limit == "step_timeout_s" else ["init", "globals", "credential", "state"]
    for limit_s in seconds:
        directory = tmp_path / str(limit_s)
        directory.mkdir()
        stopping = Stopping(directory, mode, [*within_a_job, *others], **{limit: limit_s})
        try:
            if not stopping.reaches_all():
                continue
            for boundary in stopping.boundaries:
                events = stopping.events(boundary)
                requests = stopping.server.counted[boundary]
                assert unreported(requests, events) == []
                assert stopping.runs[boundary].result().error.name == "TimeoutError"
                if boundary in within_a_job:
                    assert ends_of(events)[-1] == (requests[-1][0], "job-error")
            before = {name: list(requests) for name, requests in stopping.server.counted.items()}
            stopping.server.release.set()
            stopping.engine.close()
            assert stopping.server.counted == before
            return
        finally:
            stopping.close()
    pytest.fail(f"no run came to its boundary in {seconds[-1]:g} s")


COMMAND = """
import os
os.setsid()
from jobcell.cli import main
main()
"""
"""The command, with a process group of its own."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that answers at once, and that knows the adaptor `chain`."""
    running = Server({})
    running.repo = tmp_path_factory.mktemp("repo")
    write_repo(running.repo, running.port)
    yield running
    running.close()


@pytest.fixture(params=["exec", "zygote"])
def chained(request: pytest.FixtureRequest, server: Server) -> Iterator[Engine]:
    options = RunOptions(permissions=Permissions(net=(f"127.0.0.1:{server.port}",)))
    with make_engine(request.param, repo_dir=server.repo, options=options) as made:
        yield made


def check_chain(server: Server, events: list) -> None:
    """Each step that sent a request is reported; at most one was stopped before its request."""
    server.settle()
    requests = server.counted["chain"]
    assert len(requests) < LONG  # otherwise nothing was stopped
    started = [f"{event.step_id}.1" for event in events if event.type == "job-start"]
    assert requests == started[: len(requests)]
    assert len(started) - len(requests) <= 1


def cancel_at_request(engine: Engine, server: Server, wanted: int) -> Run:
    """Run a chain; the request of this number cancels it and is answered at once."""
    known = threading.Event()

    def stop(number: int) -> None:
        if number == wanted and known.wait(20):
            run.cancel("enough")

    server.on_request = stop
    run = engine.execute(chain(LONG))
    known.set()
    return run


def test_a_cancel_at_any_moment_leaves_no_step_unreported(chained: Engine, server: Server):
    """The child may be at any place when the message comes."""
    for number in (1, 2, 5, 9, 14):
        server.counted["chain"].clear()
        run = cancel_at_request(chained, server, number)
        check_chain(server, finish(run))
        assert run.result().error.name == "Cancelled"


def test_a_limit_at_any_moment_leaves_no_step_unreported(chained: Engine, server: Server):
    """The messages that the child sent before it was killed become events."""
    server.on_request = lambda _number: None
    for timeout_s in (0.2, 0.25, 0.3):
        server.counted["chain"].clear()
        options = msgspec.structs.replace(chained.options, timeout_s=timeout_s)
        run = chained.execute(chain(LONG), options=options)
        check_chain(server, finish(run))
        assert run.result().error.name == "TimeoutError"


@pytest.mark.parametrize(
    ("number", "mode"),
    [(signal.SIGINT, "exec"), (signal.SIGINT, "zygote"), (signal.SIGTERM, "zygote")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_signal_to_the_command_leaves_no_step_unreported(
    server: Server, tmp_path: Path, number: signal.Signals, mode: str
):
    """A terminal sends Ctrl-C to the whole process group, but the child is not in it.

    SIGTERM and Ctrl-C cancel the run in the same way, so one of them comes in both modes.
    """
    server.counted["chain"].clear()
    plan, record = tmp_path / "plan.json", tmp_path / "events.jsonl"
    plan.write_text(json.dumps(chain(LONG)))
    words = ["run", plan, "--events", record, "--start-mode", mode, "--plain"]
    words += ["--repo", server.repo, "--net", f"127.0.0.1:{server.port}"]
    started = threading.Event()

    def interrupt(count: int) -> None:
        if count == 4 and started.wait(20):
            os.killpg(process.pid, number)

    server.on_request = interrupt
    errors = tmp_path / "errors"
    with Path(os.devnull).open("r+b") as nothing, errors.open("wb") as written:
        streams = (nothing.fileno(), nothing.fileno(), written.fileno())
        process = WarmProcess(COMMAND, *words, streams=streams, kind="commands")
    started.set()
    code, said = process.wait(60), errors.read_text()
    assert code == 128 + number, said
    events = [event_from_json(line) for line in record.read_text().splitlines()]
    check_events(events)
    check_chain(server, events)
    assert events[-1].error.name == "Cancelled"
    assert "Traceback" not in said
