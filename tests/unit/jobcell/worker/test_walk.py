"""The last step of a run, as far as records show it."""

from __future__ import annotations

import pytest

from engine import StepRecord
from jobcell.worker.walk import Walk
from protocol.plan import Edge, Step, Workflow


def workflow(**edges: str) -> Workflow:
    """Return steps with edges: ``a="bc"``; a step with a capital letter is a trigger."""
    return Workflow(
        steps=tuple(
            Step(
                id=name,
                expression=None if name.isupper() else "x",
                next={target: Edge() for target in targets},
            )
            for name, targets in edges.items()
        )
    )


def record(step: str, following: str = "") -> StepRecord:
    """Return a record of a step."""
    return StepRecord(step, step, 1, "success", b"", tuple(following))


def ends(walk: Walk, *records: StepRecord) -> list[bool]:
    """Return for each record whether it was the last one."""
    return [walk.ends_with(one) for one in records]


def test_the_leaf_of_a_chain_is_the_last_step() -> None:
    """No other execution can follow."""
    walk = Walk(workflow(a="b", b=""), "a", [])
    assert ends(walk, record("a", "b"), record("b")) == [False, True]


def test_each_branch_is_waited_for() -> None:
    """The first leaf is not the end while another branch is to come."""
    walk = Walk(workflow(a="bc", b="", c=""), "a", [])
    assert ends(walk, record("a", "bc"), record("b"), record("c")) == [False, False, True]


def test_records_of_earlier_workers_count() -> None:
    """A run that was taken over goes on with the rest."""
    walk = Walk(workflow(a="bc", b="", c=""), "a", [record("a", "bc"), record("b")])
    assert ends(walk, record("c")) == [True]


def test_a_trigger_with_one_edge_may_be_the_start() -> None:
    """It has no record, and one execution follows it."""
    assert ends(Walk(workflow(T="a", a=""), "T", []), record("a")) == [True]


@pytest.mark.parametrize(
    "steps",
    [workflow(T="ab", a="", b=""), workflow(a="T", T="bc", b="", c="")],
    ids=["fan-out at the start", "trigger later"],
)
def test_triggers_that_hide_executions_make_no_step_the_last(steps: Workflow) -> None:
    """Then every record is waited for."""
    walk = Walk(steps, steps.steps[0].id, [])
    assert ends(walk, record("a"), record("b"), record("c")) == [False, False, False]


def test_a_plan_with_a_join_makes_no_step_the_last() -> None:
    """Several edges lead to one execution of it."""
    steps = (*workflow(a="b").steps, Step(id="b", expression="x", join="all"))
    assert ends(Walk(Workflow(steps=steps), "a", []), record("a", "b"), record("b")) == [
        *(False, False),
    ]
