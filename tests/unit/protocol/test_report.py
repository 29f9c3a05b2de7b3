"""The texts of reports show the numbers that their reader needs."""

from __future__ import annotations

import pytest

from protocol.report import state_too_large


@pytest.mark.parametrize(
    ("size_bytes", "limit_bytes", "shown"),
    [
        (6_000_011, 2_000_000, "takes 6.0 MB; allowed: 2 MB"),
        (2_040_000, 2_000_000, "takes 2.04 MB; allowed: 2 MB"),
        (20_011, 10_000, "takes 0.02 MB; allowed: 0.01 MB"),
        (125_000_001, 125_000_000, "takes 125.000001 MB; allowed: 125 MB"),
    ],
)
def test_a_state_that_is_too_large_is_shown_larger_than_its_limit(size_bytes, limit_bytes, shown):
    """Rounding does not make the size of a state look like one that is allowed."""
    report = state_too_large("the state", size_bytes, limit_bytes)

    assert report.message == f"the state {shown} (state_mb)"
