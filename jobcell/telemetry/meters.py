"""The figures of `jobcell.telemetry.measures` as instruments of OpenTelemetry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from engine import Beginning
from jobcell.telemetry import measures
from jobcell.telemetry.measures import Measure, Sample
from jobcell.telemetry.tally import RunTally

log: logging.Logger = logging.getLogger("jobcell.telemetry")

Ask = Callable[[], Iterable[Sample]]


class Meters:
    """A sink that records figures.

    Args:
        meter: Makes the instruments.
        of: The figures that events give; others are passed over.

    """

    def __init__(self, meter: Meter, of: Iterable[Measure] = measures.OF_EVENTS) -> None:
        self._meter = meter
        self._record: dict[Measure, Callable[..., None]] = {}
        for measure in of:
            if measure.kind == "histogram":
                self._record[measure] = self._histogram(measure).record
            else:
                self._record[measure] = meter.create_counter(
                    measure.name, measure.unit, measure.text
                ).add

    def begin(self, beginning: Beginning, begun_s: float) -> RunTally:  # noqa: ARG002 - as in `Sink`
        """See `Sink`."""
        return RunTally(self.add_all, begun_s)

    def add_all(self, samples: Iterable[Sample]) -> None:
        """Record values."""
        for measure, value, labels in samples:
            record = self._record.get(measure)
            if record is not None:
                record(value, {name: text for name, text in labels.items() if text})

    def ask(self, of: Iterable[Measure], source: Ask) -> None:
        """Ask *source* for figures whenever they are exported."""
        for measure in of:
            if measure.kind == "histogram":
                continue  # only an instrument that is told of each value can be one
            make = self._meter.create_observable_gauge
            if measure.kind == "counter":
                make = self._meter.create_observable_counter  # type: ignore[assignment]
            make(
                measure.name,
                callbacks=[_callback(measure, source)],
                unit=measure.unit,
                description=measure.text,
            )

    def _histogram(self, measure: Measure) -> Any:
        return self._meter.create_histogram(
            measure.name,
            measure.unit,
            measure.text,
            explicit_bucket_boundaries_advisory=[*measure.bounds],
        )


def _callback(measure: Measure, source: Ask) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        try:
            samples = [*source()]
        except Exception as error:  # noqa: BLE001 - a store that is away must not end the export of the others
            log.warning("%s cannot be observed: %s", measure.name, type(error).__name__)
            return []
        return [Observation(s.value, dict(s.labels)) for s in samples if s.measure == measure]

    return observe
