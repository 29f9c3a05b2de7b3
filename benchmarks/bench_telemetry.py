"""The cost of telemetry for the parent: processor time for each run, without it, with the page of metrics, with OpenTelemetry.

``PYTHONPATH=tests/support python -m benchmarks.bench_telemetry``. The kinds take turns, so a busy machine slows all of
them. The collector of the last kind is dead.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine import Engine
from jobcell import telemetry

ROUNDS: Final = 7
RUNS: Final = 60
PLAN: Final = {
    "workflow": {
        "steps": [
            {"id": f"s{n}", "expression": "def main(state): return state", "next": f"s{n + 1}"}
            for n in range(4)
        ]
        + [{"id": "s4", "expression": "def main(state): return state"}]
    }
}


def instrumented(engine: Engine, exporter: Any) -> AbstractContextManager[Any]:
    """Follow an engine with the SDK."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return telemetry.instrument(
        engine,
        tracer_provider=provider,
        meter_provider=MeterProvider(shutdown_on_exit=False),
    )


def counted(engine: Engine) -> AbstractContextManager[Any]:
    """Follow an engine for a page of Prometheus."""
    feed = telemetry.Feed([telemetry.Tally()])
    feed.observe(engine)
    return closing(feed)


KINDS: Final[dict[str, Callable[[Engine], AbstractContextManager[Any]]]] = {
    "without": lambda _: nullcontext(),
    "page of metrics": counted,
    "OpenTelemetry": lambda engine: instrumented(engine, InMemorySpanExporter()),
    "OpenTelemetry, dead collector": lambda engine: instrumented(
        engine, OTLPSpanExporter("http://127.0.0.1:9/v1/traces")
    ),
}


def measure(follow: Callable[[Engine], AbstractContextManager[Any]]) -> tuple[float, float]:
    """Return processor time of this process, and time, for each run, in milliseconds."""
    with Engine(max_runs=2) as engine, follow(engine):
        engine.execute(PLAN).result()
        cpu, wall = time.process_time(), time.perf_counter()
        for handle in [engine.execute(PLAN) for _ in range(RUNS)]:
            handle.result()
        wall = time.perf_counter() - wall
        cpu = time.process_time() - cpu
    return cpu * 1000 / RUNS, wall * 1000 / RUNS


def main() -> None:
    """Print a table."""
    import logging

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, follow in KINDS.items():
            found[kind].append(measure(follow))
    print(f"{RUNS} runs of 5 steps, median of {ROUNDS} rounds, ms for each run")
    for kind, values in found.items():
        cpu, wall = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"  {kind:32} processor {cpu:6.2f}   time {wall:6.2f}")


if __name__ == "__main__":
    main()
