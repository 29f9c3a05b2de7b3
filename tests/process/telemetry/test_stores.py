"""A trace goes on across the store: from the client to a worker, and from a lost worker to the next one."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from opentelemetry.trace import SpanKind, use_span
from otlp_receiver import Receiver, receiving
from telemetered import PARENT, Kept, id_of, kept, links_of, parent_of
from workers import (
    HANGS,
    PATIENCE_S,
    QUICK,
    WorkerProcess,
    row_of,
    serving,
    wait_event,
    wait_for,
    warm_engine,
)

from engine import Engine, Trace
from jobcell import Store
from jobcell.store.schema import SCHEMA_VERSION, runs

TRACE_ID, CLIENT = PARENT.split("-")[1:3]


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    """An engine for the workers in this process."""
    with warm_engine(max_runs=4) as made:
        yield made


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store, of each kind."""
    with closing(Store.open(store_url)) as opened:
        yield opened


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A collector, and an environment that names it."""
    with receiving() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield found


@pytest.fixture
def watched(store: Store, shared_engine: Engine) -> Iterator[tuple[Store, Kept]]:
    """A store with an instrumented worker in this process."""
    found = Kept()
    with serving_instrumented(store, shared_engine, found):
        yield store, found


def serving_instrumented(store, engine, found):
    """Serve a store with a worker that is followed from the start."""
    from contextlib import contextmanager

    from jobcell.worker import Worker

    @contextmanager
    def both():
        before = Worker.serve

        def serve(worker):
            with found.watch(worker=worker):
                before(worker)

        Worker.serve = serve
        try:
            with serving(store, engine) as worker:
                yield worker
        finally:
            Worker.serve = before

    return both()


def test_the_client_is_the_parent(watched):
    """The worker continues the trace that the store has kept, with its state."""
    store, found = watched
    run = store.enqueue(QUICK, trace=Trace(PARENT, "vendor=x"))
    assert run.result(timeout_s=PATIENCE_S).reason == "success"
    wait_for(lambda: found.all(run.id))
    top = found.one("run", run.id)
    assert parent_of(top) == CLIENT
    assert f"{top.context.trace_id:032x}" == TRACE_ID
    assert top.context.trace_state.to_header() == "vendor=x"
    assert top.kind is SpanKind.CONSUMER
    assert links_of(top) == []


def test_a_run_without_a_trace_begins_one(watched):
    """Its span is the first one, and the store knows it."""
    store, found = watched
    run = store.enqueue(QUICK)
    run.result(timeout_s=PATIENCE_S)
    wait_for(lambda: found.all(run.id))
    top = found.one("run", run.id)
    assert parent_of(top) is None
    assert row_of(store, run).span == f"00-{top.context.trace_id:032x}-{id_of(top)}-01"


def test_an_instrumented_client_gives_its_current_span(watched):
    """Also with `retry`, which is linked to the old run as well."""
    store, found = watched
    with kept(store=store) as client:
        outer = client.tracer_provider.get_tracer("test").start_span("outer")
        with use_span(outer, end_on_exit=False):
            first = store.enqueue(QUICK)
            first.result(timeout_s=PATIENCE_S)
            second = store.retry(first.id)
        second.result(timeout_s=PATIENCE_S)
        assert client.figures()["jobcell.runs.now"][("done",)] == 2
    wait_for(lambda: found.all(second.id))
    old, new = found.one("run", first.id), found.one("run", second.id)
    assert parent_of(old) == parent_of(new) == id_of(outer)
    assert links_of(new) == [id_of(old)]


def test_figures_of_a_worker(watched):
    """Those that it keeps itself, and those of its runs."""
    store, found = watched
    run = store.enqueue(QUICK)
    run.result(timeout_s=PATIENCE_S)
    wait_for(lambda: found.all(run.id))
    wait_for(lambda: found.figures()["jobcell.runs"][("success",)] == 1)
    figures = found.figures()
    assert figures["jobcell.places"] == {(): 4}
    assert figures["jobcell.takeovers"] == figures["jobcell.fences"] == {(): 0}
    assert figures["jobcell.flush"][()] >= 1
    assert figures["jobcell.run.duration"] == {("success",): 1}


def test_a_takeover_is_linked_to_the_span_of_the_lost_worker(
    store: Store, store_url: str, shared_engine: Engine, collector: Receiver
):
    """The lost span is never exported; the next one is below the same client, with the rest of the steps."""
    with WorkerProcess(store_url, "--otel") as worker:
        run = store.enqueue(HANGS, trace=PARENT)
        wait_event(run, "log")
        lost = row_of(store, run).span
        collector.wait_for("step a", run.id)
        worker.send(signal.SIGKILL)
        worker.wait()
    found = Kept()
    with serving_instrumented(store, shared_engine, found):
        assert run.result(timeout_s=PATIENCE_S).reason == "success"
        wait_for(lambda: found.all(run.id))
        spans = found.all(run.id)
    (top,) = [span for span in spans if span.name == "run"]
    assert parent_of(top) == CLIENT
    assert links_of(top) == [lost.split("-")[2]]
    assert f"{top.context.trace_id:032x}" == lost.split("-")[1] == TRACE_ID
    assert top.attributes["jobcell.run.replayed"] == 1
    attempts = [s.attributes["jobcell.attempt"] for s in spans if s.name == "attempt b"]
    assert attempts == [2]
    assert "step a" not in {span.name for span in spans}
    exported = collector.spans(run.id)  # by the first worker
    assert lost.split("-")[2] not in {_hex(span["spanId"]) for span in exported}
    # On a busy machine a worker can give its run up after `step a`, and take it again: another span of a run.
    assert {span["name"] for span in exported} - {"run"} == {"step a", "attempt a"}


def test_a_worker_process_exports_to_a_collector(store, store_url, collector):
    """Everything is sent when it is stopped; ids are those of the store."""
    with WorkerProcess(store_url, "--otel") as worker:
        run = store.enqueue(QUICK, trace=PARENT)
        assert run.result(timeout_s=PATIENCE_S).reason == "success"
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    spans = {span["name"]: span for span in collector.spans(run.id)}
    assert set(spans) == {"run", "step a", "attempt a"}
    assert _hex(spans["run"]["parentSpanId"]) == CLIENT
    assert {_hex(span["traceId"]) for span in spans.values()} == {TRACE_ID}
    assert _hex(spans["run"]["spanId"]) == row_of(store, run).span.split("-")[2]
    figures = {
        metric["name"]
        for request in collector.got()
        for resource in request.get("/v1/metrics", {}).get("resourceMetrics", [])
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
    }
    assert {
        "jobcell.runs",
        "jobcell.takeovers",
        "jobcell.run.duration",
        "jobcell.starts",
    } <= figures


def test_a_worker_without_telemetry_leaves_the_trace_alone(store, shared_engine):
    """A later worker with telemetry still knows the client and the last span."""
    with serving(store, shared_engine):
        run = store.enqueue(QUICK, trace=PARENT)
        run.result(timeout_s=PATIENCE_S)
    row = row_of(store, run)
    assert (row.trace, row.span) == (PARENT, None)


def test_a_damaged_trace_harms_no_run(store, shared_engine):
    """Somebody has written nonsense into the column."""
    run = store.enqueue(QUICK)
    with store.database.write() as connection:
        connection.execute(runs.update().values(trace="nonsense"))
    with serving(store, shared_engine):
        assert run.result(timeout_s=PATIENCE_S).reason == "success"


def test_a_store_of_the_version_before_gets_the_columns(store, store_url):
    """Its runs stay, and a second migration changes nothing."""
    run = store.enqueue(QUICK)
    with store.database.write() as connection:
        schema = store.database.schema
        table = "jobcell_runs" if schema is None else f'"{schema}".jobcell_runs'
        for name in ("trace", "span"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
        connection.execute(sa.text("update jobcell_meta set schema_version = 1"))
    with closing(Store.open(store_url)) as again:
        assert again.facts.schema_version == SCHEMA_VERSION
        assert again.info(run.id).state == "queued"
        other = again.enqueue(QUICK, trace=PARENT)
        assert row_of(again, other).trace == PARENT
        assert again.migrate().schema_version == SCHEMA_VERSION


def test_a_wrong_trace_is_refused(store):
    """By its form, and by its type."""
    with pytest.raises(ValueError, match="traceparent must be"):
        store.enqueue(QUICK, trace="nonsense")
    with pytest.raises(TypeError, match="trace must be Trace or text, not int"):
        store.enqueue(QUICK, trace=1)


def _hex(text: str) -> str:
    return base64.b64decode(text).hex()
