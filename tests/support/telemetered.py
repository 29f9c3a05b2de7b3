"""Telemetry in memory, for tests: what was exported, as a tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobcell import telemetry

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Kept:
    """The telemetry of an instrumented engine."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry: telemetry.Telemetry | None = None

    def watch(self, *targets: Any, **options: Any) -> telemetry.Telemetry:
        """Instrument what is to be watched."""
        self.telemetry = telemetry.instrument(
            *targets,
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            **options,
        )
        return self.telemetry

    def all(self, run_id: str | None = None) -> list[ReadableSpan]:
        """Return the spans, or those of one run."""
        if self.telemetry is not None:
            assert self.telemetry.flush(30)
        spans = self.spans.get_finished_spans()
        return [s for s in spans if run_id in (None, s.attributes["jobcell.run.id"])]

    def one(self, name: str, run_id: str | None = None) -> ReadableSpan:
        """Return the only span with a name."""
        (span,) = [span for span in self.all(run_id) if span.name == name]
        return span

    def figures(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Return name to values of attributes to the value, or to the number of values of a histogram."""
        data = self.reader.get_metrics_data()
        found: dict[str, dict[tuple[Any, ...], Any]] = {}
        for resource in [] if data is None else data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = found.setdefault(metric.name, {})
                    for point in metric.data.data_points:
                        value = getattr(point, "value", None)
                        points[tuple(point.attributes.values())] = (
                            point.count if value is None else value
                        )
        return found


@contextmanager
def kept(*targets: Any, **options: Any) -> Iterator[Kept]:
    """Yield the telemetry of targets, which is closed at the end."""
    found = Kept()
    with found.watch(*targets, **options):
        yield found


def id_of(span: ReadableSpan) -> str:
    """Return the id of a span."""
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str | None:
    """Return the id of the parent of a span."""
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def links_of(span: ReadableSpan) -> list[str]:
    """Return the ids of the spans that a span is linked to."""
    return [f"{link.context.span_id:016x}" for link in span.links]


def traceparent_of(span: ReadableSpan) -> str:
    """Return the header that names a span."""
    return f"00-{span.context.trace_id:032x}-{id_of(span)}-{span.context.trace_flags:02x}"
