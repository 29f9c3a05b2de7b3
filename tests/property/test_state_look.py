"""A small value is judged as a large value with the same parts: the quick look is only a quick one."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from protocol.state_look import _SMALL, look


class Foreign:
    """A class of a job."""


class Text(str):
    """A text of a class of a job."""

    __slots__ = ()


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.sampled_from([1.5, bytearray(b"x"), dt.date(2026, 1, 1), Foreign(), Text("x"), 1j]),
)
KEYS = st.sampled_from(["a", "b", 1, None, b"c", 1.5, True, (1, 2), dt.date(2026, 1, 1), Text("k")])
VALUES = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.lists(part, max_size=4),
        st.lists(part, max_size=4).map(tuple),
        st.dictionaries(KEYS, part, max_size=4),
        st.frozensets(st.sampled_from([1, "a", None, dt.date(2026, 1, 1)]), max_size=3),
    ),
    max_leaves=20,
)


@examples(300)
@given(VALUES)
def test_a_small_value_is_judged_as_a_large_one(value):
    """Types and keys decide; the number of parts decides only about the way to look."""
    large = [*range(_SMALL + 1), value]
    assert look([value]) == look(large)


def test_a_container_within_itself_is_looked_at_to_an_end():
    """The encoder then reports the cycle."""
    cycle: list[object] = [1]
    cycle.append(cycle)
    assert look(cycle) == look([*range(_SMALL + 1), cycle])
