"""Numbers of examples for Hypothesis, smaller under the profile of the quick tests."""

from __future__ import annotations

from hypothesis import settings

USUAL = 100
"""Examples of a test that gives no number, under the profile `full`: see tests/conftest.py."""


def examples(number: int) -> settings:
    """Return settings with a number of examples; another profile uses its share of them."""
    return settings(max_examples=max(1, number * settings().max_examples // USUAL))
