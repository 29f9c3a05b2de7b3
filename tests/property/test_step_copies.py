"""For any change that a job makes to its input, other executions of steps do not see it."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from protocol.state import encode_state
from sandbox_child.running.conditions import Upstream
from sandbox_child.running.step_input import PlanValues, StepInput

QUICK = examples(150)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
MAPS = st.dictionaries(st.sampled_from(["data", "configuration", "x", "y"]), VALUES, max_size=4)
DEEDS = st.lists(
    st.tuples(st.sampled_from(["replace", "delete", "cycle", "add"]), st.integers(0, 50))
)


def containers(value: Any, found: list[Any] | None = None) -> list[Any]:
    """Return all containers in a value, each once."""
    found = [] if found is None else found
    if isinstance(value, (dict, list)) and not any(value is one for one in found):
        found.append(value)
        for item in list(value.values()) if isinstance(value, dict) else value:
            containers(item, found)
    return found


def misuse(value: Any, deeds: list[tuple[str, int]]) -> None:
    """Change a value at any depth."""
    for deed, number in deeds:
        all_of_them = containers(value)
        if not all_of_them:
            return
        one = all_of_them[number % len(all_of_them)]
        if deed == "delete":
            one.clear()
        elif isinstance(one, dict):
            one["new"] = one if deed == "cycle" else number
            for key in list(one)[:1] if deed == "replace" else []:
                one[key] = "replaced"
        else:
            one.append(one if deed == "cycle" else number)
            if deed == "replace":
                one[0] = "replaced"


@QUICK
@given(VALUES, MAPS, MAPS, MAPS, DEEDS)
def test_no_execution_sees_what_another_has_done(state, default, shared, configuration, deeds):
    """This covers the same step again, another step, a condition, and the report of a failure."""
    encoded = encode_state(state)
    values = PlanValues()

    def given_to_a_step() -> StepInput:
        return StepInput(
            encoded,
            default=values.encoded(default),
            shared=values.encoded(shared),
            configuration=values.encoded(configuration),
        )

    first, second = given_to_a_step(), given_to_a_step()
    expected = copy.deepcopy(first.copy())
    misuse(first.copy(), deeds)
    assert first.copy() == expected  # the input of a failed step
    assert second.copy() == expected  # a step of the second branch, or the same step again
    upstream = Upstream(encoded, failed=False)
    misuse(upstream.copy(), deeds)
    assert upstream.shared() == state


@QUICK
@given(MAPS, DEEDS)
def test_a_value_of_the_plan_is_encoded_once(configuration, deeds):
    """The first encoding happens before any job can have changed a copy."""
    values = PlanValues()
    first = values.encoded(configuration)
    misuse(StepInput(b"\x80", configuration=first).copy(), deeds)
    assert values.encoded(configuration) is first
