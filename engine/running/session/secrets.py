"""The secrets of one run: where its plan and its state hold them, and the redactor that knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from engine.api import RunOptions, StepRecord
from engine.reporting import Redactor, secrets_within
from engine.running.session.loading import Request
from engine.running.session.resolution import Kind
from protocol.plan import Plan, Workflow


def make_redactor(
    options: RunOptions,
    named: frozenset[str],
    configurations: Iterable[Any],
    is_id: Callable[[str], bool],
) -> Redactor:
    """Return a redactor that knows the secrets of a run.

    Args:
        options: The options of the run.
        named: The ids of credentials and stored states in its plan.
        configurations: The values in its plan and its state that may hold secrets.
        is_id: Whether a text is the id of a step or of an execution.

    """
    redactor = Redactor(public_keys=options.public_credential_keys, is_id=is_id, named=named)
    for configuration in configurations:
        redactor.learn(configuration)
    # If an id is a connection URL, the error about the missing credential quotes it.
    for name in named:
        if within := list(secrets_within(name)):
            redactor.learn(within)
    return redactor


def configurations_of(plan: Plan, state: Any) -> list[Any]:
    """Return the values of a plan and of its initial state that may hold secrets."""
    steps = plan.workflow.steps
    holders = (state, *(step.state for step in steps))
    given = (plan.workflow.credentials, *(step.configuration for step in steps))
    return [
        # Elsewhere a string is the id of a credential and not a secret, but in a state it may be a
        # secret.
        *(value for value in given if not isinstance(value, str)),
        *(holder.get("configuration") for holder in holders if isinstance(holder, dict)),
    ]


def questions_about(
    workflow: Workflow, state: Any, records: tuple[StepRecord, ...]
) -> tuple[Request, ...]:
    """Return the questions for the credentials and the stored states that recorded steps were given."""
    steps = {step.id: step for step in workflow.steps}
    asked: dict[tuple[str, str], Request] = {}

    def ask(kind: Kind, name: Any, record: StepRecord) -> None:
        if isinstance(name, str):
            request = Request(kind, name, record.step_id, record.step_run_id)
            asked.setdefault((kind, name), request)

    for record in records:
        step = steps[record.step_id]
        ask("credential", step.configuration, record)
        ask("credential", workflow.credentials, record)
        ask("state", step.state, record)
        ask("state", state, record)
    return tuple(asked.values())
