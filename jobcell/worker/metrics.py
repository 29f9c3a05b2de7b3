"""The figures of a worker, for its page of metrics and for OpenTelemetry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from engine import Engine
from jobcell.telemetry import Feed, Sample, Tally, families_of, measures, page
from jobcell.worker.figures import Figures

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

AGE_S: Final = 5.0
"""Seconds for which the age of the oldest queued run is not asked again."""


class Metrics:
    """Collects the figures of a worker.

    Args:
        figures: The counts of the worker.
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
        self._figures = figures
        self._running = running
        self._places = places
        self._queued_age_s = queued_age_s
        self._age: tuple[float, float | None] = (-AGE_S, None)

    def samples(self) -> Iterable[Sample]:
        """Return the figures that the worker keeps itself, without its histograms."""
        yield from self._figures.samples()
        yield Sample(measures.RUNNING, self._running())
        yield Sample(measures.PLACES, self._places)
        age_s = self._age_now()
        if age_s is not None:
            yield Sample(measures.QUEUED_AGE, age_s)

    def families(self) -> Iterable[Metric]:
        """Return all of these figures for a page."""
        yield from families_of(self.samples())
        yield from self._figures.families()

    def _age_now(self) -> float | None:
        """Return the age of the oldest queued run, which is asked for only now and then."""
        asked_s, age_s = self._age
        now_s = time.monotonic()
        if now_s - asked_s >= AGE_S:
            age_s = self._queued_age_s()
            self._age = (now_s, age_s)
        return age_s


class Page:
    """The page of metrics, which also has the figures of the engine's runs; it follows them until it is closed.

    Args:
        metrics: The figures of the worker.
        engine: Its engine.

    """

    def __init__(self, metrics: Metrics, engine: Engine) -> None:
        self._metrics = metrics
        self._engine = engine
        # The worker counts the ends itself: a run that it gives back has not ended.
        self._tally = Tally(m for m in measures.OF_EVENTS if m != measures.RUNS)
        self._feed = Feed([self._tally])
        self._feed.observe(engine)

    def page(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return page(self._collect)

    def close(self) -> None:
        """Follow the runs no longer."""
        self._feed.close()

    def _collect(self) -> Iterable[Metric]:
        yield from self._metrics.families()
        load = self._engine.load()
        of_engine = measures.of_load(load.queued, load.running, load.starts)
        yield from families_of(s for s in of_engine if s.measure != measures.RUNNING)
        yield from self._tally.families()
