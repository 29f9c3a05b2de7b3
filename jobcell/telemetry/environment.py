"""Makes the providers of OpenTelemetry that the standard variables ``OTEL_*`` describe."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from engine import __version__
from jobcell.telemetry.records import JOBS

_TRUE: Final = "true"
_PROTOCOL: Final = "http/protobuf"
_PROTOCOLS: Final = {_PROTOCOL: "otlp_proto_http", "grpc": "otlp_proto_grpc"}
CLOSE_S: Final = 5.0

log: logging.Logger = logging.getLogger("jobcell.telemetry")


class SettingError(ValueError):
    """A variable has a value that cannot be used."""


class Providers:
    """The providers of this process; `close` sends what they still have."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        log_handler: logging.Handler | None = None,
        logger_provider: Any = None,
    ) -> None:
        self.tracer_provider: TracerProvider | None = tracer_provider
        self.meter_provider: MeterProvider | None = meter_provider
        self._log_handler = log_handler
        self._logger_provider = logger_provider

    @property
    def has_logs(self) -> bool:
        """Whether the log lines of jobs are exported."""
        return self._log_handler is not None

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Send what is left, and end; a collector that does not answer is given up after this time."""
        if self._log_handler is not None:
            logging.getLogger(JOBS).removeHandler(self._log_handler)
        # In threads: exporters of older SDKs repeat a request for a minute, and nothing can stop them.
        threads = [
            threading.Thread(target=provider.shutdown, name="jobcell-telemetry-end", daemon=True)
            for provider in (self.tracer_provider, self.meter_provider, self._logger_provider)
            if provider is not None
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            log.warning("the collector of telemetry does not answer; its last data are lost")


def read_environment() -> Providers:
    """Return the providers that the environment describes.

    ``OTEL_SERVICE_NAME`` is ``jobcell`` if it is not set. Log lines are exported only if
    ``OTEL_LOGS_EXPORTER`` is set, because they are texts of users.

    Raises:
        SettingError: A variable has a value that cannot be used.

    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == _TRUE:
        return Providers(None, None)
    resource = Resource.create({"service.version": __version__, **_service()})
    tracer_provider = None
    if (spans := _exporter("traces")) is not None:
        tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracer_provider.add_span_processor(BatchSpanProcessor(spans))
    meter_provider = None
    if (figures := _exporter("metrics")) is not None:
        reader = (
            figures if isinstance(figures, MetricReader) else PeriodicExportingMetricReader(figures)
        )
        meter_provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    handler, logger_provider = _logs(resource)
    return Providers(tracer_provider, meter_provider, handler, logger_provider)


def _service() -> dict[str, str]:
    attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in attributes
    return {} if named else {"service.name": "jobcell"}


def _logs(resource: Resource) -> tuple[logging.Handler | None, Any]:
    """Return the bridge of OpenTelemetry for the logger of jobs, and its provider."""
    if "OTEL_LOGS_EXPORTER" not in os.environ or (exporter := _exporter("logs")) is None:
        return None, None
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    with warnings.catch_warnings():
        # Newer SDKs would have it from a package of its own, which the older ones do not have.
        warnings.simplefilter("ignore", DeprecationWarning)
        handler = LoggingHandler(logging.DEBUG, provider)
    logger = logging.getLogger(JOBS)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return handler, provider


def _exporter(signal: str) -> Any:
    """Return the exporter of a signal (traces, metrics, logs); None: it is not exported.

    Raises:
        SettingError: It is not known, or cannot be made.

    """
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    name = os.environ.get(variable, "").strip() or "otlp"
    if name == "none":
        return None
    advice = "use otlp, console or none, or install the package of another exporter"
    if name == "otlp":
        variable, protocol = _protocol(signal)
        name = _PROTOCOLS.get(protocol, "")
        advice = f"use {_PROTOCOL}, or install opentelemetry-exporter-otlp-proto-grpc for grpc"
        if not name:
            raise SettingError(f"{variable}: there is no {protocol!r}; {advice}")
    found = next(iter(entry_points(group=f"opentelemetry_{signal}_exporter", name=name)), None)
    if found is None:
        raise SettingError(
            f"{variable}: {os.environ.get(variable, name)!r} is not installed; {advice}"
        )
    try:
        return found.load()()
    except (ImportError, ValueError, TypeError) as error:
        raise SettingError(f"{variable}: the exporter {name!r} cannot be made: {error}") from None


def _protocol(signal: str) -> tuple[str, str]:
    for variable in (
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ):
        if value := os.environ.get(variable, "").strip():
            return variable, value
    return "OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL
