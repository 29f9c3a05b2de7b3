"""The hash of a plan, with which the engine finds out whether a journal belongs to a run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from protocol.plan import Plan, Step
from protocol.state import encode_state

_CREDENTIALS_OF_A_STATE = ("configuration",)


def fingerprint(plan: Plan, state: Any, *, own_id: bool) -> str:
    """Return the hash of everything that decides what a run does, as hexadecimal digits.

    Credentials that are written in the plan or in a state are left out, because a user may renew
    them before a run is resumed.  Ids of credentials count.

    Args:
        plan: A checked plan, with the start and the end of this run.
        state: The initial state, or the id of a stored one.
        own_id: Whether the id was written in the plan.  An id that the engine made does not count.

    """
    import hashlib  # it loads OpenSSL, and many engines have no journal

    workflow = plan.workflow
    parts = [
        plan.id if own_id else None,
        plan.start,
        plan.options.end,
        workflow.globals,
        _id_only(workflow.credentials),
        [_step_parts(step) for step in workflow.steps],
        _value(state),
    ]
    return hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=32).hexdigest()


def is_replayable(
    earlier: Plan, earlier_state: Any, plan: Plan, state: Any, step_ids: Collection[str]
) -> str | None:
    """Return why records of an earlier run cannot be replayed in a run of *plan*; None if they can.

    Args:
        earlier: The plan of the earlier run.
        earlier_state: The initial state of the earlier run, or the id of a stored one.
        plan: The checked plan of the new run.
        state: The initial state of the new run, or the id of a stored one.
        step_ids: The steps that are replayed.  Triggers count as well; other steps may differ.

    """
    if earlier.start != plan.start:
        return f"it starts with {earlier.start!r}, not with {plan.start!r}"
    if earlier.workflow.globals != plan.workflow.globals:
        return "its workflow has other globals"
    if _id_only(earlier.workflow.credentials) != _id_only(plan.workflow.credentials):
        return "its workflow has another id of credentials"
    if _value(earlier_state) != _value(state):
        return "it has another initial state"
    known = {step.id: _step_parts(step) for step in earlier.workflow.steps}
    for step in plan.workflow.steps:
        if step.id not in step_ids and step.expression is not None:
            continue
        if step.id not in known:
            return f"it has no step {step.id!r}"
        if known[step.id] != _step_parts(step):
            return f"its step {step.id!r} is another one"
    return None


def _step_parts(step: Step) -> dict[str, Any]:
    """Return the fields of a step that count: all except its name."""
    parts = {field: getattr(step, field) for field in step.__struct_fields__}
    del parts["name"]
    parts["configuration"] = _id_only(step.configuration)
    parts["state"] = _value(step.state)
    # The order of the edges decides the order of the steps, so it counts as well.
    parts["next"] = [(target, edge.condition, edge.disabled) for target, edge in step.next.items()]
    return parts


def _id_only(credential: Any) -> str | None:
    return credential if isinstance(credential, str) else None


def _value(state: Any) -> bytes | str | None:
    if state is None or isinstance(state, str):
        return state
    return encode_state(state, without=_CREDENTIALS_OF_A_STATE)
