"""The module notices that a generator was seeded; numbers that were drawn are not a seed."""

from __future__ import annotations

import random

import pytest

from sandbox_child.running.seeds import follows, unseeded_generators


@pytest.mark.parametrize("count", [0, 1, 623, 624, 625, 5_000])
def test_drawing_numbers_is_not_seeding(count: int):
    """Any number of draws, of any kind, leads to a state that follows from the first."""
    generator = random.Random()
    before = generator.getstate()
    for _ in range(count):
        generator.getrandbits(32)
    generator.gauss(0, 1)
    assert follows(generator.getstate(), before)


@pytest.mark.parametrize("seed", [7, 7.5, "seven", b"seven"])
def test_a_seed_leads_elsewhere(seed: object):
    """A seed is noticed, and so is a state that was set."""
    generator = random.Random()
    before = generator.getstate()
    generator.seed(seed)
    assert not follows(generator.getstate(), before)
    generator.random()
    assert not follows(generator.getstate(), before)


def test_a_realm_without_numpy_has_no_generator():
    """Nothing is imported for the question."""
    assert unseeded_generators({}) == []
