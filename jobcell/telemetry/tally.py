"""Counts the figures of `jobcell.telemetry.measures` for a page of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from engine import AnyEvent, Beginning, Trace
from engine.reporting import Ending
from jobcell.telemetry import measures
from jobcell.telemetry.measures import Measure, Sample

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_KNOWN: Final[dict[Measure, tuple[tuple[str, ...], ...]]] = {
    measures.RUNS: tuple((reason,) for reason in measures.REASONS),
    measures.NET: (("transmit",), ("receive",)),
    measures.CONNECTIONS: (("open",), ("refused",), ("failed",)),
}
"""The labels that a page shows before anything was counted, so that a rate can be computed from the first one."""


class _Classes:
    """The counts of a histogram."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        ends = [*map(str, self.bounds), "+Inf"]
        return list(zip(ends, accumulate(self.counts), strict=True))


class Tally:
    """A sink that counts.  Any thread may add to it, and read it.

    Args:
        of: The figures to count; others are passed over.

    """

    def __init__(self, of: Iterable[Measure] = measures.OF_EVENTS) -> None:
        self._lock = threading.Lock()
        self._sums: dict[Measure, dict[tuple[str, ...], float]] = {}
        self._classes: dict[Measure, dict[tuple[str, ...], _Classes]] = {}
        for measure in of:
            if measure.kind == "histogram":
                self._classes[measure] = {} if measure.labels else {(): _Classes(measure.bounds)}
            else:
                known = _KNOWN.get(measure, () if measure.labels else ((),))
                self._sums[measure] = dict.fromkeys(known, 0.0)

    def begin(self, beginning: Beginning, begun_s: float) -> RunTally:  # noqa: ARG002 - as in `Sink`
        """See `Sink`."""
        return RunTally(self.add_all, begun_s)

    def add(self, measure: Measure, value: float = 1, *labels: str) -> None:
        """Count a value, with the values of the labels of the figure."""
        with self._lock:
            if measure.kind == "histogram":
                of = self._classes.get(measure)
                if of is not None:
                    of.setdefault(labels, _Classes(measure.bounds)).add(value)
                return
            sums = self._sums.get(measure)
            if sums is not None:
                sums[labels] = sums.get(labels, 0.0) + value

    def add_all(self, samples: Iterable[Sample]) -> None:
        """Count values."""
        for measure, value, labels in samples:
            self.add(measure, value, *(labels[name] for name in measure.labels))

    def total(self, measure: Measure, *labels: str) -> float:
        """Return the sum of a counter."""
        with self._lock:
            return self._sums[measure].get(labels, 0.0)

    def count(self, measure: Measure) -> int:
        """Return the number of values in a histogram."""
        with self._lock:
            return sum(sum(classes.counts) for classes in self._classes[measure].values())

    def families(self, of: Iterable[Measure] | None = None) -> Iterator[Metric]:
        """Yield what was counted, for a page: these figures, or all."""
        from prometheus_client.core import HistogramMetricFamily

        wanted = {*self._sums, *self._classes} if of is None else {*of}
        with self._lock:
            sums = {
                measure: dict(values) for measure, values in self._sums.items() if measure in wanted
            }
            classes = {
                measure: {labels: (one.buckets(), one.sum) for labels, one in found.items()}
                for measure, found in self._classes.items()
                if measure in wanted
            }
        for measure, values in sums.items():
            yield family(measure, values)
        for measure, counted in classes.items():
            histogram = HistogramMetricFamily(
                measure.page_name, measure.text, labels=_labels(measure)
            )
            for labels, (buckets, total) in counted.items():
                histogram.add_metric(labels, buckets, total)
            yield histogram


class RunTally:
    """Counts the events of one run."""

    trace: Trace | None = None

    def __init__(self, add: Callable[[Iterable[Sample]], None], begun_s: float) -> None:
        self._add = add
        self._begun_s = begun_s

    def take(self, event: AnyEvent) -> None:
        """See `RunSink`."""
        self._add(measures.of_event(event, self._begun_s))

    def end(self, ending: Ending | None, duration_ms: int) -> None:
        """See `RunSink`."""
        if ending is not None:
            self._add(measures.of_end(ending.reason, duration_ms))


def family(measure: Measure, values: dict[tuple[str, ...], float]) -> Metric:
    """Return a counter or a gauge for a page.

    Args:
        measure: The figure.
        values: Its value for each list of values of its labels.

    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    make = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    made: Metric = make(measure.page_name, measure.text, labels=_labels(measure))
    for labels, value in values.items():
        made.add_metric(labels, value)  # type: ignore[attr-defined]  # both have it
    return made


def families_of(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Yield figures that were asked for, for a page."""
    found: dict[Measure, dict[tuple[str, ...], float]] = {}
    for measure, value, labels in samples:
        of = found.setdefault(measure, {})
        of[tuple(labels[name] for name in measure.labels)] = value
    for measure, values in found.items():
        yield family(measure, values)


def page(collect: Callable[[], Iterable[Metric]]) -> tuple[bytes, str]:
    """Return a page of Prometheus, and its content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(collect))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Collector:
    """The form of a collector that a registry of prometheus_client expects."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        return self._collect()

    def describe(self) -> list[Metric]:
        """Return nothing: the figures are asked for only when a page is made."""
        return []


def _labels(measure: Measure) -> list[str]:
    return [name.replace(".", "_") for name in measure.labels]
