"""The spans of runs, made from their events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from engine import (
    AnyEvent,
    Beginning,
    CredentialLoad,
    EdgeResolved,
    ErrorReport,
    InitStart,
    JobComplete,
    JobError,
    JobStart,
    Log,
    NetConnect,
    StateLoad,
    Trace,
    WorkflowError,
    WorkflowStart,
)
from engine.reporting import Ending
from jobcell.telemetry import names
from jobcell.telemetry.ids import PlannedIds, planned_ids
from jobcell.telemetry.origins import Origins
from jobcell.telemetry.records import write
from protocol.plan import Step
from protocol.trace import read_traceparent, span_below

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_IDS: Final = RandomIdGenerator()


class Spans:
    """A sink that makes a span for each run, for each of its step runs, and for each attempt of these.

    Args:
        tracer: Makes the spans.
        kind: The kind of the spans of runs.
        logger: Gets the log lines of jobs, within the span of their attempt; None: nothing does.

    """

    def __init__(
        self, tracer: Tracer, kind: SpanKind, logger: logging.Logger | None = None
    ) -> None:
        self.tracer: Tracer = tracer
        self.ids: PlannedIds | None = planned_ids(tracer)
        self.kind: SpanKind = kind
        self.logger: logging.Logger | None = logger

    def begin(self, beginning: Beginning, begun_s: float) -> RunSpans:
        """See `Sink`: starts the span of a run, below the trace of the caller or the current span."""
        return RunSpans(self, beginning, begun_s)


class RunSpans:
    """The spans of one run, from `Engine.execute` to its end."""

    def __init__(self, spans: Spans, beginning: Beginning, begun_s: float) -> None:
        self._spans = spans
        self._steps = {step.id: step for step in beginning.plan.workflow.steps}
        self._origins: Origins[SpanContext] = Origins(beginning.plan.workflow)
        self._last_s = begun_s
        self._step: Span | None = None
        self._step_run_id = ""
        self._step_id = ""
        self._attempt: Span | None = None
        self._error: ErrorReport | None = None
        self._shown: str | None = None
        """The message of the last error that an attempt has."""
        self._run = self._start_run(beginning, begun_s)
        self._run_context = set_span_in_context(self._run, Context())

    @property
    def trace(self) -> Trace | None:
        """See `RunSink`."""
        context = self._run.get_span_context()
        if not context.is_valid:
            return None
        state = context.trace_state.to_header() if context.trace_state else ""
        return Trace(_text(context), state, has_spans=self._spans.ids is not None)

    # --- the run ---

    def _start_run(self, beginning: Beginning, begun_s: float) -> Span:
        plan, trace = beginning.plan, beginning.trace
        workflow = plan.workflow
        attributes: dict[str, Any] = {names.RUN_ID: plan.id}
        if workflow.id is not None:
            attributes[names.WORKFLOW_ID] = workflow.id
        if workflow.name is not None:
            attributes[names.WORKFLOW_NAME] = workflow.name
        if beginning.replayed:
            attributes[names.REPLAYED] = beginning.replayed
        planned = trace.run_span if trace is not None else ""
        if planned and self._spans.ids is not None:
            own = read_traceparent(planned)
            self._spans.ids.plan(own.span_id, own.trace_id)
        named = workflow.name or workflow.id
        return self._spans.tracer.start_span(
            f"run {named}" if named else "run",
            context=_parent_of(trace),
            kind=self._spans.kind,
            attributes=attributes,
            links=[Link(_remote(text)) for text in (trace.links if trace is not None else ())],
            start_time=_ns(begun_s),
        )

    def end(self, ending: Ending | None, duration_ms: int) -> None:  # noqa: ARG002 - as in `RunSink`
        """See `RunSink`."""
        if ending is None:
            self._run.set_attribute(names.UNFINISHED, True)
        else:
            self._run.set_attribute(names.REASON, ending.reason)
        error = None if ending is None else self._error or ending.error
        if error is not None:
            _fail(self._run, error)
            if error.message != self._shown:  # no attempt has it
                _show(self._step or self._run, error, self._last_s)
        self._close_step(error, self._last_s)
        self._run.end(_ns(self._last_s))

    # --- events ---

    def take(self, event: AnyEvent) -> None:
        """See `RunSink`."""
        if isinstance(event, Log):
            if self._spans.logger is not None:
                write(self._spans.logger, event, self._place())
            return
        self._last_s = max(self._last_s, event.time)
        match event:
            case WorkflowStart():
                self._run.add_event(event.type, timestamp=_ns(event.time))
            case InitStart():
                self._open_step(event)
            case CredentialLoad() | StateLoad():
                self._on_load(event)
            case JobStart():
                self._on_job(event)
            case JobComplete():
                self._on_complete(event)
            case JobError():
                self._on_error(event)
            case EdgeResolved():
                self._origins.decided(event.from_step_id, event.to_step_id, taken=event.taken)
            case NetConnect():
                self._on_connection(event)
            case WorkflowError():
                self._error = event.error
            case _:
                pass

    def _on_load(self, event: CredentialLoad | StateLoad) -> None:
        span = self._step or self._run
        attributes: dict[str, Any] = {
            names.LOAD_ID: event.id,
            names.DURATION_MS: event.duration_ms,
        }
        span.add_event(event.type, attributes, _ns(event.time))

    def _on_job(self, event: JobStart) -> None:
        self._open_step(event)
        assert self._step is not None
        self._plan_below(event.step_run_id, str(event.attempt))
        self._attempt = self._spans.tracer.start_span(
            f"attempt {event.step_id}",
            context=set_span_in_context(self._step, Context()),
            attributes={
                names.RUN_ID: event.run_id,
                names.STEP_ID: event.step_id,
                names.STEP_RUN_ID: event.step_run_id,
                names.ATTEMPT: event.attempt,
            },
            start_time=_ns(event.time),
        )

    def _on_complete(self, event: JobComplete) -> None:
        if self._attempt is not None:
            self._attempt.set_attribute(names.PEAK_MEMORY, event.mem.peak)
        self._end_attempt(event.time)
        self._end_step(event)

    def _on_error(self, event: JobError) -> None:
        if self._attempt is not None:
            _fail(self._attempt, event.error)
            _show(self._attempt, event.error, event.time)
            self._shown = event.error.message
            if event.retry_in_ms is not None:
                self._attempt.set_attribute(names.RETRY_IN_MS, event.retry_in_ms)
        self._end_attempt(event.time)
        if event.retry_in_ms is None:
            if self._step is not None:
                _fail(self._step, event.error)
            self._end_step(event)

    def _on_connection(self, event: NetConnect) -> None:
        attributes: dict[str, Any] = {
            names.SERVER: event.host,
            names.TRANSPORT: "tcp",
            names.OUTCOME: event.outcome,
            names.SENT: event.bytes_sent,
            names.RECEIVED: event.bytes_received,
            names.DURATION_MS: event.duration_ms,
        }
        if event.port:
            attributes[names.PORT] = event.port
        if event.reason:
            attributes[names.NET_REASON] = event.reason
        self._run.add_event(event.type, attributes, _ns(event.time))

    # --- steps ---

    def _open_step(self, event: InitStart | JobStart) -> None:
        """Start the span of a step run, unless it goes on: its attempts share it."""
        if self._step is not None:
            if self._step_run_id == event.step_run_id:
                return
            self._close_step(None, event.time)
        step = self._steps.get(event.step_id)
        links = [Link(context) for context in self._origins.begun(event.step_id)]
        self._step_run_id, self._step_id = event.step_run_id, event.step_id
        self._plan_below(event.step_run_id)
        self._step = self._spans.tracer.start_span(
            f"step {event.step_id}",
            context=self._run_context,
            attributes={
                names.RUN_ID: event.run_id,
                names.STEP_ID: event.step_id,
                names.STEP_RUN_ID: event.step_run_id,
                **_of_step(step),
            },
            links=links,
            start_time=_ns(event.time),
        )

    def _end_step(self, event: JobComplete | JobError) -> None:
        if self._step is None:
            return
        self._origins.ended(self._step.get_span_context(), event.next)
        if event.next:
            self._step.set_attribute(names.STEP_NEXT, event.next)
        self._step.end(_ns(event.time))
        self._step = None

    def _end_attempt(self, time_s: float) -> None:
        if self._attempt is not None:
            self._attempt.end(_ns(time_s))
            self._attempt = None

    def _close_step(self, error: ErrorReport | None, time_s: float) -> None:
        """End the spans that are still open: the run has ended while a step was prepared, or waited."""
        self._end_attempt(time_s)
        if self._step is not None:
            if error is not None:
                _fail(self._step, error)
            self._step.end(_ns(time_s))
            self._step = None

    # --- places ---

    def _plan_below(self, *of: str) -> None:
        ids, context = self._spans.ids, self._run.get_span_context()
        if ids is not None and context.is_valid:
            ids.plan(span_below(f"{context.span_id:016x}", *of))

    def _place(self) -> AbstractContextManager[object]:
        """Return a context in which the span of the attempt is the current one."""
        return _within(self._attempt or self._step or self._run)


@contextmanager
def _within(span: Span) -> Iterator[None]:
    token = otel_context.attach(set_span_in_context(span, Context()))
    try:
        yield
    finally:
        otel_context.detach(token)


def _of_step(step: Step | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if step is not None and step.name is not None:
        found[names.STEP_NAME] = step.name
    if step is not None and step.adaptors:
        found[names.STEP_ADAPTORS] = step.adaptors
    return found


def _fail(span: Span, error: ErrorReport) -> None:
    """Give a span the error; its text is the one of the event, without secrets."""
    span.set_status(Status(StatusCode.ERROR, error.message))
    span.set_attribute(names.ERROR_TYPE, error.name)


def _show(span: Span, error: ErrorReport, time_s: float) -> None:
    """Add the event of an exception to the innermost span that it has ended."""
    attributes: dict[str, Any] = {
        names.EXCEPTION_TYPE: error.subtype or error.name,
        names.EXCEPTION_MESSAGE: error.message,
    }
    if error.position is not None:
        attributes[names.LINE] = error.position.line
        attributes[names.COLUMN] = error.position.column
    span.add_event("exception", attributes, _ns(time_s))


def current_trace() -> Trace | None:
    """Return the place of the current span of OpenTelemetry; None without one."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return Trace(_text(context), context.trace_state.to_header() if context.trace_state else "")


def plan_run_span(trace: Trace | None) -> str:
    """Choose the ``traceparent`` of the span of a run, in a trace or in a new one."""
    trace_id, flags = f"{_IDS.generate_trace_id():032x}", "01"
    if trace is not None:
        trace_id, _, flags = read_traceparent(trace.traceparent)
    return f"00-{trace_id}-{_IDS.generate_span_id():016x}-{flags}"


def _parent_of(trace: Trace | None) -> Context:
    """Return the context of the trace that the caller has given, or of the current span."""
    if trace is None:
        return set_span_in_context(get_current_span(), Context())
    if trace.traceparent == trace.run_span:  # the span of the run is the first one of its trace
        return Context()
    carrier = {"traceparent": trace.traceparent, "tracestate": trace.tracestate}
    return _PROPAGATOR.extract(carrier, Context())


def _remote(traceparent: str) -> SpanContext:
    parent = read_traceparent(traceparent)
    return SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parent.flags, 16)),
    )


def _text(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _ns(time_s: float) -> int:
    return int(time_s * 1e9)
