"""Carries a run from its start to its end, and carries out the decisions of its session."""

from __future__ import annotations

import logging
import weakref
from typing import Final

from engine.api import Journal
from engine.reporting import Outcome, Run, Usage, finish
from engine.running.acting import carry_out, last_event
from engine.running.alarm import Alarm
from engine.running.calls import Calls
from engine.running.clocks import read_clocks
from engine.running.host import LaneHost
from engine.running.resolvers import Resolvers
from engine.running.room import spawn_error
from engine.running.running_child import RunningChild
from engine.running.session import (
    Answer,
    Collected,
    Effects,
    Moment,
    Resolve,
    Session,
)
from engine.running.share import SLICE_S, Turn
from engine.start import Starter, start_run
from protocol.message import Message
from protocol.relay import Closed, FromRelay
from protocol.report import ErrorReport
from protocol.words import LogSource

_log = logging.getLogger("jobcell")

CHECK_S: Final = 0.05
"""Seconds between two readings of memory and processor time from outside."""


class Lane:
    """The run in progress: its session, and the child that it has now. For the supervisor's thread."""

    def __init__(
        self,
        session: Session,
        run: Run,
        host: LaneHost[Lane],
        *,
        resolvers: Resolvers,
        journal: Journal | None = None,
        asker: Lane | None = None,
    ) -> None:
        self.session = session
        self.asker = weakref.ref(asker) if asker is not None else None
        """The run whose resolver has started this run, and may wait for it."""
        self.run = run
        self.reference: weakref.ref[Lane] = weakref.ref(self)
        """A reference for callbacks, which must not keep a run that is over."""
        self._host = host
        self._calls = Calls(resolvers, journal, host, self.reference)
        self._starter: Starter | None = None
        """Set while the run has left the queue and its child waits for secrets to be learned."""
        self._resting = False
        """Whether the run waits for its next child, without a place: for a time, and then in the queue."""
        self._counted = Usage()
        """The use of the children that are gone."""
        self._child: RunningChild | None = None
        self._alarm = Alarm(host, self.reference)
        self._started_again = False
        self._outcome: Outcome | None = None
        """How the run ended, once the last event was emitted. From then on, actions of the child do
        not count."""
        self._gone = False
        """Whether the run is over: the child was reaped or never started, and all resources are
        released."""

    @property
    def resolving(self) -> bool:
        """Whether its child waits for a resolver."""
        return self.session.loading.waiting is not None

    @property
    def _over(self) -> bool:
        child = self._child
        return self._gone or self._outcome is not None or (child is not None and child.leaving)

    # --- start ---

    def start(self, starter: Starter) -> None:
        """Start the child and send it its messages; a failure ends the run."""
        session = self.session
        now = read_clocks()
        self._resting = False
        self._starter = None
        if session.verdict is None and (request := session.learn(now)) is not None:
            self._starter = starter
            self._calls.resolve(Resolve(request))
            self._arm(now.s)
            return
        beginning = session.begin(now)
        if session.verdict is not None:
            self._end()
            return
        try:
            started = start_run(starter, beginning.request, beginning.adaptors)
        except OSError as error:
            self._not_started(error.errno, error.strerror or str(error))
            return
        self._host.begins(started.kind)
        child = RunningChild(started, session.options, self, self._host, self.reference, now.s)
        self._child = child
        child.watch(self._on_exit, self._on_network)
        for frame in beginning.frames:
            child.send(frame)
        self._arm(now.s)

    def _not_started(self, number: int | None, reason: str) -> None:
        """Wait until the machine has room for a child, or end the run if waiting does not help."""
        if self.session.verdict is None and self._host.wait_for_room(self, number):
            return
        self.session.judge(spawn_error(number, reason))
        self._end()

    def _start_again(self) -> bool:
        """Start another child, once, after the first died with its zygote before it sent a message.

        The first child had not run any code of the run, because it first reports that it is ready.
        """
        child = self._child
        if self._started_again or not self.session.unheard:
            return False
        assert child is not None
        child.hearing.hear(Turn(SLICE_S), leaving=True)
        if not self.session.unheard or self.session.verdict is not None:
            return False
        self._take_back()
        self._started_again = True
        self._host.start_again(self)
        return True

    def _take_back(self) -> None:
        """Release the resources of a child that failed to start or did no work."""
        child, self._child = self._child, None
        assert child is not None
        child.let_go()
        self._alarm.clear()

    # --- what the manager wants ---

    def cancel(self, reason: str) -> None:
        """Ask the child to end, and kill it if it does not."""
        session, child = self.session, self._child
        if self._over or session.verdict is not None:
            return
        reads = child is None or not child.connection.wants_to_write
        self._carry_out(session.cancel(reason, read_clocks(), reads=reads))
        if child is not None and reads:
            self.turn()
            if not self._over:
                self._carry_out(session.heard_since_cancel())
        elif self._starter is not None:
            self._end()

    def abort(self, error: Exception) -> None:
        """End the run because of a bug of ours, with an error that says so."""
        if self._gone:
            return
        if self._outcome is None:
            self._carry_out(self.session.abort(error))
        if self._child is None or self._child.exited is not None:
            self._end()

    # --- effects ---

    def _carry_out(self, effects: Effects) -> None:
        """Carry out the effects in their order; without a child they need no action."""
        if self._child is not None:
            carry_out(effects, self._child, self._calls)

    def recorded(self, error: ErrorReport | None) -> None:
        """See `Caller.recorded`."""
        if not self._over:
            now = read_clocks()
            self._carry_out(self.session.recorded(error, now))
            self._go_on_or_end(now)

    def _go_on_or_end(self, now: Moment) -> None:
        """Continue after an answer for which the child, or the end of the run, may have waited."""
        child = self._child
        if child is not None and child.exited is not None:
            self.turn()
        elif child is None and self._starter is not None:
            self.start(self._starter)
        else:
            self._arm(now.s)

    def loaded(self, answer: Answer | Collected) -> None:
        """See `Caller.loaded`."""
        if not self._over:
            now = read_clocks()
            self._carry_out(self.session.loaded(answer, now))
            self._go_on_or_end(now)

    # --- what the child does ---

    def turn(self) -> None:
        """Hear the child for a turn, and act on it."""
        child = self._child
        if self._over or child is None:
            return
        hearing = child.hearing
        leaving = child.exited is not None
        turn = Turn(SLICE_S)
        hearing.hear(turn, leaving=leaving)
        self._follow_up(child)
        used_s = turn.used_s
        if leaving and hearing.heard_out(used_s, stopped=self.session.verdict is not None):
            self._part(child)
        elif self._over:
            hearing.stop()
        else:
            hearing.pay(used_s, leaving=leaving)

    def said(self, message: Message, frame_bytes: int) -> None:
        """See `Listener.said`."""
        session, child = self.session, self._child
        assert child is not None
        effects = session.receive(
            message,
            read_clocks(),
            frame_bytes=frame_bytes,
            memory=child.reading() if session.needs_reading(message) else None,
            reads=not child.connection.wants_to_write,
        )
        if effects:
            self._carry_out(effects)

    def wrote(self, source: LogSource, data: bytes) -> None:
        """See `Listener.wrote`."""
        self._carry_out(self.session.output(source, data, read_clocks()))

    def broke_off(self, reason: str) -> None:
        """See `Listener.broke_off`."""
        self._carry_out(self.session.break_off(reason))

    def _follow_up(self, child: RunningChild) -> None:
        """Act on messages and output, once all of them were taken."""
        now = read_clocks()
        if child.hearing.settled:
            if child.dismissed and child.exited is None:
                self._dismiss(child, now)
            elif child.connection.ended:
                self._carry_out(self.session.pipe_closed(now))
        self._arm(now.s)

    def _dismiss(self, child: RunningChild, now: Moment) -> None:
        """End the run of a child that has sent its last message, and the child with it.

        The child waits for this, so that its usage can be read. If it is gone by now, it did not
        wait: its exit status counts more than its last message.
        """
        if not child.gone():
            child.leave()
            if child.close_network():
                self._leave(child, now)

    def _leave(self, child: RunningChild, now: Moment) -> None:
        """End the run of a child that was dismissed, and whose network has ended."""
        self._outcome = last_event(self.session, self._child, self.run, now)
        if child.exited is not None:
            self._end()

    def _on_network(self, child: RunningChild, message: FromRelay) -> None:
        """Take a message about the network of a child."""
        if child is not self._child:
            return  # it is not the child of the run any more
        now = read_clocks()
        ended = isinstance(message, Closed)
        if ended:
            child.network_has_ended()
        self._carry_out(self.session.network(message, now))
        if not ended:
            return
        if child.leaving:
            self._leave(child, now)
        elif child.exited is not None:
            self.turn()

    def _on_exit(self, _events: int) -> None:
        child = self._child
        assert child is not None
        exited = child.reap()
        if exited.refused is not None and self.session.unheard:
            self._take_back()
            self._not_started(exited.refused, str(exited.lost))
            return
        if exited.orphaned and self._outcome is None and self._start_again():
            return
        if self._outcome is not None:
            self._end()
        elif not child.leaving:
            self.turn()

    def _part(self, child: RunningChild) -> None:
        """End the run of a child that is gone, once its pipes were read to the end."""
        exited = child.exited
        assert exited is not None
        if not child.connection.at_boundary and exited.code == 0 and exited.signal is None:
            self.session.break_off("the child ended in the middle of a frame")
        if not child.close_network() or self.session.recording:
            return  # `_on_network` or `recorded` comes back here
        now = read_clocks()
        at_s = self.session.next_child_at(
            exited, now, oom_killed=child.oom_killed(), memory=(0, child.group_peak_bytes())
        )
        if at_s is None:
            self._end()
        else:
            self._rest(child, at_s, now)

    def _rest(self, child: RunningChild, at_s: float, now: Moment) -> None:
        """Let go of a child that is gone, and have another one started at a time."""
        self._count(child)
        self._take_back()
        self._started_again = False
        self._resting = True
        self._host.rest(self)
        if at_s <= now.s:
            self.wake()
        else:
            self._alarm.wake_at(at_s)
            self._arm(now.s)

    def wake(self) -> None:
        """Have another child started, after a rest."""
        if self._resting and not self._over:
            self._host.start_again(self)

    def _end(self) -> None:
        """Release all resources, after the child was reaped or was never started."""
        self._gone = True
        self._resting = False
        self._starter = None
        outcome = self._outcome or last_event(self.session, self._child, self.run, read_clocks())
        child, self._child = self._child, None
        if child is not None:
            child.let_go()
            self._count(child)
        finish(self.run, outcome.with_usage(self._counted))
        self._host.ended(self)

    def _count(self, child: RunningChild) -> None:
        """Count the use of a child that is gone."""
        if child.exited is not None:
            self._counted = self._counted.plus(child.exited.peak_bytes, child.exited.cpu_s)

    # --- time ---

    def check(self) -> None:
        """Check the clock, the memory and the processor time; the supervisor calls this in time."""
        self._alarm.clear()
        child, session = self._child, self.session
        if not self._watches:
            return
        now = read_clocks()
        if child is None:
            self._carry_out(session.check(now))
            if session.verdict is not None:
                self._host.withdraw(self)
                self._end()
            else:
                self._arm(now.s)
            return
        child.enter_cgroup_if_it_lasts(now.s)
        used = child.used() if session.ready else None
        self._carry_out(session.check(now, used))
        self._arm(now.s)

    @property
    def _watches(self) -> bool:
        """Whether a limit can still be exceeded."""
        child = self._child
        if self._over:
            return False
        if child is None:
            return self._resting or self._starter is not None
        return not child.killed and child.exited is None

    def _arm(self, now_s: float) -> None:
        """Have `check` called when the next limit of time passes, or in a moment to read the memory."""
        if self._watches:
            when = self.session.next_deadline
            self._alarm.set(when if self._child is None else min(when, now_s + CHECK_S))
