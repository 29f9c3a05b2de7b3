"""The hash of a plan changes with everything that decides how a run behaves, and only with that."""

from __future__ import annotations

from typing import Any

import pytest

from engine.journal.plan_hash import fingerprint
from engine.plan.validation import load_plan

PLAN: dict[str, Any] = {
    "id": "nightly",
    "options": {"start": "a", "end": "b"},
    "workflow": {
        "globals": "x = 1",
        "credentials": "shared",
        "steps": [
            {
                "id": "a",
                "name": "First",
                "expression": "fn(lambda state: state)",
                "adaptors": ["http@1.0.0"],
                "configuration": "api",
                "state": {"data": {"n": 1}},
                "next": {"b": {"condition": "on_job_success"}, "c": True},
            },
            {"id": "b", "expression": "fn(lambda state: state)", "configuration": {"token": "old"}},
            {"id": "c", "expression": "fn(lambda state: state)"},
        ],
    },
}
STATE = {"data": {"id": 7}, "configuration": {"token": "old"}}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a copy of `PLAN` with another value at *path*, whose parts are separated by dots."""
    import copy

    plan: Any = copy.deepcopy(PLAN)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = plan
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return plan  # type: ignore[no-any-return]


def hash_of(plan: Any = PLAN, state: Any = STATE, *, own_id: bool = True) -> str:
    """Return the hash of a plan and an initial state."""
    return fingerprint(load_plan(plan), state, own_id=own_id)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "weekly"),
        ("options.start", "b"),
        ("options.end", None),
        ("workflow.globals", "x = 2"),
        ("workflow.credentials", "other"),
        ("workflow.steps.0.expression", "fn(lambda state: None)"),
        ("workflow.steps.0.adaptors", ["http@1.0.1"]),
        ("workflow.steps.0.configuration", "other"),
        ("workflow.steps.0.state", {"data": {"n": 2}}),
        ("workflow.steps.0.next.c", False),
        ("workflow.steps.0.next.b", {"condition": "on_job_failure"}),
        ("workflow.steps.0.next.b", {"condition": "on_job_success", "disabled": True}),
        ("workflow.steps.0.next", {"c": True, "b": {"condition": "on_job_success"}}),
    ],
)
def test_a_change_of_what_a_run_does_changes_the_hash(path: str, value: Any) -> None:
    """Texts, versions, states, ids of credentials, edges, and the order of edges count."""
    assert hash_of(changed(path, value)) != hash_of()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("workflow.steps.0.name", "Renamed"),
        ("workflow.steps.1.configuration", {"token": "new"}),
        ("workflow.steps.0.next.b", {"condition": "on_job_success", "label": "then"}),
    ],
)
def test_a_change_of_anything_else_does_not(path: str, value: Any) -> None:
    """Names, labels and credentials in the text of the plan do not count."""
    assert hash_of(changed(path, value)) == hash_of()


def test_credentials_in_the_initial_state_do_not_count() -> None:
    """Credentials may be renewed before a run is resumed; the rest of the state counts."""
    assert hash_of(state={**STATE, "configuration": {"token": "new"}}) == hash_of()
    assert hash_of(state={**STATE, "data": {"id": 8}}) != hash_of()
    assert hash_of(state="stored-1") != hash_of(state="stored-2")


def test_an_id_that_the_engine_made_does_not_count() -> None:
    """Each load of a plan without an id makes another id."""
    without = changed("id", None)
    assert hash_of(without, own_id=False) == hash_of(without, own_id=False)
