"""`assert_state` names each difference with its path, and nothing else."""

from __future__ import annotations

import math

import pytest

from jobcell.testing import ANY, assert_state, differences


@pytest.mark.parametrize(
    ("actual", "expected", "line"),
    [
        ({"a": 1}, {"a": 2}, "state.a: expected 2, but it is 1"),
        ({}, {"a": 2}, "state.a: expected 2, but it is missing"),
        ({"a b": [1]}, {"a b": [2]}, "state['a b'][0]: expected 2, but it is 1"),
        ({"a": [1]}, {"a": []}, "state.a[0]: not expected, but it is 1"),
        ({"a": []}, {"a": [1]}, "state.a[0]: expected 1, but it is missing"),
        ({"a": True}, {"a": 1}, "state.a: expected 1, but it is True"),
        ({"a": None}, {"a": {}}, "state.a: expected {}, but it is None"),
        ({1: "x"}, {1: "y"}, "state[1]: expected 'y', but it is 'x'"),
    ],
)
def test_a_difference_has_its_path(actual, expected, line):
    """The line says where it is, what was expected, and what is there."""
    assert list(differences(actual, expected)) == [line]


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ({"a": {"id": 7}}, {"a": ANY}),
        ({"a": math.nan}, {"a": math.nan}),
    ],
)
def test_equal_states_have_no_difference(actual, expected):
    """Keys that the test does not name, forms of lists, and `ANY` do not count as differences."""
    assert list(differences(actual, expected)) == []


def test_an_exact_comparison_reports_other_keys():
    """A key that only the state has is a difference if the test asks for it."""
    lines = list(differences({"a": {"b": 1}}, {"a": {}}, exact=True))
    assert lines == ["state.a.b: not expected, but it is 1"]


def test_the_message_has_all_differences_up_to_a_limit():
    """A failed assertion shows twenty lines, and how many more there are."""
    with pytest.raises(AssertionError) as caught:
        assert_state({"a": list(range(30))}, {"a": list(range(1, 31))})
    lines = str(caught.value).splitlines()
    assert lines[0] == "the state is not the expected one (30 differences):"
    assert (len(lines), lines[-1]) == (22, "  ... and 10 more")


def test_long_values_are_cut():
    """A value of a megabyte does not fill the terminal."""
    (line,) = differences({"a": "x" * 1_000_000}, {"a": "y"})
    assert len(line) < 300
