"""The output of a step: its state as bytes, and the message of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from protocol import messages as m
from protocol.errors import RemoteProtocolError, TooManyItemsError
from protocol.plan import INPUTS
from protocol.report import ErrorReport, state_too_large, too_many_items
from protocol.state import NIL, encode_state

if TYPE_CHECKING:
    from protocol.plan import Step
    from sandbox_child.pipes.channel import Channel


class StepCrashedError(Exception):
    """The workflow cannot go on after this step."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


class StepResult(msgspec.Struct, frozen=True):
    """The outcome of a step."""

    encoded: bytes
    """The encoded state; nil if the step returned None."""
    error: ErrorReport | None = None
    duration_ms: int = 0

    @property
    def nothing(self) -> bool:
        """Whether the step returned None."""
        return self.encoded == NIL

    def end(
        self, following: tuple[str, ...] = (), *, with_state: bool, **fields: Any
    ) -> m.JobComplete | m.JobError:
        """Return the message of the end of the step.

        Args:
            following: The steps to which an edge is taken.
            with_state: False leaves the state out.
            fields: More fields of the message.

        """
        state = memoryview(self.encoded) if with_state else None
        size = len(self.encoded)
        if self.error is None:
            return m.JobComplete(
                state=state,
                state_bytes=size,
                next=following,
                duration_ms=self.duration_ms,
                **fields,
            )
        return m.JobError(
            error=self.error,
            state=state,
            state_bytes=size,
            next=following,
            duration_ms=self.duration_ms,
            **fields,
        )


def fits_event(size: int, start: m.Start) -> bool:
    """Return whether an event carries a state of *size* bytes."""
    return start.event_state and size <= start.limits.payload_bytes


def wait_to_proceed(channel: Channel) -> None:
    """Wait until the engine lets the run go on.

    Raises:
        RunCancelledError: The engine wants the run to end.

    """
    answer = channel.receive_any()
    if isinstance(answer, m.Proceed):
        return
    channel.check_cancelled()
    raise RemoteProtocolError(f"engine sent {type(answer).__name__} where Proceed was due")


def removed_keys(step: Step, start: m.Start) -> tuple[str, ...]:
    """Return the keys that are not in the state of a step after it has run."""
    return start.remove_from_state if step.join == "any" else (*start.remove_from_state, INPUTS)


def encode_result(state: Any, step: Step, start: m.Start) -> bytes:
    """Return the encoded state of a step for the steps after it.

    Raises:
        StateNotCarriedError: The state has a value that is not allowed in a state.
        StepCrashedError: The state is too large, or has too many items.

    """
    limits = start.limits
    try:
        encoded = encode_state(
            state, without=removed_keys(step, start), max_items=limits.state_items
        )
    except TooManyItemsError as error:
        what = f"the state of step {step.id!r}"
        report = too_many_items(what, error.items, limits.state_items, step_id=step.id)
        raise StepCrashedError(report) from None
    size = len(encoded)
    if size > limits.state_bytes:
        what = f"the state of step {step.id!r}"
        raise StepCrashedError(state_too_large(what, size, limits.state_bytes, step_id=step.id))
    return encoded
