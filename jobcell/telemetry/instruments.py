"""Connects an engine, a worker or a store with OpenTelemetry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from engine import Engine, Trace, __version__
from jobcell.telemetry import measures
from jobcell.telemetry.feed import CLOSE_S, Feed, Sink
from jobcell.telemetry.measures import Sample
from jobcell.telemetry.records import JOBS, Records

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from jobcell.telemetry.environment import Providers

SCOPE: Final = "jobcell"
MISSING: Final = "telemetry needs more packages: pip install 'jobcell[otel]'"


class TelemetryError(Exception):
    """Telemetry cannot be set up."""


class Worker(Protocol):
    """The part of a `jobcell.Worker` that telemetry uses."""

    @property
    def engine(self) -> Engine:
        """The engine that runs the plans."""

    def samples(self) -> Iterable[Sample]:
        """Return the figures that the worker keeps itself."""

    def record_to(self, record: Callable[[Iterable[Sample]], None] | None) -> None:
        """Have *record* called with the values of histograms."""

    def plan_spans(self, planner: Callable[[Trace | None], str] | None) -> None:
        """Let *planner* choose the ids of the spans of runs, for a worker that takes a run over."""


class Store(Protocol):
    """The part of a `jobcell.Store` that telemetry uses."""

    def trace_by(self, current: Callable[[], Trace | None] | None) -> None:
        """Have *current* called for the trace of a run that is enqueued without one."""

    def status(self) -> Any:
        """Return the numbers of runs."""


class Telemetry:
    """Follows runs until it is closed; it is a context manager.

    Close the engine first: runs that go on are cut off in the telemetry, and go on without it.
    """

    def __init__(self, feed: Feed | None, undo: Iterable[Callable[[], None]] = ()) -> None:
        self._feed = feed
        self._undo = [*undo]
        self._providers: Providers | None = None

    @property
    def dropped(self) -> int:
        """The number of runs that were not followed, because telemetry was too slow."""
        return 0 if self._feed is None else self._feed.dropped

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Pass everything that has happened on to the providers; return whether that was possible in time.

        The providers export when they want to; see `TracerProvider.force_flush`.
        """
        return self._feed is None or self._feed.flush(timeout_s)

    def close(self) -> None:
        """Pass on what is left, and follow no more runs; it may be called again."""
        for undo in self._undo:
            undo()
        self._undo.clear()
        if self._feed is not None:
            self._feed.close()
        if self._providers is not None:
            providers, self._providers = self._providers, None
            providers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def instrument(
    engine: Engine | None = None,
    *,
    worker: Worker | None = None,
    store: Store | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logs: bool = False,
) -> Telemetry:
    """Make spans, figures and records of the runs of an engine, or of those of a worker.

    Args:
        engine: Its runs are followed; that of the worker is followed in any case.
        worker: Its figures are observed, and its runs continue the traces of those who have enqueued them.
        store: A run that is enqueued without a trace gets the current one of OpenTelemetry, and the numbers of
            runs are observed.
        tracer_provider: Makes the spans; by default the global one of OpenTelemetry.
        meter_provider: Makes the instruments; by default the global one of OpenTelemetry.
        logs: Write the log lines of jobs to the logger ``jobcell.jobs`` as well.

    Raises:
        TelemetryError: The extra ``otel`` is not installed.
        TypeError: No engine, worker or store is given.

    """
    if engine is None and worker is None and store is None:
        raise TypeError("instrument needs an engine, a worker or a store")
    try:
        from opentelemetry import metrics, trace

        from jobcell.telemetry.meters import Meters
        from jobcell.telemetry.spans import Spans, current_trace, plan_run_span
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise TelemetryError(MISSING) from None
    undo: list[Callable[[], None]] = []
    meter = (meter_provider or metrics.get_meter_provider()).get_meter(SCOPE, __version__)
    of = [measure for measure in measures.OF_EVENTS if worker is None or measure != measures.RUNS]
    if worker is not None:
        of.append(measures.FLUSH)
    meters = Meters(meter, of)
    feed = None
    if worker is not None:
        engine = worker.engine
    if engine is not None:
        kind = trace.SpanKind.INTERNAL if worker is None else trace.SpanKind.CONSUMER
        tracer = (tracer_provider or trace.get_tracer_provider()).get_tracer(SCOPE, __version__)
        spans = Spans(tracer, kind, _job_logger() if logs else None)
        feed = Feed([spans, meters])
        feed.observe(engine)
        running = () if worker is None else (measures.RUNNING,)
        meters.ask([m for m in measures.OF_ENGINE if m not in running], lambda: _of(engine))
        if worker is not None and spans.ids is not None:
            worker.plan_spans(plan_run_span)
            undo.append(lambda: worker.plan_spans(None))
    if worker is not None:
        meters.ask(measures.OF_WORKER, worker.samples)
        worker.record_to(meters.add_all)
        undo.append(lambda: worker.record_to(None))
    if store is not None:
        store.trace_by(current_trace)
        undo.append(lambda: store.trace_by(None))
        meters.ask(measures.OF_STORE, lambda: counts(store.status()))
    return Telemetry(feed, undo)


def from_environment(
    engine: Engine | None = None, *, worker: Worker | None = None, store: Store | None = None
) -> Telemetry:
    """Do as `instrument`, with providers that the variables ``OTEL_*`` describe; closing it closes them.

    Raises:
        TelemetryError: A variable has a value that cannot be used, or the extra ``otel`` is not installed.

    """
    try:
        from jobcell.telemetry.environment import SettingError, read_environment
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"opentelemetry", "google"}:
            raise
        raise TelemetryError(MISSING) from None
    try:
        providers = read_environment()
    except SettingError as error:
        raise TelemetryError(str(error)) from None
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.trace import NoOpTracerProvider

    made = instrument(
        engine,
        worker=worker,
        store=store,
        tracer_provider=providers.tracer_provider or NoOpTracerProvider(),
        meter_provider=providers.meter_provider or NoOpMeterProvider(),
        logs=providers.has_logs,
    )
    made._providers = providers  # noqa: SLF001 - this module's own class
    return made


def log_jobs(engine: Engine, logger: logging.Logger | str = JOBS) -> Telemetry:
    """Write the log lines of jobs to a logger of the standard library; it needs no OpenTelemetry.

    A record has the time of its line and the fields ``run_id``, ``step_id``, ``step_run_id``, ``attempt`` and
    ``source``.
    """
    if isinstance(logger, str):
        logger = logging.getLogger(logger)
    sinks: list[Sink] = [Records(logger)]
    feed = Feed(sinks)
    feed.observe(engine)
    return Telemetry(feed)


def counts(status: Any) -> Iterable[Sample]:
    """Return the figures of a store for its numbers of runs."""
    for state in ("queued", "running", "done", "dead"):
        yield Sample(measures.RUNS_NOW, getattr(status, state), {"state": state})


def _of(engine: Engine) -> Iterable[Sample]:
    load = engine.load()
    return measures.of_load(load.queued, load.running, load.starts)


def _job_logger() -> logging.Logger:
    logger = logging.getLogger(JOBS)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # without a handler, warnings go to standard error
    return logger
