"""The conversation with one child: its messages and its output become events and effects.

A run may have several children, one after the other. A conversation holds the parts of one child,
and gets the parts of the run from its caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import msgspec

from engine.running.session.claims import bounded
from engine.running.session.collecting import unread
from engine.running.session.deadlines import Deadlines
from engine.running.session.effects import DISMISS, KILL, NO_EFFECTS, Effects, Record, Resolve, Send
from engine.running.session.execution import Ended
from engine.running.session.footprint import Reading
from engine.running.session.limits import state_too_large, too_many_events, too_much_output
from engine.running.session.loading import Answer, Request
from engine.running.session.moment import Moment
from engine.running.session.parts import RunParts
from engine.running.session.recovery import KEPT_S
from engine.running.session.roles import as_own
from protocol import codec, events
from protocol import messages as m
from protocol.collection_messages import COLLECTION_REQUESTS, CollectionRequest
from protocol.confinement import ConfinementReport
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, PROTOCOL_VERSION
from protocol.message import Message
from protocol.phases import AFTER_PROCEED, Phase, advance, proceed
from protocol.report import ErrorReport
from protocol.state import NIL
from protocol.words import LogSource

_STDERR_BYTES: Final = 2_000
"""Bytes of the end of the standard error, which may show why a child died."""

_NOTHING: Final = msgspec.Raw(NIL)

_PROCEED: Final[Effects] = (Send(codec.encode(m.Proceed())),)


class Conversation:
    """The messages of one child, from the first to the last.

    Only the supervisor's thread uses it.
    """

    def __init__(self, run: RunParts, deadlines: Deadlines) -> None:
        self.deaf = False
        """Whether the engine ignores the child, because it broke the protocol or sent too many
        events."""
        self.doomed = False
        """Whether the child is to be killed at once."""
        self.asked_to_end = False
        """Whether the child was sent a cancellation."""
        self.last: m.WorkflowComplete | m.WorkflowError | m.ConfineFailed | None = None
        """The last message of the child; None before it arrives."""
        self.final_state = _NOTHING
        self.confinement: ConfinementReport | None = None
        """The report of the child about its walls."""
        self.stderr = b""
        """The end of its standard error."""
        self.heard = False
        """Whether the child has sent a message."""
        self.next_child_s: float | None = None
        """The earliest time on the monotonic clock at which another child replaces this one."""
        self.proceed_s: float | None = None
        """The time on the monotonic clock at which the child begins the next attempt."""
        self.death: ErrorReport | None = None
        """The limit for which the child is killed, if the run survives that."""
        self.ended_late = False
        """Whether the step for which the child is killed has ended before the child was gone."""
        self.ended: Ended | None = None
        """The end of a step that is being written to the journal."""
        self._phase = Phase.STARTING
        self._reads = True
        """Whether the child had read all messages to it before it sent the present message."""
        self._options = run.options
        self._reporter = run.reporter
        self._steps = run.steps
        self._loading = run.loading
        self._collecting = run.collecting
        self._recovery = run.recovery
        self._deaths = run.deaths
        self._verdict = run.verdict
        self._versions = run.versions
        self._meta = run.meta
        self._replayed = run.replayed
        self._deadlines = deadlines

    @property
    def ready(self) -> bool:
        """Whether the child was confined and may run jobs."""
        return self._phase not in (Phase.STARTING, Phase.GREETED)

    def receive(
        self,
        message: Message,
        now: Moment,
        frame_bytes: int,
        memory: Reading | None,
        reads: bool,
    ) -> Effects:
        """Take one message; see `Session.receive`."""
        if self.deaf:
            return NO_EFFECTS
        if self._verdict.report is not None and self._reporter.full:
            self.deaf = True
            return self.doom()
        self._reads = reads
        self._steps.frame_bytes = frame_bytes
        if memory is not None:
            self._steps.footprint.take(memory)
        self._reporter.time_s = now.wall_s
        try:
            self._phase = advance(self._phase, message, barrier=self._recovery.journaled)
            self.heard = True
            self._deadlines.heard(now.s)
            effects = self._HANDLERS[type(message)](self, message, now)
        except RemoteProtocolError:
            self.deaf = True
            self._check_events()
            raise
        return effects + self._check_events() if self._reporter.exceeded else effects

    def output(self, source: LogSource, data: bytes, now: Moment) -> Effects:
        """Take bytes that the child wrote to one of its standard streams."""
        self._deadlines.heard(now.s)
        self._reporter.time_s = now.wall_s
        if source == "stderr":
            self.stderr = (self.stderr + data)[-_STDERR_BYTES:]
        self._reporter.logs.output(source, data)
        return self._check_events() + self._check_log_volume()

    def loaded(self, answer: Answer, now: Moment) -> Effects:
        """Take the answer to a question of the child; an answer that comes too late has no effect."""
        if self._verdict.report is not None or not self._loading.awaits(answer):
            return NO_EFFECTS
        self._deadlines.loaded(now.s)
        message, new = self._loading.take(answer)
        if new:
            request = answer.request
            assert self._steps.open is not None
            self._reporter.time_s = now.wall_s
            self._reporter.emit(
                events.CredentialLoad if request.kind == "credential" else events.StateLoad,
                id=request.id,
                duration_ms=round(self._loading.lasted_s(now.s) * 1000),
                **self._steps.open.ids,
            )
        return (Send(codec.encode(message)), *self._check_events())

    def recorded(self, now: Moment) -> Effects:
        """Take note that the journal has kept the end of a step, and let the child go on.

        The end is reported now, unless the journal keeps events as well: then it was reported before.
        """
        ended, self.ended = self.ended, None
        if ended is None:
            return NO_EFFECTS
        self._reporter.time_s = now.wall_s
        if not self._recovery.keeps_events:
            self._steps.report(ended)
        return self.proceed(now) + self._check_events()

    def proceed(self, now: Moment) -> Effects:
        """Let a child go on that waits after the end of a step, or before its next attempt.

        A child that was asked to end may have done so while its step was recorded.
        """
        self.proceed_s = None
        if self._phase not in AFTER_PROCEED:
            return NO_EFFECTS
        self._deadlines.loaded(now.s)
        self._phase = proceed(self._phase)
        return _PROCEED

    def judge(self, report: ErrorReport | None) -> Effects:
        """Set the verdict for a limit that was exceeded, unless it is None or comes too late."""
        if report is None or not self._verdict.set(report):
            return NO_EFFECTS
        return self.doom()

    def judge_step(self, report: ErrorReport) -> Effects:
        """Have the child killed for a limit; the run ends, unless it survives that."""
        if self._verdict.report is not None or not self._deaths.is_survived(report):
            return self.judge(report)
        self.death = self.death or report
        return self.doom()

    def _died_of_memory(self, report: ErrorReport) -> Effects:
        """Take a report of a child that has noticed it before the kernel; later messages do not count."""
        self.deaf = True
        return self.judge_step(report)

    def doom(self) -> Effects:
        """Have the child killed, and ignore all its later messages."""
        self.doomed = True
        return KILL

    def forget(self) -> None:
        """Drop the last message and its state."""
        self.last = None
        self.final_state = _NOTHING

    # --- the messages ---

    def _hello(self, message: m.Hello, _now: Moment) -> Effects:
        if message.version != PROTOCOL_VERSION:
            raise RemoteProtocolError(
                f"child speaks protocol version {message.version}, not {PROTOCOL_VERSION}"
            )
        return NO_EFFECTS

    def _ready(self, message: m.Ready, _now: Moment) -> Effects:
        self.confinement = message.confinement
        self._recovery.children += 1
        if self._recovery.children == 1:
            self._reporter.emit(
                events.WorkflowStart,
                versions=self._versions,
                confinement=message.confinement,
                meta=self._meta,
                replayed=self._replayed,
            )
        self._deadlines.ready()
        return NO_EFFECTS

    def _init_start(self, message: m.InitStart, _now: Moment) -> Effects:
        return self.judge(self._steps.start(message))

    def _step_died(self, message: m.StepDied, _now: Moment) -> Effects:
        if self._recovery.died is None:
            raise RemoteProtocolError("child reports a death of a step that did not die")
        self._steps.take_up_dead(message)
        return NO_EFFECTS

    def _elsewhere(self, message: m.Elsewhere, now: Moment) -> Effects:
        self._steps.check_nothing_left_out()
        self._recovery.move_to(message.step_id)
        self.next_child_s = now.s
        return KILL

    def _init_complete(self, message: m.InitComplete, _now: Moment) -> Effects:
        self._steps.linked(message)
        return NO_EFFECTS

    def _load(self, message: m.LoadCredential | m.LoadState, now: Moment) -> Effects:
        request = Request(
            kind="credential" if isinstance(message, m.LoadCredential) else "state",
            id=message.id,
            step_id=message.step_id,
            step_run_id=message.step_run_id,
        )
        self._steps.check_asker(request.step_id, request.step_run_id, request.kind)
        self._loading.ask(request, now.s)
        self._steps.open_asker(request.step_id, request.step_run_id)
        self._deadlines.loading(now.s)
        if self._verdict.report is not None:
            return NO_EFFECTS  # the child asked before it knew, and does not wait
        if not self._reads:
            raise unread(f"a {request.kind}")
        known = self._loading.known(request, now.s)
        return (Resolve(request),) if known is None else self.loaded(known, now)

    def _collection(self, message: CollectionRequest, now: Moment) -> Effects:
        if not self._reads and self._verdict.report is None:
            raise unread("a collection")
        rules = self._recovery.collections
        done = self._collecting.receive(message, rules, self._deadlines, now.s)
        return self.judge(done) if isinstance(done, ErrorReport) else done

    def _job_start(self, _message: m.JobStart, now: Moment) -> Effects:
        step_id = self._steps.job_started(now.s)
        self._deadlines.job_started(step_id, now.s, self._recovery.timeout_s(step_id))
        return NO_EFFECTS

    def _job_complete(self, message: m.JobComplete, now: Moment) -> Effects:
        return self._job_ended(self._steps.completed(message), now)

    def _job_error(self, message: m.JobError, now: Moment) -> Effects:
        error = message.error
        if error.name == "OOMError" and self._steps.in_flight and self._deaths.is_survived(error):
            return self._died_of_memory(bounded(error))
        ended = self._steps.failed(message, cancelled=self.asked_to_end, now_s=now.s)
        if message.retry and isinstance(ended, Ended):
            return self._try_again(ended, message.retry_after_s, now)
        return self._job_ended(ended, now)

    def _job_ended(self, ended: Ended | ErrorReport, now: Moment) -> Effects:
        self._deadlines.job_ended()
        self._collecting.step_ended(self._deadlines, now.s)
        # A child that is killed for its step is not heard beyond it: the next child runs the steps after it.
        self.deaf = self.deaf or self.death is not None
        if not isinstance(ended, Ended):
            return self.judge(ended)
        self.ended_late = self.death is not None and ended.record is not None
        if ended.record is None or not self._recovery.journaled:
            self._steps.report(ended)
            return NO_EFFECTS
        if self._recovery.keeps_events:
            self._steps.report(ended)
        self.ended = ended
        self._deadlines.loading(now.s, limited=False)
        return (Record(ended.record),)

    def _try_again(self, ended: Ended, after_s: float | None, now: Moment) -> Effects:
        """Report an attempt that failed; let the child wait for the next one, or give it up."""
        self._deadlines.job_ended()
        self._collecting.step_ended(self._deadlines, now.s)
        step = self._steps.open
        assert step is not None
        delay_s = self._recovery.delay_s(step.step_id, step.counted, after_s)
        self._steps.try_again(ended, delay_s)
        if delay_s > KEPT_S or self.death is not None:
            self._recovery.resume(step.step_run_id, step.attempt + 1)
            self.next_child_s = now.s + delay_s
            return KILL
        self.proceed_s = now.s + delay_s
        self._deadlines.loading(now.s, limited=False)
        return NO_EFFECTS

    def _edge_resolved(self, message: m.EdgeResolved, _now: Moment) -> Effects:
        self._steps.edges.take(message)
        return NO_EFFECTS

    def _log_batch(self, message: m.LogBatch, _now: Moment) -> Effects:
        logs, edges = self._reporter.logs, self._steps.edges
        walks_on = edges.several and self._steps.open is None
        for entry in message.entries:
            own = as_own(entry)
            if not (walks_on and edges.is_repeated(own)):
                logs.add(own)
        # A batch without lines also takes time to read.
        logs.count_dropped(message.dropped, max(0, message.dropped_bytes) + HEADER_BYTES)
        return self._check_events() + self._check_log_volume()

    def _end(
        self, message: m.WorkflowComplete | m.WorkflowError | m.ConfineFailed, now: Moment
    ) -> Effects:
        if isinstance(message, m.WorkflowComplete):
            self._steps.check_nothing_left_out()
            self.final_state = self._steps.final_state(message)
            step_id = self._steps.open.step_id if self._steps.open else None
            size = len(memoryview(self.final_state))
            self.judge(state_too_large(size, self._options, step_id))
        if not isinstance(message, m.ConfineFailed) and message.error is not None:
            message = msgspec.structs.replace(message, error=bounded(message.error))
            error = message.error
            if (
                isinstance(message, m.WorkflowError)
                and error is not None
                and error.name == "OOMError"
                and self._deaths.is_survived(error)
            ):
                return self._died_of_memory(error)
        self.last = message
        self._verdict.closed = True
        self._deadlines.finished(now.s)
        return KILL if self.doomed else DISMISS

    _HANDLERS: ClassVar[dict[type[Message], Callable[..., Effects]]] = {
        m.Hello: _hello,
        m.Ready: _ready,
        m.ConfineFailed: _end,
        m.InitStart: _init_start,
        m.InitComplete: _init_complete,
        m.LoadCredential: _load,
        m.LoadState: _load,
        **dict.fromkeys(COLLECTION_REQUESTS, _collection),
        m.JobStart: _job_start,
        m.JobComplete: _job_complete,
        m.JobError: _job_error,
        m.StepDied: _step_died,
        m.Elsewhere: _elsewhere,
        m.EdgeResolved: _edge_resolved,
        m.LogBatch: _log_batch,
        m.WorkflowComplete: _end,
        m.WorkflowError: _end,
    }

    # --- limits of volume ---

    def _check_events(self) -> Effects:
        return self.judge(too_many_events(self._options)) if self._reporter.exceeded else NO_EFFECTS

    def _check_log_volume(self) -> Effects:
        logs = self._reporter.logs
        if not logs.excessive:
            return NO_EFFECTS
        return self.judge(too_much_output(logs.bytes, self._options))
