"""PEP 440 defines the order of versions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from engine.adaptors.versions import is_prerelease, sort_key

RISING = [
    "local",
    "0.9",
    "1.0.dev1",
    "1.0a1.dev1",
    "1.0a1",
    "1.0a2",
    "1.0b1",
    "1.0rc1",
    "1.0",
    "1.0+abc",
    "1.0+abc.1",
    "1.0+5",
    "1.0.post1.dev1",
    "1.0.post1",
    "1.0.1",
    "1.9.0",
    "1.10.0",
    "2!0.1",
]


@pytest.mark.parametrize(("lower", "higher"), list(itertools.pairwise(RISING)))
def test_each_version_is_below_the_next(lower, higher):
    """Versions have the order of PEP 440; a text that is not a version is below all versions."""
    assert sort_key(lower) < sort_key(higher)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1.0.0"),
        ("1.0-ALPHA.1", "1.0a1"),
        ("v1.0", "1.0"),
        ("1.0-1", "1.0.post1"),
        ("1.0c1", "1.0rc1"),
    ],
)
def test_spellings_of_one_version_are_equal(one, other):
    """PEP 440 normalises two versions before it compares them."""
    assert sort_key(one) == sort_key(other)


numbers = st.integers(0, 20).map(str)
versions = st.builds(
    "{}{}{}{}{}{}".format,
    st.sampled_from(["", "", "1!"]),
    st.lists(numbers, min_size=1, max_size=4).map(".".join),
    st.sampled_from(["", "", "a1", ".beta2", "-rc", "_c3", "preview"]),
    st.sampled_from(["", "", ".post1", "-2", "rev", ".r4"]),
    st.sampled_from(["", "", ".dev3", "dev", "-dev1"]),
    st.sampled_from(["", "", "+abc", "+1.x_2", "+00"]),
)


@given(versions, versions)
def test_the_order_is_that_of_packaging(one, other):
    """The reference implementation agrees on the order, on equality and on pre-releases."""
    ours = (sort_key(one) > sort_key(other)) - (sort_key(one) < sort_key(other))
    theirs = (Version(one) > Version(other)) - (Version(one) < Version(other))
    assert ours == theirs
    assert is_prerelease(one) == Version(one).is_prerelease
