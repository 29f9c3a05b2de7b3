"""The figures of jobcell: the one place that names them, for OpenTelemetry and for Prometheus.

A figure that comes from events is found here as well, so that both count the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from protocol.events import (
    AnyEvent,
    JobComplete,
    JobError,
    NetConnect,
    WorkflowStart,
)

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]

DURATIONS_S: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 600.0, 3600.0),
)
"""Upper bounds of the classes of durations of runs, in seconds."""

TRANSACTIONS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the classes of durations of transactions, in seconds."""

_UNITS: Final = {"s": "seconds", "By": "bytes"}
"""The word that a page of Prometheus has for a unit."""


class Measure(NamedTuple):
    """A figure, as OpenTelemetry names it."""

    name: str
    kind: Kind
    unit: str
    """``s``, ``By``, or what is counted, in braces."""
    text: str
    labels: tuple[str, ...] = ()
    """The names of its attributes."""
    bounds: tuple[float, ...] = ()
    """The upper bounds of the classes of a histogram."""

    @property
    def page_name(self) -> str:
        """The name on a page of Prometheus, without the ending of a counter.

        Source: the specification of OpenTelemetry, "Prometheus and OpenMetrics Compatibility".
        """
        words = [self.name.replace(".", "_"), _UNITS.get(self.unit, "")]
        return "_".join(filter(None, words))


class Sample(NamedTuple):
    """A value of a figure."""

    measure: Measure
    value: float
    labels: Labels = MappingProxyType({})


REASON: Final = "reason"
ERROR: Final = "error.type"
DIRECTION: Final = "network.io.direction"

RUNS: Final = Measure("jobcell.runs", "counter", "{run}", "Runs that have ended.", (REASON,))
RUN_DURATION: Final = Measure(
    "jobcell.run.duration",
    "histogram",
    "s",
    "Durations of runs, without the time in the queue.",
    (REASON,),
    DURATIONS_S,
)
RUN_WAIT: Final = Measure(
    "jobcell.run.wait",
    "histogram",
    "s",
    "Time from the call of execute until a child was ready.",
    (),
    DURATIONS_S,
)
ATTEMPT_DURATION: Final = Measure(
    "jobcell.attempt.duration",
    "histogram",
    "s",
    "Durations of attempts of steps; error.type is empty if the job has returned.",
    (ERROR,),
    DURATIONS_S,
)
RETRIES: Final = Measure(
    "jobcell.retries", "counter", "{attempt}", "Attempts that another attempt follows.", (ERROR,)
)
CONNECTIONS: Final = Measure(
    "jobcell.connections", "counter", "{connection}", "Connections of jobs.", ("outcome",)
)
NET: Final = Measure(
    "jobcell.net", "counter", "By", "Bytes of the connections that have ended.", (DIRECTION,)
)
STARTS: Final = Measure(
    "jobcell.starts",
    "counter",
    "{child}",
    "Children of runs: exec, zygote, spare, warm.",
    ("kind",),
)
QUEUED: Final = Measure("jobcell.queued", "gauge", "{run}", "Runs that wait in this engine.")
RUNNING: Final = Measure("jobcell.running", "gauge", "{run}", "Runs that go on in this process.")
PLACES: Final = Measure("jobcell.places", "gauge", "{run}", "Runs at once, at most.")
QUEUED_AGE: Final = Measure(
    "jobcell.queued.age",
    "gauge",
    "s",
    "Seconds for which the oldest run of the store has waited; 0 if none waits.",
)
TAKEOVERS: Final = Measure(
    "jobcell.takeovers", "counter", "{run}", "Runs that another worker had begun before."
)
BEATS: Final = Measure(
    "jobcell.beats", "counter", "{beat}", "Signs of life that the store has taken."
)
FENCES: Final = Measure(
    "jobcell.fences", "counter", "{fence}", "Times that the worker has stopped its own runs."
)
FLUSH: Final = Measure(
    "jobcell.flush",
    "histogram",
    "s",
    "Seconds of a transaction that writes events and records.",
    (),
    TRANSACTIONS_S,
)
RUNS_NOW: Final = Measure("jobcell.runs.now", "gauge", "{run}", "Numbers of runs.", ("state",))

REASONS: Final = ("success", "fail", "crash", "kill", "exception", "cancelled")
KINDS: Final = ("exec", "zygote", "spare", "warm")

OF_EVENTS: Final = (
    RUNS,
    RUN_DURATION,
    RUN_WAIT,
    ATTEMPT_DURATION,
    RETRIES,
    CONNECTIONS,
    NET,
)
"""The figures that events give."""

OF_ENGINE: Final = (QUEUED, RUNNING, STARTS)
"""The figures that an engine is asked for."""

OF_WORKER: Final = (RUNS, RUNNING, PLACES, QUEUED_AGE, TAKEOVERS, BEATS, FENCES, FLUSH)
"""The figures that a worker keeps itself."""

OF_STORE: Final = (RUNS_NOW,)

ALL: Final = tuple(dict.fromkeys((*OF_EVENTS, *OF_ENGINE, *OF_WORKER, *OF_STORE)))


def of_event(event: AnyEvent, begun_s: float) -> Iterator[Sample]:
    """Yield the values that an event gives.

    Args:
        event: The event.
        begun_s: When the run was queued, in seconds since 1970.

    """
    if isinstance(event, JobComplete | JobError):
        error = event.error.name if isinstance(event, JobError) else ""
        yield Sample(ATTEMPT_DURATION, event.duration_ms / 1000, {ERROR: error})
        if isinstance(event, JobError) and event.retry_in_ms is not None:
            yield Sample(RETRIES, 1, {ERROR: error})
    elif isinstance(event, NetConnect):
        yield Sample(CONNECTIONS, 1, {"outcome": event.outcome})
        yield Sample(NET, event.bytes_sent, {DIRECTION: "transmit"})
        yield Sample(NET, event.bytes_received, {DIRECTION: "receive"})
    elif isinstance(event, WorkflowStart):
        yield Sample(RUN_WAIT, max(0.0, event.time - begun_s))


def of_end(reason: str, duration_ms: int) -> Iterator[Sample]:
    """Yield the values that the end of a run gives."""
    labels = {REASON: reason}
    yield Sample(RUNS, 1, labels)
    yield Sample(RUN_DURATION, duration_ms / 1000, labels)


def of_load(queued: int, running: int, starts: Mapping[str, int]) -> Iterator[Sample]:
    """Yield the figures of an engine."""
    yield Sample(QUEUED, queued)
    yield Sample(RUNNING, running)
    for kind in KINDS:
        yield Sample(STARTS, starts.get(kind, 0), {"kind": kind})
