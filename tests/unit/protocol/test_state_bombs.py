"""Values with many levels, and one container in many places."""

from __future__ import annotations

import sys
import time

import pytest

from protocol.state import StateNotCarriedError, decode_state, encode_state
from protocol.state_look import FOREIGN, PLAIN, look


def test_one_list_in_many_places_is_looked_at_once():
    """The encoding would be larger than any memory, but the check takes almost no time."""
    value = [0]
    for _ in range(200):
        value = [value, value]
    assert look(value) is PLAIN
    value = {"a": value, (1,): 2}
    assert look(value) is FOREIGN


@pytest.mark.parametrize("depth", [5, 60, 300])
def test_a_wide_cycle_is_found_at_every_depth(depth):
    """Each round would be wider than the one before."""
    inner = list(range(100))
    inner += [inner] * 100
    value = inner
    for _ in range(depth):
        value = {"a": value}
    with pytest.raises(StateNotCarriedError, match="cannot carry a cycle"):
        encode_state(value)


@pytest.mark.parametrize("depth", [60, 300, 600])
def test_what_is_wrong_deep_in_many_values_is_found(depth):
    """The wrong value is deeper than the levels of honest states."""
    value = object
    for _ in range(depth):
        value = [*range(10), value]
    with pytest.raises(StateNotCarriedError, match="cannot carry a class"):
        encode_state(value)


@pytest.mark.parametrize("leaf", [1, 2**70])
def test_a_big_integer_is_carried_as_deep_as_a_small_one(leaf):
    """The value has 600 levels, of lists and of maps."""
    value = leaf
    for number in range(600):
        value = [value] if number % 2 else {"a": value}
    assert decode_state(encode_state(value)) == value


def refused_in_s(levels):
    """Return the time of the processor for the refusal of a value with so many levels."""
    value = []
    for _ in range(levels):
        value = [value]
    began = time.thread_time()
    with pytest.raises(StateNotCarriedError, match="nested deeper than the interpreter"):
        encode_state(value)
    return time.thread_time() - began


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there msgspec follows more levels")
def test_a_value_that_is_much_too_deep_is_refused_as_soon_as_another():
    """The walk does not go to the end of a value that cannot be carried."""
    few_s = min(refused_in_s(4_000) for _ in range(3))
    many_s = min(refused_in_s(200_000) for _ in range(3))
    assert many_s < 10 * few_s
