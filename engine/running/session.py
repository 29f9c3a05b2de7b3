"""One run, without its processes: what a child says goes in, events and verdicts come out.

Nothing here reads, writes, waits or kills; the supervisor does that.  The first verdict stays:
once a limit has fired, nothing that the child says after it changes how the run ended.  The child is
still heard until it is gone, because the events must say what it did before it was stopped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from engine.reporting import (
    Ending,
    EventLog,
    Outcome,
    Redactor,
    Reporter,
    Studied,
    Usage,
    reason_of,
    secrets_within,
)
from engine.running.claims import Claims, bounded
from engine.running.deadlines import Deadlines
from engine.running.ending import Facts, decide_ending
from engine.running.order import Order
from engine.running.resolvers import Kind, Resolution
from engine.running.roles import as_own, check_job_error
from engine.start import Exit
from protocol import codec, events
from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, MEGABYTE, PROTOCOL_VERSION
from protocol.phases import Phase, advance
from protocol.report import ErrorReport, make_report
from protocol.state import NIL, decode_state
from protocol.words import LogSource

_MAX_REASON: Final = 500

_STDERR_BYTES: Final = 2_000
"""The end of the standard error that may say of what a child died."""

_TIGHT: Final = 0.9
"""A state that is so much of its frame is kept with it; to copy it would hold it twice for a moment."""


_NOTHING: Final = msgspec.Raw(NIL)


class LoadRequest(msgspec.Struct, frozen=True):
    """The child wants a credential or a state."""

    kind: Kind
    id: str
    step_id: str
    step_run_id: str


class OpenStep(msgspec.Struct):
    """The step whose turn it is."""

    step_id: str
    step_run_id: str
    job_started: float | None = None

    @property
    def ids(self) -> dict[str, Any]:
        """The fields that all its events have."""
        return {"step_id": self.step_id, "step_run_id": self.step_run_id, "attempt": 1}


class Session:
    """What is known about one run, from its order to its end.  For the supervisor's thread."""

    def __init__(self, order: Order, log: EventLog) -> None:
        self.run_id = order.run_id
        self.options = order.options
        self.order: Order | None = order
        self.verdict: ErrorReport | None = None
        self._grace_lost = False
        self._deaf = False
        """Whether the child is not heard any more: it has broken the protocol, or exceeds its events."""
        self.load_request: LoadRequest | None = None
        self.deadlines = Deadlines(order.options)
        self.resolvers = order.resolvers
        self.read_memory: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Reads the resident set of the child, and the largest one so far, in bytes."""
        self.peak_bytes = 0
        self._first_memory: int | None = None
        self._known_ids = {"credential": order.credential_ids, "state": order.state_ids}
        self._max_step_runs = order.max_step_runs
        self._phase = Phase.STARTING
        self._frame_bytes = sys.maxsize
        self._step: OpenStep | None = None
        self._step_runs = 0
        self._last: m.WorkflowComplete | m.WorkflowError | m.ConfineFailed | None = None
        self._last_state: tuple[str | None, msgspec.Raw] = (None, _NOTHING)
        self._final_state = _NOTHING
        self._confinement = order.confinement
        self._versions = order.versions
        self._meta = order.meta
        self._claims = Claims(order.workflow)
        redactor = Redactor(
            public_keys=order.options.public_credential_keys,
            is_id=self._claims.is_id,
            named=order.credential_ids | order.state_ids,
        )
        self._reporter = Reporter(order.run_id, order.options, log, self.judge, redactor)
        for configuration in order.configurations:
            self._reporter.redactor.learn(configuration)
        # A connection URL in place of an id is quoted in the error that there is no such credential.
        for name in order.credential_ids | order.state_ids:
            if within := list(secrets_within(name)):
                self._reporter.redactor.learn(within)
        self._resolutions: dict[tuple[Kind, str], Resolution] = {}
        self._asked_by: dict[tuple[Kind, str], str] = {}
        """For which execution of a step an id was resolved last."""
        self._failed_loads: set[tuple[Kind, str]] = set()
        self._cancelled = False
        """Whether the child was asked to come to an end."""
        self._loading_since = 0.0
        self._stderr = b""

    # --- what the child says ---

    def receive(self, message: m.Message, *, frame_bytes: int = sys.maxsize) -> None:
        """Take one message.

        Args:
            message: What the child says.
            frame_bytes: The length of the frame that it was, which its states keep alive.

        Raises:
            RemoteProtocolError: The child may not send it now, or it contradicts the plan.

        """
        if self.verdict is not None and self._reporter.full:
            self._deaf = self._grace_lost = True
        if self._deaf:
            return
        try:
            self._phase = advance(self._phase, message)
            self._frame_bytes = frame_bytes
            self.deadlines.heard()
            _HANDLERS[type(message)](self, message)
        except RemoteProtocolError:
            self._deaf = True
            raise

    def output(self, source: LogSource, data: bytes) -> None:
        """Take what the child wrote to one of its standard streams."""
        self.deadlines.heard()
        if source == "stderr":
            self._stderr = (self._stderr + data)[-_STDERR_BYTES:]
        self._reporter.logs.output(source, data)
        self._check_log_volume()

    @property
    def ready(self) -> bool:
        """Whether the child has been confined and may run jobs."""
        return self._phase not in (Phase.STARTING, Phase.GREETED)

    @property
    def must_die(self) -> bool:
        """Whether the child is to be killed now.

        A cancelled run has a grace period, which ends early if the run meets a limit.
        """
        return self._grace_lost

    @property
    def finished(self) -> bool:
        """Whether the child has said its last word."""
        return self._phase is Phase.DONE

    def _hello(self, message: m.Hello) -> None:
        if message.version != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                f"child speaks protocol version {message.version}, not {PROTOCOL_VERSION}"
            )

    def _ready(self, message: m.Ready) -> None:
        self._confinement = message.confinement
        self._reporter.emit(
            events.WorkflowStart,
            versions=self._versions,
            confinement=message.confinement,
            meta=self._meta,
        )
        self.deadlines.ready()

    def _end(self, message: m.WorkflowComplete | m.WorkflowError | m.ConfineFailed) -> None:
        if isinstance(message, m.WorkflowComplete):
            self._final_state = self._state_of(message)
            self._state_too_large(len(memoryview(self._final_state)))
        if not isinstance(message, m.ConfineFailed) and message.error is not None:
            message = msgspec.structs.replace(message, error=bounded(message.error))
        self._last = message
        self.deadlines.finished()

    def _state_of(self, message: m.WorkflowComplete) -> msgspec.Raw:
        """Return the state that the message carries, or the one that it only names."""
        if message.state_of is None:
            return self._to_keep(_raw(message.state))
        step_run_id, state = self._last_state
        if message.state_of != step_run_id:
            raise RemoteProtocolError("child names a state that was not the last one it sent")
        return state

    def _init_start(self, message: m.InitStart) -> None:
        self._claims.check_step(message.step_id, message.step_run_id)
        self._claims.check_new(message.step_run_id)
        self._count_step_run()
        self._reporter.logs.flush()  # what was held back belongs to the step before
        self._turn_to(OpenStep(message.step_id, message.step_run_id))
        self._reporter.emit(events.InitStart, **self._ids())

    def _init_complete(self, message: m.InitComplete) -> None:
        self._reporter.emit(
            events.InitComplete, duration_ms=_milliseconds(message.duration_ms), **self._ids()
        )

    def _load(self, message: m.LoadCredential | m.LoadState) -> None:
        kind: Kind = "credential" if isinstance(message, m.LoadCredential) else "state"
        if message.id not in self._known_ids[kind]:
            raise RemoteProtocolError(f"child asked for a {kind} that its plan does not name")
        self._claims.check_step(message.step_id, message.step_run_id)
        if self.load_request is not None:
            raise RemoteProtocolError(f"child asked for a {kind} before it had the last answer")
        if self._step is None:
            self._turn_to(OpenStep(message.step_id, message.step_run_id))
        elif (self._step.step_id, self._step.step_run_id) != (message.step_id, message.step_run_id):
            raise RemoteProtocolError(f"child asked for a {kind} for a step that is not open")
        if (kind, message.id) in self._failed_loads:
            raise RemoteProtocolError(f"child asked again for a {kind} that could not be had")
        self.load_request = LoadRequest(kind, message.id, message.step_id, message.step_run_id)
        self._loading_since = time.monotonic()
        self.deadlines.loading()

    def _job_start(self, _message: m.JobStart) -> None:
        assert self._step is not None
        self._step.job_started = time.monotonic()
        self._reporter.emit(events.JobStart, **self._ids())
        if not self._first_memory:
            self._first_memory = self.look_at_memory()
        self.deadlines.job_started(self._step.step_id)

    def _job_complete(self, message: m.JobComplete) -> None:
        too_large = self._state_too_large(message.state_bytes)
        if too_large is not None:
            self._close_too_large(too_large, message)
            return
        state, redacted = self._event_state(_raw(message.state), message.state_bytes)
        resident = self.look_at_memory()
        mem = events.Memory(
            job=max(0, resident - (self._first_memory or resident)),
            system=resident,
            peak=self.peak_bytes,
        )
        self._close_job(
            events.JobComplete,
            message.next,
            state=state,
            redacted=redacted,
            duration_ms=_milliseconds(message.duration_ms),
            mem=mem,
        )

    def look_at_memory(self) -> int:
        """Return the resident set; of a child that is gone already, the largest one seen."""
        resident, peak = self.read_memory()
        self.peak_bytes = max(self.peak_bytes, peak)
        return resident or self.peak_bytes

    def _job_error(self, message: m.JobError) -> None:
        check_job_error(message.error, cancelled=self._cancelled)
        if message.retry:
            raise RemoteProtocolError(
                "child wants to retry a step, for which its plan has no retry"
            )
        too_large = self._state_too_large(message.state_bytes)
        if too_large is not None:
            self._close_too_large(too_large, message)
            return
        state, redacted = self._event_state(_raw(message.state), message.state_bytes)
        self._close_job(
            events.JobError,
            message.next,
            error=bounded(message.error),
            state=state,
            redacted=redacted,
            duration_ms=_milliseconds(message.duration_ms),
        )

    def _close_too_large(self, report: ErrorReport, message: m.JobComplete | m.JobError) -> None:
        """Close a job whose state no event can carry: the child may say more before it is killed."""
        duration_ms = _milliseconds(message.duration_ms)
        self._close_job(events.JobError, (), error=report, state=None, duration_ms=duration_ms)

    def _turn_to(self, step: OpenStep | None) -> None:
        self._step = step
        self._reporter.step_ids = step.ids if step else {}

    def _close_job(
        self,
        kind: type[events.JobComplete | events.JobError],
        following: tuple[str, ...],
        **fields: Any,
    ) -> None:
        assert self._step is not None
        self._claims.check_next(self._step.step_id, following)
        self._reporter.logs.flush()
        self._reporter.emit(kind, **self._ids(), next=following, **fields)
        self._turn_to(None)
        self.deadlines.job_ended()

    def _edge_resolved(self, message: m.EdgeResolved) -> None:
        self._reporter.emit(
            events.EdgeResolved,
            from_step_id=message.from_step_id,
            to_step_id=message.to_step_id,
            condition=self._claims.condition(message.from_step_id, message.to_step_id),
            taken=message.taken,
        )

    def _unexpected(self, message: m.StepDied | m.Elsewhere) -> None:
        kind = type(message).__name__
        raise RemoteProtocolError(f"child sent {kind}, for which its Start gives no reason")

    def _log_batch(self, message: m.LogBatch) -> None:
        for entry in message.entries:
            self._reporter.logs.add(as_own(entry))
        # A batch without a line takes time to read, too.
        self._reporter.logs.count_dropped(
            message.dropped, max(0, message.dropped_bytes) + HEADER_BYTES
        )
        self._check_log_volume()

    # --- what was loaded for the child ---

    def known_resolution(self, request: LoadRequest) -> Resolution | None:
        """Return what was resolved for this id before and still holds."""
        known = self._resolutions.get((request.kind, request.id))
        if known is None:
            return None
        # A child may ask as often as it likes: the resolver is asked once for each execution of a step.
        repeated = self._asked_by.get((request.kind, request.id)) == request.step_run_id
        if repeated or known.expires is None or time.monotonic() < known.expires:
            return known
        return None

    def study(self, request: LoadRequest, outcome: Resolution | ErrorReport) -> Studied | None:
        """Return the secrets of an outcome, for `loaded`.  For the resolver's thread: it may take long."""
        if isinstance(outcome, ErrorReport):
            return None
        try:
            return self._reporter.redactor.study(_secret_part(request, outcome))
        except Exception:  # noqa: BLE001 - of a foreign object; `loaded` meets it again and ends the run
            return None

    def loaded(
        self,
        request: LoadRequest,
        outcome: Resolution | ErrorReport,
        studied: Studied | None = None,
    ) -> bytes:
        """Take the outcome of a request; return the message that answers the child."""
        self.load_request = None
        self.deadlines.loaded()
        if isinstance(outcome, ErrorReport):
            self._failed_loads.add((request.kind, request.id))
            return codec.encode(m.LoadFailed(error=outcome))
        self._asked_by[request.kind, request.id] = request.step_run_id
        if self._resolutions.get((request.kind, request.id)) is outcome:
            return codec.encode(m.Loaded(value=msgspec.Raw(outcome.encoded)))
        self._resolutions[request.kind, request.id] = outcome
        # Learn before the child can know the value: nothing it says may carry it out.
        redactor = self._reporter.redactor
        redactor.adopt(studied or redactor.study(_secret_part(request, outcome)))
        kind = events.CredentialLoad if request.kind == "credential" else events.StateLoad
        elapsed = round((time.monotonic() - self._loading_since) * 1000)
        self._reporter.emit(kind, id=request.id, duration_ms=elapsed, **self._ids())
        return codec.encode(m.Loaded(value=msgspec.Raw(outcome.encoded)))

    # --- limits ---

    def cancel(self, reason: str) -> bytes:
        """Set the verdict; return the message that tells the child."""
        self._cancelled = True
        if self.verdict is None and self._last is None:
            text = f"the run was cancelled: {reason[:_MAX_REASON]}"
            self.verdict = make_report("Cancelled", text)
        return codec.encode(m.Cancel(reason=reason[:_MAX_REASON]))

    def judge(self, report: ErrorReport) -> None:
        """Set the verdict, unless there is one or the child has already come to its end."""
        if self._last is not None:
            return
        if self.verdict is None:
            self.verdict = report
        self._grace_lost = True

    def _state_too_large(self, size: int) -> ErrorReport | None:
        """Judge a state of *size* bytes; return the report if it is above the limit."""
        limit = self.options.state_bytes
        if size <= limit:
            return None
        step_id = self._step.step_id if self._step else None
        what = f"the state of step {step_id!r}" if self._step else "the final state"
        report = make_report(
            "StateTooLargeError",
            f"{what} takes {size / MEGABYTE:.1f} MB; allowed: {limit / MEGABYTE:g} MB (state_mb)",
            step_id=step_id,
            option="state_mb",
        )
        self.judge(report)
        return report

    def _check_log_volume(self) -> None:
        if self._reporter.logs.excessive:
            self.judge(
                make_report(
                    "OutputLimitError",
                    f"the run has written {self._reporter.logs.bytes} bytes of logs, more than ten times"
                    f" the limit of {self.options.max_log_bytes} bytes (max_log_bytes)",
                    option="max_log_bytes",
                )
            )

    def _count_step_run(self) -> None:
        self._step_runs += 1
        limit = self._max_step_runs
        if self._step_runs > limit:
            self.judge(
                make_report(
                    "OutputLimitError",
                    f"the run has started more than {limit} steps (max_step_runs): steps that"
                    " are reached over several edges run once for each",
                    option="max_step_runs",
                )
            )

    # --- the end ---

    def finish(
        self,
        exited: Exit | None,
        *,
        oom_killed: bool = False,
    ) -> Outcome:
        """Close what is open, emit the last event, and return how the run ended.

        Call it once, when the child is gone (or never came) and all it wrote was received; or
        with no exit when its last word was.
        """
        self._reporter.logs.flush(final=True)
        self._reporter.emit_losses()
        step = self._step
        ending = decide_ending(
            Facts(
                verdict=self.verdict,
                exit=exited,
                oom_killed=oom_killed,
                memory_bytes=self.options.memory_bytes,
                cpu_limit_s=self.options.cpu_s,
                last=self._last,
                step_id=step.step_id if step else None,
                ready=self.ready,
                stderr=self._stderr,
            )
        )
        state: msgspec.Raw | None = None
        if ending.error is not None and step is not None and step.job_started is not None:
            elapsed = round((time.monotonic() - step.job_started) * 1000)
            self._reporter.emit(
                events.JobError,
                error=ending.error,
                state=None,
                next=(),
                duration_ms=elapsed,
                **step.ids,
            )
        duration = self.deadlines.elapsed_ms()
        error = self._reporter.redactor.struct(ending.error) if ending.error else None
        if ending.reason in ("success", "fail") and isinstance(self._last, m.WorkflowComplete):
            state = self._reporter.emit_complete(self._final_state, duration)
        else:
            self._reporter.emit(events.WorkflowError, error=error, duration_ms=duration)
        outcome = Outcome(
            ending=msgspec.structs.replace(ending, error=error),
            state=state,
            duration_ms=duration,
            usage=Usage(self.peak_bytes),
            confinement=self._confinement,
            versions=self._versions,
        )
        self._forget()
        return outcome

    def give_up(self, error: Exception) -> Outcome:
        """Return an outcome after `finish` has raised: nothing that the child said is in it."""
        report = internal_error(error)
        duration = self.deadlines.elapsed_ms()
        self._reporter.emit_internal_error(report, duration)
        self._forget()
        return Outcome(
            ending=Ending(reason_of(report), report),
            state=None,
            duration_ms=duration,
            usage=Usage(self.peak_bytes),
            confinement=self._confinement,
            versions=self._versions,
        )

    def _forget(self) -> None:
        """Drop every secret: the handle may be kept for long after the run."""
        self.order = None
        self._resolutions.clear()
        self._reporter.redactor.forget()
        self._reporter.close()
        self._last = None
        self._last_state = (None, _NOTHING)
        self._final_state = _NOTHING

    # --- events ---

    def _ids(self) -> dict[str, Any]:
        assert self._step is not None
        return self._step.ids

    def _event_state(self, state: msgspec.Raw, size: int) -> tuple[Any, bool]:
        """Return what an event carries for a state of *size* bytes, and whether it is redacted."""
        if not self.options.event_state:
            return None, False
        sent = len(memoryview(state))
        if sent == size and sent <= self.options.payload_mb * MEGABYTE:
            assert self._step is not None
            state = self._to_keep(state)  # the events that carry it and the result share it
            self._last_state = (self._step.step_run_id, state)
            return state, False
        return events.REDACTED, True

    def _to_keep(self, state: msgspec.Raw) -> msgspec.Raw:
        """Return a state that keeps alive little more than itself.

        It is a part of its frame, all of which it holds; a large one nearly is the frame.
        """
        size = len(memoryview(state))
        return state if size >= _TIGHT * self._frame_bytes else state.copy()


