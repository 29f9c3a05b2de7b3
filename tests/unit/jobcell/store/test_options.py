"""Tests of the options of a run in a store."""

from __future__ import annotations

import math

import msgspec
import pytest

from engine import RunOptions
from jobcell.store.options import merge_options, pack_options

NUMBERS = [
    field.name
    for field in msgspec.structs.fields(RunOptions)
    if "float" in str(field.type) or "int" in str(field.type)
]


def test_numbers_are_found():
    """The tests below go through them."""
    assert {"timeout_s", "cancel_grace_s", "max_events"} <= set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_client_lowers_each_limit_of_a_worker(name):
    """A number that is not a limit would be a new case to decide."""
    stored = pack_options(RunOptions(**{name: 7}))
    assert getattr(merge_options(RunOptions(**{name: 100}), stored), name) == 7


@pytest.mark.parametrize("name", NUMBERS)
def test_a_client_raises_no_limit_of_a_worker(name):
    """Neither by a larger number nor by a limit that does not exist."""
    own = RunOptions(**{name: 7})
    assert getattr(merge_options(own, pack_options(RunOptions(**{name: 100}))), name) == 7
    for value in (None, math.inf):
        forged = msgspec.msgpack.encode({name: value})
        assert getattr(merge_options(own, forged), name) == 7
