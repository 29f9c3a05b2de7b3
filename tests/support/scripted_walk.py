"""The walk of a child without its process: a script plays the engine, and checks every message."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from engine.plan.validation import load_plan
from protocol import messages as m
from protocol.codec import decode_from_child, decode_to_child, encode
from protocol.phases import AFTER_PROCEED, Phase, advance, proceed
from protocol.report import ErrorReport, make_report
from protocol.state import NIL, decode_state, encode_state
from sandbox_child.pipes.channel import EngineGoneError, RunCancelledError
from sandbox_child.running.graph import Walk
from sandbox_child.running.log_sender import LogSender
from sandbox_child.running.runtime import Runtime

Answer = Callable[[m.Message], Iterable[m.Message]]
LIMITS = m.ChildLimits(
    state_bytes=10**6,
    state_items=10**6,
    payload_bytes=10**6,
    log_payload_bytes=10**6,
    max_log_bytes=10**7,
    max_step_runs=5_000,
    memory_bytes=10**9,
)


class ScriptedChannel:
    """Takes the messages of a walk, and gives it those of a script.

    Args:
        answer: Returns the messages that follow what the walk has sent.
        barrier: See `m.Start.barrier`.

    """

    requests_fd = -1

    def __init__(self, answer: Answer, *, barrier: bool) -> None:
        self.sent: list[Any] = []
        self.frames: list[bytes] = []
        self._answer = answer
        self._barrier = barrier
        self._phase = Phase.WALKING
        self._arrived: deque[m.Message] = deque()
        self._cancelled: RunCancelledError | None = None

    def script(self, messages: Iterable[m.Message]) -> None:
        """Let these messages arrive."""
        for message in messages:
            arrived = decode_to_child(encode(message))
            self._arrived.append(arrived)
            if isinstance(arrived, m.Cancel):
                report = make_report("Cancelled", f"the run was cancelled: {arrived.reason}")
                self._cancelled = RunCancelledError(report)

    def hold(self, message: m.Message) -> None:
        """Take a message; the phases of the protocol allow it."""
        self.frames.append(encode(message))
        taken = decode_from_child(self.frames[-1])
        self._phase = advance(self._phase, taken, barrier=self._barrier)
        self.sent.append(taken)
        self.script(self._answer(taken))

    send = hold

    def receive_any(self) -> m.Message:
        """Return the next message of the script."""
        if not self._arrived:
            raise EngineGoneError
        message = self._arrived.popleft()
        if isinstance(message, m.Proceed):
            assert self._phase in AFTER_PROCEED, f"no Proceed is due in phase {self._phase.name}"
            self._phase = proceed(self._phase)
        return message

    def check_cancelled(self) -> None:
        """Raise if the script has cancelled the run."""
        if self._cancelled is not None:
            raise self._cancelled


def proceeding(message: m.Message) -> Iterable[m.Message]:
    """Answer the end of a step as an engine does that has nothing to wait for."""
    if isinstance(message, m.JobComplete | m.JobError) and not message.ends_run:
        yield m.Proceed()


class Walked:
    """The output of a walk."""

    def __init__(
        self, channel: ScriptedChannel, last: m.WorkflowComplete | m.WorkflowError
    ) -> None:
        self.sent = channel.sent
        self.frames = channel.frames
        """The same messages, encoded."""
        self.last = decode_from_child(encode(last))
        self.step_runs = [x.step_run_id for x in self.of(m.InitStart)]

    def of(self, *kinds: type[m.Message]) -> list[Any]:
        """Return the messages of these kinds, in order."""
        return [message for message in self.sent if isinstance(message, kinds)]

    @property
    def states(self) -> dict[str, Any]:
        """Step run to its state, as it was sent to the engine."""
        ends = self._last_ends()
        names = [x.step_run_id for x in self.of(m.InitStart, m.StepDied)]
        return {
            name: None if end.state is None else decode_state(end.state)
            for name, end in zip(names, ends, strict=False)
        }

    def _last_ends(self) -> list[Any]:
        """Return the end of each step, without those of attempts that were made again."""
        ends = self.of(m.JobComplete, m.JobError)
        return [end for end in ends if not getattr(end, "retry", False)]

    def replays(self) -> list[m.Replay]:
        """Return what the engine sends to the next child for each step that has ended."""
        ends = self._last_ends()
        names = [x.step_run_id for x in self.of(m.InitStart, m.StepDied)]
        return [
            m.Replay(
                step_run_id=name,
                state=msgspec.Raw(end.state),
                next=end.next,
                error=_plain(getattr(end, "error", None)),
            )
            for name, end in zip(names, ends, strict=True)
        ]

    @property
    def state(self) -> Any:
        """The final state."""
        assert isinstance(self.last, m.WorkflowComplete), self.last
        if self.last.state_of is not None:
            return self.states[self.last.state_of]
        return decode_state(self.last.state or NIL)


def _plain(report: Any) -> ErrorReport | None:
    if report is None:
        return None
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    details = memoryview(fields.pop("details"))
    return ErrorReport(
        **fields, details=msgspec.msgpack.decode(details) if details.nbytes else None
    )


def start_of(
    plan: Any, state: Any = None, *, steps: dict[str, dict[str, Any]] | None = None, **changes: Any
) -> m.Start:
    """Return the first message of a run, of a checked plan.

    Args:
        plan: In any form.
        state: The initial state.
        steps: Step id to fields that are changed in the checked step.
        changes: Fields of the message.

    """
    checked = load_plan(plan, warn=lambda _: None)
    changed = steps or {}
    workflow = msgspec.structs.replace(
        checked.workflow,
        steps=tuple(
            msgspec.structs.replace(step, **changed.get(step.id, {}))
            for step in checked.workflow.steps
        ),
    )
    return m.Start(
        run_id=checked.id,
        workflow=workflow,
        start=checked.start,
        end=checked.options.end,
        state=msgspec.Raw(encode_state({} if state is None else state)),
        limits=changes.pop("limits", LIMITS),
        **changes,
    )


def run_walk(
    start: m.Start, *, answer: Answer = lambda _: (), script: Iterable[m.Message] = ()
) -> Walked:
    """Walk a workflow in this process.

    Args:
        start: As the engine would send it.
        answer: Returns the messages that follow what the walk has sent.
        script: The messages that are there from the beginning.

    """
    channel = ScriptedChannel(answer, barrier=start.barrier)
    channel.script(script)
    received = decode_to_child(encode(start))
    assert isinstance(received, m.Start)
    logs = LogSender(channel, level="debug", max_bytes=10**7, max_line_bytes=10**6)  # type: ignore[arg-type]
    return Walked(channel, Walk(Runtime(received, channel, logs)).run())  # type: ignore[arg-type]