_HANDLERS: Final[dict[type[m.Message], Any]] = {
    m.Hello: Session._hello,  # noqa: SLF001 - its own table
    m.Ready: Session._ready,  # noqa: SLF001
    m.ConfineFailed: Session._end,  # noqa: SLF001
    m.InitStart: Session._init_start,  # noqa: SLF001
    m.InitComplete: Session._init_complete,  # noqa: SLF001
    m.LoadCredential: Session._load,  # noqa: SLF001
    m.LoadState: Session._load,  # noqa: SLF001
    m.JobStart: Session._job_start,  # noqa: SLF001
    m.JobComplete: Session._job_complete,  # noqa: SLF001
    m.JobError: Session._job_error,  # noqa: SLF001
    m.StepDied: Session._unexpected,  # noqa: SLF001
    m.Elsewhere: Session._unexpected,  # noqa: SLF001
    m.EdgeResolved: Session._edge_resolved,  # noqa: SLF001
    m.LogBatch: Session._log_batch,  # noqa: SLF001
    m.WorkflowComplete: Session._end,  # noqa: SLF001
    m.WorkflowError: Session._end,  # noqa: SLF001
}


def _raw(state: memoryview | None) -> msgspec.Raw:
    return _NOTHING if state is None else msgspec.Raw(state)


def _secret_part(request: LoadRequest, outcome: Resolution) -> Any:
    """Return what of a resolved value holds secrets: of a state its configuration, as a job gets it."""
    if request.kind == "credential":
        return outcome.value
    state = outcome.value
    if not isinstance(state, dict):
        state = decode_state(outcome.encoded)
    return state.get("configuration") if isinstance(state, dict) else None


def internal_error(error: Exception) -> ErrorReport:
    """Return the report of a bug of ours: told as what it is, never as a success."""
    return make_report("ProtocolError", f"internal error of the engine: {type(error).__name__}")


def _milliseconds(claimed: int) -> int:
    """Keep a duration that the child claims within reason."""
    return min(max(claimed, 0), 2**53)
