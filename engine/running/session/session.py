"""The logic of a run without its processes: it turns messages and facts into events and effects.

A session has neither a clock nor a callback nor a process. Each method takes the time from its caller
and returns effects (`engine.running.session.effects`), which the lane carries out.

The first verdict stays: once a limit was exceeded, no later message of the child changes how the run
ended. The child is still heard until it is gone, because the events must report its last actions.
"""

from __future__ import annotations

import sys

import msgspec

from engine.reporting import (
    MAX_REASON,
    Ending,
    EventLog,
    Outcome,
    cancelled_report,
    reason_of,
)
from engine.running.session.claims import Claims
from engine.running.session.collecting import Collected, Collecting
from engine.running.session.conversation import Conversation
from engine.running.session.deadlines import Deadlines
from engine.running.session.deaths import Deaths
from engine.running.session.effects import NO_EFFECTS, Effects, Send
from engine.running.session.ending import Facts, decide_ending
from engine.running.session.footprint import Reading
from engine.running.session.learning import Learning
from engine.running.session.limits import Used, overused, too_many_events
from engine.running.session.loading import Answer, Loading, Request
from engine.running.session.moment import Moment
from engine.running.session.order import Order
from engine.running.session.parts import RunParts, make_reporter
from engine.running.session.recovery import Beginning, Recovery
from engine.running.session.steps import Steps
from engine.running.session.traffic import Traffic
from engine.running.session.verdict import Verdict, internal_error
from engine.running.session.where import Where
from engine.start import Exit
from protocol import codec, events
from protocol import messages as m
from protocol.message import Message
from protocol.relay import FromRelay
from protocol.report import ErrorReport, make_report
from protocol.words import LogSource


