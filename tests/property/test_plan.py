"""For any value as a plan, the answer is a plan or a PlanError, and is always the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.errors import PlanError
from engine.plan.validation import load_plan
from protocol.plan import Plan

names = st.sampled_from(["a", "b", "c", "job-1", "job-2", "", "é b"])
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary()
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
conditions = st.booleans() | st.sampled_from(["always", "state.n > 1", "x ==="])
edges = conditions | st.fixed_dictionaries(
    {}, optional={"condition": conditions, "label": st.text(max_size=3), "disabled": st.booleans()}
)
step = st.fixed_dictionaries(
    {},
    optional={
        "id": names | anything,
        "expression": st.text(max_size=10) | anything,
        "next": names | st.dictionaries(names, edges | anything, max_size=3),
        "state": anything,
        "configuration": anything,
        "adaptor": st.text(max_size=5) | anything,
        "surprise": anything,
    },
)
plans = st.fixed_dictionaries(
    {"workflow": st.fixed_dictionaries({"steps": st.lists(step, max_size=4)}) | anything},
    optional={
        "id": anything,
        "options": st.dictionaries(st.sampled_from(["start", "end", "timeout"]), names | anything),
    },
)


def load(source) -> Plan | None:
    try:
        return load_plan(source)
    except PlanError as error:
        return None if error.problems else pytest.fail("no problem was told")


@given(anything | plans)
def test_any_value_is_a_plan_or_a_plan_error(source):
    """For any type, other exceptions do not occur, and a plan that was accepted can be run."""
    plan = load(source)
    if plan is not None:
        ids = [step.id for step in plan.workflow.steps]
        assert len(set(ids)) == len(ids) > 0
        assert plan.start in ids
        assert all(target in ids for step in plan.workflow.steps for target in step.next)


@given(st.text() | st.binary())
def test_any_text_or_bytes_is_a_plan_or_a_plan_error(source):
    """Text that is not a JSON object is the source of a job; bytes are never a job."""
    load(source)


@given(plans)
def test_loading_a_loaded_plan_changes_nothing(source):
    """A manager may check a plan, and the engine checks it again."""
    plan = load(source)
    if plan is not None:
        # The texts are compared, because the generated states contain NaN.
        assert repr(load_plan(plan)) == repr(plan)


@given(st.integers(1, 8), st.data())
def test_a_cycle_is_found_exactly_if_there_is_one(count, data):
    """The definition for comparison: a step that can be reached from itself."""
    nodes = st.integers(0, count - 1)
    pairs = data.draw(st.sets(st.tuples(nodes, nodes), max_size=12))
    reach = set(pairs)
    for middle in range(count):
        reach |= {
            (a, b) for a in range(count) for b in range(count)
            if (a, middle) in reach and (middle, b) in reach
        }  # fmt: skip
    cyclic = any((node, node) in reach for node in range(count))
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": f"s{a}",
                    "expression": "x",
                    "next": {f"s{b}": True for c, b in pairs if c == a},
                }
                for a in range(count)
            ]
        }
    }

    if cyclic:
        with pytest.raises(PlanError, match="closes a cycle"):
            load_plan(plan)
    else:
        load_plan(json.dumps(plan))
