"""The names of the steps of a plan, and the numbers of their attempts, for views."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.plan import Plan


def names_of(plan: Plan) -> dict[str, str]:
    """Return step id to name, of the steps that have one."""
    return {step.id: step.name for step in plan.workflow.steps if step.name}


def attempts_of(plan: Plan) -> dict[str, int]:
    """Return step id to the number of attempts, of the steps that are retried."""
    return {step.id: step.retry.attempts for step in plan.workflow.steps if step.retry}
