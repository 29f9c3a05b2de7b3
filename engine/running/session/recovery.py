"""Lets a run go on in another child: keeps its records, the next attempt and the next walls.

If a child is lost, a new child replays the recorded steps.  It takes their states and edges from
the records, and runs the other steps.
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec

from engine.api import Attempts, CollectionRule, StepRecord
from engine.running.session.order import Order
from protocol import codec
from protocol import messages as m
from protocol.confinement import ConfinementRequest
from protocol.errors import RemoteProtocolError
from protocol.plan import Step
from protocol.report import ErrorReport
from protocol.retry import DEATH, Kind, delay_ms, is_retried
from protocol.state import encode_state
from protocol.zygote import AdaptorSet

KEPT_S: Final = 5.0
"""Longest time for which a child waits for the next attempt; after it another run gets its
place."""


_NOT_BEGUN: Final = Attempts(0)


class Beginning(msgspec.Struct, frozen=True):
    """The walls and the messages that a child gets when it starts."""

    request: ConfinementRequest
    frames: tuple[bytes, ...]
    adaptors: AdaptorSet | None = None
    """The adaptors that its steps name."""


class Recovery:
    """The records of one run, and the decisions after a death.

    Only the supervisor's thread uses it.
    """

    def __init__(self, order: Order) -> None:
        self.journaled = order.journaled
        """Whether each step is recorded before the next one begins."""
        self.keeps_events = order.keeps_events
        """Whether the end of a step is reported before it is recorded."""
        self.children = 0
        """The number of children that were heard."""
        self._order: Order | None = order
        self._extra = order.extra
        self._begun = order.begun
        self.has_begun = bool(order.begun)
        """Whether an earlier manager has begun attempts that have no record."""
        self._groups = order.groups
        self._collections = order.collections
        self._steps: dict[str, Step] = {step.id: step for step in order.workflow.steps}
        self._records: list[StepRecord] = [*order.recorded]
        self.keeps = order.survives
        """Whether the run may go on in another child, and keeps its records for it."""
        self.outlives_children = self.keeps and any(map(_survives_death, self._steps.values()))
        """Whether another child goes on after a death while no step runs."""
        self.keeps_records = self.journaled or self.keeps
        """Whether the end of a step becomes a record."""
        self._group = order.first_group
        self._resume: m.Resume | None = None

    # --- the start of a child ---

    def begin(self) -> Beginning:
        """Return the walls and the messages of the next child."""
        order = self._order
        assert order is not None
        request = order.requests[self._group]
        adaptors = order.adaptors[self._group]
        if not isinstance(order.start, m.Start):
            return Beginning(request, (order.start,), adaptors)
        start = msgspec.structs.replace(
            order.start,
            replay=len(self._records),
            resume=self._resume,
            whole=True,
            barrier=self.journaled,
            net=request.mediated_rules,
            here=self._here(several=len(order.requests) > 1),
            begun={name: m.Begun(made.begun, made.failed) for name, made in self._begun.items()},
        )
        replays = (
            m.Replay(
                step_run_id=record.step_run_id,
                state=msgspec.Raw(record.state),
                next=record.next,
                error=_with_encoded_details(record.error),
            )
            for record in self._records
        )
        frames = (codec.encode(start), *map(codec.encode, replays))
        return Beginning(request, frames, adaptors)

    def _here(self, *, several: bool) -> tuple[str, ...] | None:
        if not several:
            return None
        return tuple(step_id for step_id, group in self._groups.items() if group == self._group)

    @property
    def collections(self) -> tuple[CollectionRule, ...]:
        """The collections that the present child may use."""
        return self._collections[self._group]

    def started(self) -> None:
        """Drop the order once the child has it, unless another child may follow: it has secrets."""
        if not self.keeps:
            self._order = None
            self._records.clear()

    def move_to(self, step_id: str) -> None:
        """Give the next child the permissions of a step.

        Raises:
            RemoteProtocolError: The present child has these permissions.

        """
        group = self._groups.get(step_id, self._group)
        if group == self._group:
            raise RemoteProtocolError("child leaves a step to another, though it may run that step")
        self._group = group
        self._resume = None

    # --- the records ---

    def record(
        self,
        ids: dict[str, Any],
        state: msgspec.Raw,
        following: tuple[str, ...],
        error: ErrorReport | None,
        *,
        holds_secret: bool,
    ) -> StepRecord | None:
        """Return the record of a step that has ended, and keep it; None if the run keeps none."""
        if not self.keeps_records:
            return None
        record = StepRecord(
            ids["step_run_id"],
            ids["step_id"],
            ids["attempt"],
            "success" if error is None else "fail",
            bytes(state),
            following,
            error,
            self._extra,
            holds_secret,
        )
        if self.keeps:
            self._records.append(record)
        self._resume = None
        return record

    @property
    def recorded(self) -> int:
        """The number of steps that have ended, in a run that keeps its records."""
        return len(self._records)

    # --- failures ---

    def begun(self, step_run_id: str) -> Attempts:
        """Return the attempts of an execution that an earlier manager has made."""
        return self._begun.get(step_run_id, _NOT_BEGUN)

    def step(self, step_id: str) -> Step:
        """Return a step of the plan."""
        return self._steps[step_id]

    def timeout_s(self, step_id: str) -> float | None:
        """Return the limit of time of one attempt of a step, in seconds."""
        timeout = self._steps[step_id].timeout
        return None if timeout is None else timeout / 1000

    def delay_s(self, step_id: str, attempt: int, retry_after_s: float | None) -> float:
        """Return the delay after an attempt that the child wants to repeat.

        Args:
            step_id: The step.
            attempt: The number of attempts that count against ``retry.attempts``, with this one.
            retry_after_s: The delay that the child has asked for.

        Raises:
            RemoteProtocolError: The plan gives the step no further attempt.

        """
        retry = self._steps[step_id].retry
        if retry is None or attempt >= retry.attempts:
            raise RemoteProtocolError("child repeats a step that has no further attempt")
        return self._delay_s(step_id, attempt, retry_after_s)

    def _delay_s(self, step_id: str, attempt: int, retry_after_s: float | None = None) -> float:
        retry = self._steps[step_id].retry
        assert retry is not None
        # Jitter only keeps many runs from trying at the same time, so it may be predictable.
        jitter = random.uniform(-1, 1)  # noqa: S311
        return delay_ms(retry, attempt, retry_after_s, jitter) / 1000

    def retry_after_death(self, step_id: str, attempt: int, name: str, kind: Kind) -> float | None:
        """Return the seconds before the next attempt; None if the step is not tried again.

        Args:
            step_id: The step.
            attempt: The number of attempts that count against ``retry.attempts``, with this one.
            name: The name of the error.
            kind: The kind of the death.

        """
        if not is_retried(self._steps[step_id].retry, attempt, name, kind):
            return None
        return self._delay_s(step_id, attempt)

    def fails_step(self, step_id: str, kind: Kind) -> bool:
        """Return whether the death of the child makes the step fail, instead of ending the run."""
        return kind == "timeout" or self._steps[step_id].on_death == "fail"

    def resume(self, step_run_id: str, attempt: int, died: ErrorReport | None = None) -> None:
        """Let the next child begin with an execution that an earlier child has begun.

        Args:
            step_run_id: The id of the execution.
            attempt: The number of the attempt that begins, or that has died.
            died: The report of the step, if it is not tried again.

        """
        self._resume = m.Resume(step_run_id=step_run_id, attempt=attempt, died=died)

    @property
    def died(self) -> ErrorReport | None:
        """The report of the step that has died and waits for its state."""
        return None if self._resume is None else self._resume.died

    def forget(self) -> None:
        """Drop every state, and the order with its secrets."""
        self._order = None
        self._records.clear()
        self._resume = None


def _survives_death(step: Step) -> bool:
    """Return whether the plan lets a step survive the death of its child."""
    return step.on_death == "fail" or (step.retry is not None and DEATH in (step.retry.on or ()))


def _with_encoded_details(report: ErrorReport | None) -> ErrorReport | None:
    """Encode the details of a recorded error by the rules for states, as its child has done.

    The encoder of messages does not know these rules: an integer of more than 64 bits would end the run.
    """
    if report is None or report.details is None or isinstance(report.details, msgspec.Raw):
        return report
    return msgspec.structs.replace(report, details=msgspec.Raw(encode_state(report.details)))
