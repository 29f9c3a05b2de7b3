"""One run in progress: its session, the pipes to its child, and the child itself."""

from __future__ import annotations

import logging
import select
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Protocol

from engine.reporting import Outcome, Run, Studied, Usage, finish
from engine.running.cgroup import RunCgroup
from engine.running.cgroups import ENTER_AFTER_S, Entered
from engine.running.deadlines import Deadlines
from engine.running.resolvers import Resolution, late, resolve
from engine.running.room import spawn_error
from engine.running.session import LoadRequest, Session, internal_error
from engine.running.share import LONG_PARTING_S, PARTING_S, SLICE_S, Share, Turn
from engine.start import Child, Connection, Exit, Meter, Starter, Watcher
from protocol import codec
from protocol.errors import RemoteProtocolError
from protocol.limits import FRAME_SLACK_BYTES, MAX_MESSAGE_BYTES, MEGABYTE
from protocol.messages import (
    JobComplete,
    JobError,
    LogBatch,
    Message,
    WorkflowComplete,
    WorkflowError,
)
from protocol.report import ErrorReport, make_report
from protocol.words import LogSource

_log = logging.getLogger("jobcell")

_MAX_CHARACTER_BYTES: Final = 4
"""A log line is measured in characters; UTF-8 takes so many bytes for one at the most."""

CHECK_S: Final = 0.05
"""How often memory and CPU time are read from outside."""

_ENDS: Final = (JobComplete, JobError, WorkflowComplete, WorkflowError)
"""Messages after which a step, or the run, has no more output."""


_LINES: Final = 64
"""Log lines that are taken at once."""

_PIECE_BYTES: Final = 128
"""Of output of many lines so many bytes are taken at once."""


class Host(Watcher, Protocol):
    """What a lane needs of the supervisor."""

    def enter_cgroup(self, pid: int, memory_bytes: int, entered: Entered) -> None:
        """Have a child put into a control group; *entered* is called with it, if one can be had."""

    def leave_cgroup(self, group: RunCgroup) -> None:
        """Give back a group in which no process is left."""

    def started(self, descriptor: int) -> None:
        """Take note that a child was started, and of a descriptor that it took."""

    def lives(self) -> None:
        """Take note that a child was heard for the first time."""

    def wait_for_room(self, lane: Lane, number: int | None) -> bool:
        """Queue a lane again whose child could not be started; return False if it must end."""

    def start_again(self, lane: Lane) -> None:
        """Queue a lane again, before all others, whose child died before it did anything."""

    def ended(self, lane: Lane) -> None:
        """Say that the child is gone and the run is over."""

    def again(self, callback: Callable[[], None]) -> None:
        """Call *callback* in the next round, after all children that have something to say."""

    @property
    def turn(self) -> int:
        """The number of the round."""

    @property
    def crowded(self) -> bool:
        """Whether other runs are going on."""


class _Timer:
    """Has a lane look at the clock, and does not keep a run that is over until it is time."""

    def __init__(self, lane: Lane) -> None:
        self._lane = weakref.ref(lane)

    @property
    def __self__(self) -> Lane | None:
        """Whose timer it is: the supervisor asks when the call has raised."""
        return self._lane()

    def __call__(self) -> None:
        lane = self._lane()
        if lane is not None:
            lane.check()