class Session:
    """The run, from its order to its end. For the supervisor's thread."""

    def __init__(self, order: Order, log: EventLog) -> None:
        self.options = order.options
        self.order: Order | None = order
        """The order, which is dropped once the child has it, because it has secrets."""
        claims = Claims(order.workflow)
        reporter = make_reporter(order, log, claims)
        self.loading = Loading(
            credential_ids=order.credential_ids,
            state_ids=order.state_ids,
            redactor=reporter.redactor,
        )
        self._reporter = reporter
        self._recovery = Recovery(order)
        self._steps = Steps(claims, order.options, order.max_step_runs, reporter, self._recovery)
        self._steps.skip(order.recorded)
        self._verdict = Verdict()
        self._verdict.report = order.failed
        self._confinement = order.confinement
        self._parts = RunParts(
            options=order.options,
            reporter=reporter,
            steps=self._steps,
            loading=self.loading,
            collecting=Collecting(order.options, reporter, self._verdict),
            recovery=self._recovery,
            deaths=Deaths(self._steps, self._recovery, reporter),
            verdict=self._verdict,
            versions=order.versions,
            meta=order.meta,
            replayed=len(order.recorded),
        )
        self._learning = Learning(order.to_learn, self.loading)
        self._traffic = Traffic(order, reporter)
        self._deadlines = Deadlines(order.options)
        self._child = Conversation(self._parts, self._deadlines)
        self._where = Where(order.workflow, self._steps, self._verdict)

    # --- facts for the lane ---

    @property
    def verdict(self) -> ErrorReport | None:
        """The first limit that was exceeded, a cancellation, or an offence against the protocol."""
        return self._verdict.report

    @property
    def ready(self) -> bool:
        """Whether the child was confined and may run jobs."""
        return self._child.ready

    @property
    def recording(self) -> bool:
        """Whether the journal keeps the end of a step at the moment, and the run may still go on."""
        return self._child.ended is not None and self.verdict is None

    @property
    def unheard(self) -> bool:
        """Whether the present child has not sent a message: another one can take its place."""
        return not self._child.heard

    @property
    def next_deadline(self) -> float:
        """When to call `check`, on the monotonic clock; infinity if no limit of time is set."""
        due_s, proceed_s = self._deadlines.next, self._child.proceed_s
        return self._where.deadline(due_s if proceed_s is None else min(proceed_s, due_s))

    def needs_reading(self, message: Message) -> bool:
        """Whether `receive` needs a reading of the child's memory with this message."""
        kind = type(message)
        if kind is m.JobComplete:
            return not self._child.deaf
        return kind is m.JobStart and not self._steps.footprint.has_base

    # --- the child ---

    def begin(self, now: Moment) -> Beginning:
        """Take note that a child is to be started; return what it gets."""
        # A run whose child never began has gone back to the queue.
        since_s = (
            self._deadlines.begun if self._recovery.children or self._learning.needed else None
        )
        self._deadlines = Deadlines(self.options, since_s)
        self._deadlines.begin(now.s)
        self._child = Conversation(self._parts, self._deadlines)
        self._where.begin()
        self._verdict.closed = False
        if self._recovery.children:
            self._steps.next_child()
        return self._traffic.narrow(self._recovery.begin())

    def receive(
        self,
        message: Message,
        now: Moment,
        *,
        frame_bytes: int = sys.maxsize,
        memory: Reading | None = None,
        reads: bool = True,
    ) -> Effects:
        """Take one message of the child.

        Args:
            message: The message.
            now: When it was read.
            frame_bytes: The length of its frame, which its states keep alive.
            memory: A reading of the child's memory, where `needs_reading` asks for one.
            reads: Whether the child has read all that it was sent.

        Raises:
            RemoteProtocolError: The child may not send it now, or it contradicts the plan. The
                caller is to call `break_off`.

        """
        if self.order is not None and not self._recovery.keeps:
            self.order = None
            self._recovery.started()
        late = self._where.heard(self._child, message, now)
        effects = late + self._child.receive(message, now, frame_bytes, memory, reads)
        self._traffic.heard(message)
        return effects

    def output(self, source: LogSource, data: bytes, now: Moment) -> Effects:
        """Take bytes that the child wrote to one of its standard streams."""
        return self._where.output(self._child, source, data, now)

    def network(self, message: FromRelay, now: Moment) -> Effects:
        """Take a message of the relay about the network of the child."""
        return self._verdict.overrule(self._traffic.take(message, now))

    def break_off(self, reason: str) -> Effects:
        """Take note that the child does not keep to the protocol."""
        return self.judge(make_report("ProtocolError", reason))

    def pipe_closed(self, now: Moment) -> Effects:
        """Take note that the child has closed its pipe, so that it must be gone in a moment."""
        self._deadlines.finished(now.s)
        return NO_EFFECTS

    def loaded(self, answer: Answer | Collected, now: Moment) -> Effects:
        """Take the answer to a question of the child; an answer that comes too late has no effect."""
        if isinstance(answer, Collected):
            return self._parts.collecting.answered(answer, self._deadlines, now.s)
        if self._learning.open is None:
            return self._child.loaded(answer, now)
        return self._child.judge(self._learning.take(answer, now.s, self._deadlines))

    def learn(self, now: Moment) -> Request | None:
        """Return the next question about a credential of the recorded steps, or None."""
        return self._learning.ask(now.s, self._deadlines)

    def recorded(self, error: ErrorReport | None, now: Moment) -> Effects:
        """Take note that the journal has kept the end of a step, or that it has failed to do so."""
        return self._child.recorded(now) if error is None else self.judge(error)

    # --- the manager, and limits ---

    def cancel(self, reason: str, now: Moment, *, reads: bool = True) -> Effects:
        """Cancel the run, and ask the child to end.

        Args:
            reason: The text for the error of the run.
            now: The time.
            reads: Whether the child has read all messages to it. If not, it waits for the rest of
                its plan or of a credential, and does not run a job.

        """
        late = self._where.close(self._child, now)
        self._child.asked_to_end = True
        self._verdict.set(cancelled_report(reason))
        self._deadlines.cancelled(now.s)
        asked = (Send(codec.encode(m.Cancel(reason=reason[:MAX_REASON]))),)
        return late + (asked if reads else self._child.doom())

    def heard_since_cancel(self) -> Effects:
        """Take note that the child was heard after it was sent the cancellation.

        A child looks for that message after it has reported that it is ready, and before it runs
        any code of a job. If it has not reported yet, it will see the message, and no job is
        running.
        """
        return NO_EFFECTS if self.ready else self._child.doom()

    def judge(self, report: ErrorReport) -> Effects:
        """Set the verdict, if it is still open and the child has not reached its end."""
        return self._child.judge(report)

    def check(self, now: Moment, used: Used | None = None) -> Effects:
        """Check whether a limit was exceeded.

        Args:
            now: The time.
            used: The use of the child by now, if it is ready.

        """
        effects = NO_EFFECTS
        if self.loading.waiting is not None and self._deadlines.load_is_late(now.s):
            effects += self.loaded(self.loading.late(self.options.resolve_timeout_s), now)
        effects += self._parts.collecting.late(self._deadlines, now.s)
        if used is not None:
            self._steps.footprint.raise_peak(used.memory_bytes)
        proceed_s = self._child.proceed_s
        if proceed_s is not None and now.s >= proceed_s:
            effects += self._child.proceed(now)
        report = self._deadlines.exceeded(now.s)
        if report is None and used is not None:
            report = overused(used, self.options)
        if report is not None:
            effects += self._where.over_limit(self._child, report, now)
        if self._deadlines.must_stop(now.s):
            if self.verdict is None:
                self.break_off("the child closed its pipe, and stayed")
            effects += self._child.doom()
        return effects

    def abort(self, error: Exception) -> Effects:
        """Set the verdict for a bug of ours, in place of the child's last message."""
        if self._verdict.report is None:
            self._verdict.report = internal_error(error)
        return self._child.doom()

    # --- another child ---

    def next_child_at(
        self, exited: Exit, now: Moment, *, oom_killed: bool = False, memory: Reading = (0, 0)
    ) -> float | None:
        """Take note that the child is gone; return when another one is to go on with the run.

        Args:
            exited: How the child ended.
            now: The time.
            oom_killed: Whether the kernel killed the child for its memory.
            memory: The last reading of its memory.

        Returns:
            A time on the monotonic clock; None if the run is over.

        """
        self._where.close(self._child, now)
        child = self._child
        if self.verdict is not None or not self._recovery.keeps:
            return None
        self._reporter.time_s = now.wall_s
        self._steps.footprint.take(memory)
        at = child.next_child_s
        if at is None and child.ended_late:
            at = now.s
        report = child.death or self._ending(exited, oom_killed).error
        if at is None and report is not None:
            waits_until_s, child.proceed_s = child.proceed_s or now.s, None
            at = self._parts.deaths.next_child_s(report, exited, child.ready, now, waits_until_s)
        if at is not None:
            self._reporter.logs.flush(final=True)
            self._deadlines.child_gone()
            self.loading.drop()
            self._parts.collecting.next_child()
        elif child.death is not None:
            self._verdict.report = child.death  # our kill was not the reason
        return at

    # --- the end ---

    def finish(
        self,
        exited: Exit | None,
        now: Moment,
        *,
        oom_killed: bool = False,
        memory: Reading = (0, 0),
    ) -> Outcome:
        """Close what is open, emit the last event, and return how the run ended.

        Call it once: either when the child is gone (or was never started) and all its output was
        received, or without an exit when its last message was received.

        Args:
            exited: How the child ended; None after its last message, or if it was never started.
            now: The time.
            oom_killed: Whether the kernel killed the child for its memory.
            memory: The last reading of its memory.

        """
        self._where.close(self._child, now)
        child, reporter = self._child, self._reporter
        reporter.time_s = now.wall_s
        self._steps.footprint.take(memory)
        self._traffic.step_ended()
        reporter.logs.flush(final=True)
        reporter.emit_losses()
        if reporter.exceeded:
            self.judge(too_many_events(self.options))
        ending = self._ending(exited, oom_killed)
        if ending.error is not None:
            self._steps.fail_open_job(ending.error, now.s)
        state: msgspec.Raw | None = None
        duration_ms = self._deadlines.elapsed_ms(now.s)
        error = reporter.redactor.struct(ending.error) if ending.error else None
        if ending.reason in ("success", "fail") and isinstance(child.last, m.WorkflowComplete):
            state = reporter.emit_complete(child.final_state, duration_ms)
        else:
            reporter.emit(events.WorkflowError, error=error, duration_ms=duration_ms)
        return self._outcome(msgspec.structs.replace(ending, error=error), state, duration_ms)

    def _ending(self, exited: Exit | None, oom_killed: bool) -> Ending:
        """Return why the run is over, or would be over if no other child went on with it."""
        child, step = self._child, self._steps.open
        return decide_ending(
            Facts(
                verdict=self.verdict,
                exit=exited,
                oom_killed=oom_killed,
                memory_bytes=self.options.memory_bytes,
                cpu_limit_s=self.options.cpu_s,
                last=child.last,
                step_id=step.step_id if step else None,
                ready=child.ready,
                stderr=child.stderr,
            )
        )

    def give_up(self, error: Exception, now: Moment) -> Outcome:
        """Return an outcome after `finish` has raised; it has no text of the child."""
        report = internal_error(error)
        duration_ms = self._deadlines.elapsed_ms(now.s)
        self._reporter.time_s = now.wall_s
        self._reporter.emit_internal_error(report, duration_ms)
        return self._outcome(Ending(reason_of(report), report), None, duration_ms)

    def _outcome(self, ending: Ending, state: msgspec.Raw | None, duration_ms: int) -> Outcome:
        """Return the outcome, and drop every secret, because the handle may be kept for long."""
        confinement = self._child.confinement or self._confinement
        self.order = None
        self.loading.forget()
        self._parts.collecting.next_child()
        self._reporter.redactor.forget()
        self._reporter.close()
        self._steps.forget()
        self._recovery.forget()
        self._child.forget()
        return Outcome(
            ending=ending,
            state=state,
            duration_ms=duration_ms,
            usage=self._traffic.usage(self._steps.footprint.peak_bytes),
            confinement=confinement,
            versions=self._parts.versions,
            children=max(1, self._recovery.children),
        )
