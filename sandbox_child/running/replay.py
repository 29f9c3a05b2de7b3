"""Replays the work of earlier children: the executions that ended, and the one that had begun.

Steps run one after another, so the executions that have ended are always the first ones of the
walk.  The walk takes each execution from the engine when it comes to it, so a child holds only the
states that it still needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import messages as m
from protocol.errors import RemoteProtocolError
from sandbox_child.running.step import JobExecution
from sandbox_child.running.step_output import StepResult

if TYPE_CHECKING:
    from protocol.plan import Step
    from sandbox_child.pipes.channel import Channel
    from sandbox_child.running.joins import JoinInput
    from sandbox_child.running.runtime import Runtime


_NOT_BEGUN = m.Begun(0)


class Past:
    """The executions of jobs that earlier children have begun."""

    def __init__(self, start: m.Start) -> None:
        self.left = start.replay
        """Number of executions that the engine has not replayed yet."""
        self._resume = start.resume
        self._begun = start.begun

    def replay(self, channel: Channel, step_run_id: str) -> tuple[StepResult, list[str]]:
        """Return the result of an execution that has ended, and the steps after it.

        Raises:
            RemoteProtocolError: The engine replays another execution.

        """
        message = channel.receive_any()
        if isinstance(message, m.Cancel):
            channel.check_cancelled()
        if not isinstance(message, m.Replay):
            name = type(message).__name__
            raise RemoteProtocolError(f"engine sent {name} where Replay was due")
        if message.step_run_id != step_run_id:
            raise RemoteProtocolError(
                f"engine replays {message.step_run_id!r} where {step_run_id!r} is due"
            )
        self.left -= 1
        return StepResult(bytes(message.state), message.error), list(message.next)

    def has_died(self, step_run_id: str) -> bool:
        """Return whether an execution died with an earlier child, so that it does not run again.

        Raises:
            RemoteProtocolError: The engine resumes another execution.

        """
        resume = self._resume
        if resume is not None and resume.step_run_id != step_run_id:
            raise RemoteProtocolError(
                f"engine resumes {resume.step_run_id!r} where {step_run_id!r} is due"
            )
        return resume is not None and resume.died is not None

    def bury(self, runtime: Runtime, step: Step, given: bytes | JoinInput) -> StepResult:
        """Return the result of the execution that died with an earlier child."""
        resume, self._resume = self._resume, None
        assert resume is not None
        assert resume.died is not None
        execution = JobExecution(runtime, step, resume.step_run_id, resume.attempt)
        return execution.fail(given, resume.died)

    def attempts_of(self, step_run_id: str) -> tuple[int, int]:
        """Return the number of the first attempt of an execution in this child, and of lost ones.

        A lost attempt does not count against ``retry.attempts``.
        """
        resume, self._resume = self._resume, None
        begun = self._begun.get(step_run_id, _NOT_BEGUN)
        lost = begun.attempts - begun.counted
        if resume is not None and resume.step_run_id == step_run_id:
            return resume.attempt, lost
        return begun.attempts + 1, lost
