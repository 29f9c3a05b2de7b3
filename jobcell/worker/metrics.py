"""The page of metrics of a worker, in the format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from jobcell.worker.figures import Figures

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

AGE_S: Final = 5.0
"""Seconds for which the age of the oldest queued run is not asked again."""

REASONS: Final = ("success", "fail", "crash", "kill", "exception", "cancelled")


class Metrics:
    """Makes the page from the figures of a worker.

    Args:
        figures: The figures.
        running: Returns the number of runs in the hands of the worker.
        places: The number of its places.
        queued_age_s: Asks the store for the seconds for which the oldest run has waited; None: it does
            not answer.

    """

    def __init__(
        self,
        figures: Figures,
        running: Callable[[], int],
        places: int,
        queued_age_s: Callable[[], float | None],
    ) -> None:
        from prometheus_client import CollectorRegistry

        self._figures = figures
        self._running = running
        self._places = places
        self._queued_age_s = queued_age_s
        self._age: tuple[float, float | None] = (-AGE_S, None)
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self._collect))

    def page(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        figures = self._figures
        ends = CounterMetricFamily(
            "jobcell_runs", "Runs that have ended in this worker.", labels=["reason"]
        )
        for reason in REASONS:
            ends.add_metric([reason], figures.ends[reason])
        yield ends
        for name, text, number in (
            ("takeovers", "Runs that another worker had begun before.", figures.takeovers),
            ("beats", "Signs of life that the store has taken.", figures.beats),
            ("fences", "Times that the worker has stopped its own runs.", figures.fences),
        ):
            yield CounterMetricFamily(f"jobcell_{name}", text, value=number)
        yield GaugeMetricFamily("jobcell_running", "Runs in this worker.", value=self._running())
        yield GaugeMetricFamily("jobcell_places", "Runs at once, at most.", value=self._places)
        age_s = self._age_now()
        if age_s is not None:
            text = "Seconds for which the oldest run of the store has waited; 0 if none waits."
            yield GaugeMetricFamily("jobcell_queued_age_seconds", text, value=age_s)
        yield figures.flush_histogram()

    def _age_now(self) -> float | None:
        """Return the age of the oldest queued run, which is asked for only now and then."""
        asked_s, age_s = self._age
        now_s = time.monotonic()
        if now_s - asked_s >= AGE_S:
            age_s = self._queued_age_s()
            self._age = (now_s, age_s)
        return age_s


class _Collector:
    """The form of a collector that a registry of prometheus_client expects."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        return self._collect()
