"""Decides when the present child is asked for the line of its job, and what its answer changes."""

from __future__ import annotations

from engine.running.session.conversation import Conversation
from engine.running.session.effects import ASK_WHERE, NO_EFFECTS, Effects
from engine.running.session.moment import Moment
from engine.running.session.snapshot import Snapshot
from engine.running.session.steps import Steps
from engine.running.session.verdict import Verdict
from protocol import messages as m
from protocol.message import Message
from protocol.plan import Workflow
from protocol.report import ErrorReport
from protocol.words import LogSource


class Where:
    """The line of the job at a limit, for one child after the other.

    Only the supervisor's thread uses it.
    """

    def __init__(self, workflow: Workflow, steps: Steps, verdict: Verdict) -> None:
        self._workflow = workflow
        self._steps = steps
        self._verdict = verdict
        self._snapshot = Snapshot(workflow)

    def begin(self) -> None:
        """Take note that another child begins."""
        self._snapshot = Snapshot(self._workflow)

    def deadline(self, others_s: float) -> float:
        """Return the time of the next check: that of the answer, or that of all other limits."""
        until_s = self._snapshot.until_s
        return others_s if until_s is None or not self._snapshot.waits else until_s

    def output(self, child: Conversation, source: LogSource, data: bytes, now: Moment) -> Effects:
        """Take bytes of a standard stream of the child; the answer is in its standard error."""
        if source == "stderr":
            data = self._snapshot.take(data)
        effects = child.output(source, data, now) if data else NO_EFFECTS
        return effects + self.close(child, now) if self._snapshot.done else effects

    def heard(self, child: Conversation, message: Message, now: Moment) -> Effects:
        """Take note of a message: unless it has log lines, it comes later than the limit."""
        return NO_EFFECTS if isinstance(message, m.LogBatch) else self.close(child, now)

    def over_limit(self, child: Conversation, report: ErrorReport, now: Moment) -> Effects:
        """Have the child killed for a limit, after a moment in which it says where its job is."""
        snapshot, step = self._snapshot, self._steps.open
        if snapshot.waits and snapshot.until_s is not None:
            return NO_EFFECTS if now.s < snapshot.until_s else self.close(child, now)
        is_open = self._verdict.report is None and snapshot.can_ask(report)
        if not is_open or step is None or step.job_started_s is None or not step.in_flight:
            return child.judge_step(report)
        snapshot.ask(report, step.step_id, now.s)
        return ASK_WHERE

    def close(self, child: Conversation, now: Moment) -> Effects:
        """Have the child killed for the limit for which it was asked, with its answer or without."""
        if not self._snapshot.waits:
            return NO_EFFECTS
        report, rest = self._snapshot.close()
        effects = child.output("stderr", rest, now) if rest else NO_EFFECTS
        return effects + child.judge_step(report)
