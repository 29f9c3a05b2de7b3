"""The state of a step as bytes, within the limits of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.errors import TooManyItemsError
from protocol.plan import INPUTS
from protocol.report import ErrorReport, state_too_large, too_many_items
from protocol.state import encode_state

if TYPE_CHECKING:
    from protocol.messages import Start
    from protocol.plan import Step


class StepCrashedError(Exception):
    """The workflow cannot go on after this step."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.message)
        self.report = report


def removed_keys(step: Step, start: Start) -> tuple[str, ...]:
    """Return the keys that are not in the state of a step after it has run."""
    return start.remove_from_state if step.join == "any" else (*start.remove_from_state, INPUTS)


def encode_result(state: Any, step: Step, start: Start) -> bytes:
    """Return the state that a step hands on.

    Raises:
        StateNotCarriedError: It has a value that no state may have.
        StepCrashedError: It is too large, or has too many items.

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
