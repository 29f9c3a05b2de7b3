"""Numbers of examples for Hypothesis, which each profile multiplies by a factor of its own."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100
"""Of this number of examples, a profile makes as many as its `max_examples`: see tests/conftest.py."""


def examples(number: int) -> settings:
    """Return settings with a number of examples; another profile uses its share of them."""
    return settings(max_examples=max(1, number * settings().max_examples // USUAL))