class Lane:
    """Carries one run from its start to its end.  For the supervisor's thread."""

    def __init__(
        self, session: Session, run: Run, host: Host, *, asker: Lane | None = None
    ) -> None:
        self.session = session
        self.asker = weakref.ref(asker) if asker is not None else None
        """The run whose resolver has started this one; it may well wait for it."""
        self.run = run
        self._host = host
        self._connection: Connection | None = None
        self._child: Child | None = None
        self._cgroup: RunCgroup | None = None
        self._cgroup_asked = False
        self._meter: Meter | None = None
        self._timer = _Timer(self)
        self._armed = float("inf")
        self._log_bytes = MAX_MESSAGE_BYTES
        self._killed = False
        self._started_again = False
        self._outcome: Outcome | None = None
        """How the run ended, once the last event was emitted: nothing that the child still does counts."""
        self._exited: Exit | None = None
        self._hearing: Iterator[None] | None = None
        """What was read and not yet taken."""
        self._share = Share()
        self._heard_in = -1
        """The round in which the child had its turn."""
        self._paused = False
        self._parting_s = 0.0
        """Processor time for what the child has left behind."""
        self._gone = False
        """The child was reaped, or there never was one, and all is let go of: the run is over."""

    @property
    def resolving(self) -> bool:
        """Whether its child waits for a resolver."""
        return self.session.load_request is not None

    @property
    def _over(self) -> bool:
        return self._gone or self._outcome is not None

    # --- start ---

    def start(self, starter: Starter) -> None:
        """Start the child and send it all it needs; a failure ends the run."""
        session = self.session
        order = session.order
        assert order is not None
        session.deadlines.begin()
        if session.verdict is not None:
            self._end()
            return
        try:
            started = starter.start(order.request)
        except OSError as error:
            self._not_started(error.errno, error.strerror or str(error))
            return
        self._child, self._connection = child, connection = started
        connection.before_close = self._host.unwatch
        options = session.options
        line_bytes = int(options.log_payload_mb * MEGABYTE) * _MAX_CHARACTER_BYTES
        largest = max(options.state_bytes, int(options.payload_mb * MEGABYTE), line_bytes)
        connection.allow(largest + FRAME_SLACK_BYTES)
        self._log_bytes = line_bytes + MAX_MESSAGE_BYTES
        self._meter = Meter(child)
        session.read_memory = self._meter.resident_bytes
        connection.send(order.start)
        self._host.watch(connection.answers, select.EPOLLIN, self._on_readable)
        self._host.watch(connection.stdout, select.EPOLLIN, self._on_readable)
        self._host.watch(connection.stderr, select.EPOLLIN, self._on_readable)
        self._host.watch(child.exit_fd, select.EPOLLIN, self._on_exit)
        self._host.started(max(connection.stderr, child.exit_fd))
        self._write()
        self._arm()

    def _not_started(self, number: int | None, reason: str) -> None:
        """Wait until there is room for a child, or end the run if waiting does not help."""
        if self.session.verdict is None and self._host.wait_for_room(self, number):
            return
        self.session.judge(spawn_error(number, reason))
        self._end()

    def _start_again(self) -> bool:
        """Start another child, once, for one that died with its zygote before it said a word.

        It had run nothing: a child says that it is ready before it runs any code of the run.
        """
        if self._started_again or self.session.order is None:
            return False
        self._hear(Turn(SLICE_S))
        if self.session.order is None or self.session.verdict is not None:
            return False
        self._take_back()
        self._started_again = True
        self._host.start_again(self)
        return True

    def _take_back(self) -> None:
        """Let go of a child that never was, or that did nothing."""
        connection, meter = self._connection, self._meter
        assert connection is not None
        assert meter is not None
        connection.close()
        meter.close()
        if self._cgroup is not None:
            self._host.leave_cgroup(self._cgroup)
            self._cgroup = None
        self._cgroup_asked = self._paused = False
        self._hearing = None
        self._child = self._connection = self._meter = self._exited = None
        self._armed = float("inf")
        # Its pipes were closed before the exit was reported: that was not the child's last word.
        self.session.deadlines = Deadlines(self.session.options)

    # --- what the manager wants ---

    def cancel(self, reason: str) -> None:
        """Ask the child to come to an end, and see to it that it does."""
        if self._over or self.session.verdict is not None:
            return
        message = self.session.cancel(reason)
        connection = self._connection
        if connection is None:
            return
        self.session.deadlines.cancelled()
        if connection.wants_to_write:
            # The child waits for the rest of its plan, or of a credential: no job is running.
            self._kill()
            return
        self._send(message)
        self._take_turn()
        # A child looks for the message after it has said that it is ready and before it runs any
        # code of a job.  One that has said nothing by now will see the message: no job is running.
        if not (self.session.ready or self._over):
            self._kill()

    def abort(self, error: Exception) -> None:
        """End the run because of a bug of ours: told as what it is, never as a success."""
        if self._gone:
            return
        if self._outcome is None and self.session.verdict is None:  # whatever the child said last
            self.session.verdict = internal_error(error)
        if self._child is None or self._exited is not None:
            self._end()
        else:
            self._kill()

    def _kill(self) -> None:
        """Kill the child, with all that it may have started."""
        assert self._child is not None
        self._killed = True
        if self._exited is not None:
            return  # it was reaped: its number may be another's
        self._child.kill()
        if self._cgroup is not None:
            self._cgroup.kill()

    # --- what the child does ---

    def _on_readable(self, _events: int) -> None:
        """Hear the child, once in a round of the supervisor however many of its pipes have something."""
        if self._heard_in != self._host.turn:
            self._take_turn()

    def _take_turn(self) -> None:
        """Hear the child for a turn; have it heard again if that was not all."""
        if self._over or self._connection is None:
            return
        self._heard_in = self._host.turn
        turn = Turn(SLICE_S)
        self._hear(turn)
        self._follow_up()
        self._look_at_share(turn.used_s)

    def _hear(self, turn: Turn) -> None:
        """Take what the child says until its turn is over."""
        leaving = self._exited is not None
        while True:
            if self._hearing is None:
                self._hearing = self._receive(leaving=leaving)
            for _ in self._hearing:
                if turn.over:
                    return
            self._hearing = None
            connection = self._connection
            if not leaving or connection is None or connection.emptied:
                return

    def _look_at_share(self, used_s: float) -> None:
        """Have the child wait if it has used more than its share, and say when it is heard again."""
        connection = self._connection
        assert connection is not None
        leaving = self._exited is not None
        if leaving:
            self._parting_s += used_s
            patience_s = PARTING_S if self.session.verdict is not None else LONG_PARTING_S
            stopped = self._parting_s > patience_s
            if self._gone or (self._hearing is None and connection.emptied) or stopped:
                self._part()
                return
        if self._over:
            self._hearing = None
            return
        now = time.monotonic()
        wait_s = self._share.charge(used_s, now)
        if wait_s > 0 and self._host.crowded:
            self._pause()
            self._host.call_at(now + wait_s, self._resume)
        elif self._hearing is not None or leaving:
            self._host.again(self._resume)

    def _pause(self) -> None:
        """Hear nothing of the child for a while; its limits of time hold."""
        connection = self._connection
        assert connection is not None
        if not self._paused:
            self._paused = True
            for end in (connection.answers, connection.stdout, connection.stderr):
                if connection.is_open(end):
                    self._host.unwatch(end)

    def _resume(self) -> None:
        connection = self._connection
        if self._over or connection is None:
            return
        if self._paused:
            self._paused = False
            for end in (connection.answers, connection.stdout, connection.stderr):
                if connection.is_open(end):
                    self._host.watch(end, select.EPOLLIN, self._on_readable)
        self._take_turn()

    def _receive(self, *, leaving: bool) -> Iterator[None]:
        """Read for a turn and take what was read, message by message."""
        connection = self._connection
        assert connection is not None
        frames, broken = self._read_frames(leaving=leaving)
        certain = len(frames)
        # What is still in the pipe was sent before what is in the others now.
        output = self._read_output() if connection.emptied else []
        if output and broken is None:
            # The start of the step that wrote it may have arrived since.
            more, broken = self._read_frames(leaving=leaving)
            frames += more
            connection.emptied = False  # there may be more output
        if frames and self.session.order is not None:
            self.session.order = None  # it holds secrets, and the child has them now
            self._host.lives()
        try:
            for index, frame in enumerate(frames):
                message = codec.decode_from_child(frame, log_bytes=self._log_bytes)
                # A child that wrote waits with the end of the step until its output was read: what
                # was read after an end belongs to a later step, what was read before it does not.
                if output and index >= certain and isinstance(message, _ENDS):
                    yield from self._take_output(output)
                    output = []
                for part in _parts(message):
                    asked = self.session.load_request
                    self.session.receive(part, frame_bytes=len(frame))
                    request = self.session.load_request
                    if request is not None and request is not asked:
                        self._load(request)
                    yield
        except RemoteProtocolError as error:
            broken = str(error)
        yield from self._take_output(output)
        if broken is not None:
            self._break_off(broken)
        if connection.ended:
            connection.close_end(connection.answers)

    def _break_off(self, reason: str) -> None:
        """Stop listening to a child that does not keep to the protocol."""
        assert self._connection is not None
        self.session.judge(make_report("ProtocolError", reason))
        self._connection.ended = True

    def _read_frames(self, *, leaving: bool) -> tuple[list[bytes | bytearray], str | None]:
        """Return the frames that have arrived, and what is wrong with the one after them.

        The text only: a traceback holds its frames, and with them the states in what was read.
        """
        assert self._connection is not None
        frames: list[bytes | bytearray] = []
        try:
            frames.extend(self._connection.read(to_the_end=leaving))
        except RemoteProtocolError as error:
            return frames, str(error)  # what came before it counts, wherever the reads were cut
        return frames, None

    def _read_output(self) -> list[tuple[LogSource, bytes]]:
        connection = self._connection
        assert connection is not None
        streams: tuple[tuple[LogSource, int], ...] = (
            ("stdout", connection.stdout),
            ("stderr", connection.stderr),
        )
        read = [(source, connection.read_output(end)) for source, end in streams]
        return [(source, data) for source, data in read if data]

    def _take_output(self, output: list[tuple[LogSource, bytes]]) -> Iterator[None]:
        for source, data in output:
            size = len(data) if data.count(b"\n") <= _LINES else _PIECE_BYTES
            for begin in range(0, len(data), size):
                self.session.output(source, data[begin : begin + size])
                yield

    def _follow_up(self) -> None:
        """Do what follows from what was heard."""
        if self._over:
            return
        session, connection = self.session, self._connection
        assert connection is not None
        if session.must_die:
            self._kill()
        elif self._hearing is None:
            if session.finished and self._exited is None:
                self._dismiss()
            elif connection.ended:
                session.deadlines.finished()
        self._arm()

    def _dismiss(self) -> None:
        """End the run of a child that has said its last word, and the child with it.

        It waits for this, so that what it has used can be read.  One that is gone by now was not
        heard in time: how it ended counts more than what it said.
        """
        assert self._child is not None
        if not self._child.gone():
            self.session.look_at_memory()
            self._kill()
            self._outcome = self._tell_end(None)
            assert self._connection is not None
            self._connection.close()  # nothing is heard after the last event

    def _on_exit(self, _events: int) -> None:
        child, connection = self._child, self._connection
        assert child is not None
        assert connection is not None
        self._host.unwatch(child.exit_fd)
        self._exited = exited = child.reap()
        if exited.refused is not None and self.session.order is not None:
            self._take_back()
            self._not_started(exited.refused, str(exited.lost))
            return
        if exited.orphaned and self._outcome is None and self._start_again():
            return
        if self._outcome is None:
            self._take_turn()
        else:
            self._end()

    def _part(self) -> None:
        """End the run of a child that is gone, once it was heard to its end."""
        exited, connection = self._exited, self._connection
        assert exited is not None
        assert connection is not None
        self._hearing = None
        if not connection.at_boundary and exited.code == 0 and exited.signal is None:
            self.session.judge(
                make_report("ProtocolError", "the child ended in the middle of a frame")
            )
        self._end()

    def _end(self) -> None:
        """Let go of everything: the child was reaped, or there never was one."""
        self._gone = True
        self._hearing = None
        outcome = self._outcome or self._tell_end(self._exited)
        if self._connection is not None:
            self._connection.close()
        cgroup, self._cgroup = self._cgroup, None
        if cgroup is not None:
            self._host.leave_cgroup(cgroup)
        if self._meter is not None:
            self._meter.close()
        exited = self._exited
        if exited is not None:
            outcome = outcome.with_usage(Usage(exited.peak_bytes, exited.cpu_s))
        finish(self.run, outcome)
        self._host.ended(self)

    def _tell_end(self, exited: Exit | None) -> Outcome:
        """Emit the last event, and return how the run ended."""
        cgroup, session = self._cgroup, self.session
        oom_killed = False
        if cgroup is not None:
            oom_killed = cgroup.oom_killed()
            session.peak_bytes = max(session.peak_bytes, cgroup.peak_bytes())
        try:
            return session.finish(exited, oom_killed=oom_killed)
        except Exception as error:  # noqa: BLE001 - told as an error of the run
            _log.exception("internal error at the end of run %s", self.run.id)
            return session.give_up(error)

    # --- credentials and states ---

    def _load(self, request: LoadRequest) -> None:
        assert self._connection is not None
        if self.session.verdict is not None:
            return  # the child asked before it knew, and nobody waits for an answer
        if self._connection.wants_to_write:
            # Answers that nobody reads would pile up here.
            raise RemoteProtocolError(
                f"child asked for a {request.kind} before it has read what it was sent"
            )
        known = self.session.known_resolution(request)
        if known is not None:
            self._answer(request, known)
            return
        resolver = getattr(self.session.resolvers, request.kind)
        # A resolver that never returns must not keep all this for ever.
        reference = weakref.ref(self)

        def done(outcome: Resolution | ErrorReport) -> None:
            lane = reference()
            if lane is not None:
                studied = lane.session.study(request, outcome)
                # A partial, not a lambda: whose it is must be known if it raises.
                lane._host.post(partial(lane._answer, request, outcome, studied))  # noqa: SLF001 - its own

        def wanted() -> bool:
            lane = reference()
            return lane is not None and lane.session.verdict is None

        resolve(resolver, request.kind, request.id, request.step_id, done, wanted, reference)

    def _answer(
        self,
        request: LoadRequest,
        outcome: Resolution | ErrorReport,
        studied: Studied | None = None,
    ) -> None:
        session = self.session
        if self._over or session.verdict is not None or session.load_request is not request:
            return  # too late: the run has gone on without it, or is about to end
        self._send(self.session.loaded(request, outcome, studied))
        self._arm()

    # --- time ---

    def check(self) -> None:
        """Look at the clock, the memory and the CPU time; the supervisor calls this on time."""
        self._armed = float("inf")
        if self._over or self._killed or self._child is None or self._exited is not None:
            return
        self._ask_for_cgroup()
        deadlines, request = self.session.deadlines, self.session.load_request
        if request is not None and deadlines.load_is_late():
            timeout_s = self.session.options.resolve_timeout_s
            self._answer(request, late(request.kind, request.id, request.step_id, timeout_s))
        report = deadlines.exceeded() or self._overused()
        if report is not None:
            self.session.judge(report)
        if deadlines.must_stop():
            self._overstayed()
        if self.session.must_die:
            self._kill()
        self._arm()

    def _ask_for_cgroup(self) -> None:
        """Ask for a control group once the run has lasted so long that it is worth one."""
        assert self._child is not None
        pid = self._child.pid
        lasted_ms = self.session.deadlines.elapsed_ms()
        if self._cgroup_asked or pid is None or lasted_ms < ENTER_AFTER_S * 1000:
            return
        self._cgroup_asked = True
        self._host.enter_cgroup(pid, self.session.options.memory_bytes, self._entered)

    def _entered(self, cgroup: RunCgroup) -> None:
        if self._gone:
            self._host.leave_cgroup(cgroup)
        else:
            self._cgroup = cgroup

    def _overstayed(self) -> None:
        if self.session.verdict is None:
            self.session.judge(
                make_report("ProtocolError", "the child closed its pipe, and stayed")
            )
        self._kill()

    def _overused(self) -> ErrorReport | None:
        meter, options = self._meter, self.session.options
        if meter is None or not self.session.ready:
            return None
        used = meter.private_bytes()
        self.session.peak_bytes = max(self.session.peak_bytes, used)
        if used > options.memory_bytes:
            return make_report(
                "OOMError",
                f"the run used {used / MEGABYTE:.0f} MB of memory;"
                f" allowed: {options.memory_mb:g} MB (memory_mb)",
                option="memory_mb",
            )
        if options.cpu_s is not None and meter.cpu_s() >= options.cpu_s:
            return make_report(
                "CPULimitError",
                f"the run used up its CPU time of {options.cpu_s:g} s (cpu_s)",
                option="cpu_s",
            )
        return None

    def _arm(self) -> None:
        if self._killed or self._exited is not None:
            return
        when = min(self.session.deadlines.next, time.monotonic() + CHECK_S)
        if when < self._armed:
            self._armed = when
            self._host.call_at(when, self._timer)

    # --- sending ---

    def _send(self, body: bytes) -> None:
        assert self._connection is not None
        self._connection.send(body)
        self._write()

    def _write(self) -> None:
        connection = self._connection
        assert connection is not None
        waited = connection.wants_to_write
        connection.write()
        if connection.wants_to_write:
            self._host.watch(connection.requests, select.EPOLLOUT, self._on_writable)
        elif waited:
            self._host.unwatch(connection.requests)

    def _on_writable(self, _events: int) -> None:
        self._write()


def _parts(message: Message) -> Iterator[Message]:
    """Yield a message, a batch of many log lines in parts: each takes a fraction of a millisecond."""
    if not isinstance(message, LogBatch) or len(message.entries) <= _LINES:
        yield message
        return
    entries = message.entries
    for begin in range(0, len(entries), _LINES):
        part = entries[begin : begin + _LINES]
        last = begin + _LINES >= len(entries)
        yield LogBatch(
            entries=part,
            dropped=message.dropped if last else 0,
            dropped_bytes=message.dropped_bytes if last else 0,
        )
