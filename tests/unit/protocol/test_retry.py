"""The one rule of retries: the failures that are retried, and the delay before each retry."""

from __future__ import annotations

import math

import pytest

from protocol.plan import Retry
from protocol.report import SEVERITY_BY_NAME
from protocol.retry import RETRIED_NAMES, delay_ms, is_retried, usable_delay_s


def test_attempts_count_the_first_one():
    """Three attempts are two retries."""
    retry = Retry(attempts=3)
    assert [is_retried(retry, n, "AdaptorError", "error") for n in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_retried(Retry(attempts=1), 1, "AdaptorError", "error", True)
    assert not is_retried(None, 1, "AdaptorError", "error", True)


@pytest.mark.parametrize(
    ("on", "name", "kind", "expected"),
    [
        (None, "AdaptorError", "error", True),
        (None, "TimeoutError", "timeout", True),
        (None, "JobError", "error", False),
        (None, "OOMError", "death", False),
        (("death",), "OOMError", "death", True),
        (("death",), "TimeoutError", "timeout", False),
        (("timeout",), "AdaptorError", "error", False),
        (("RuntimeError",), "RuntimeError", "error", True),
        ((), "AdaptorError", "error", False),
    ],
)
def test_a_failure_is_retried_if_its_name_or_its_kind_is_listed(on, name, kind, expected):
    """Without a list, errors of adaptors and the timeout of the step are retried."""
    assert is_retried(Retry(attempts=2, on=on), 1, name, kind) is expected


def test_what_an_exception_says_of_itself_has_priority_over_the_list():
    """An exception may ask for a retry or against it; this counts for an error only."""
    retry = Retry(attempts=2, on=("AdaptorError",))
    assert not is_retried(retry, 1, "AdaptorError", "error", False)
    assert is_retried(retry, 1, "JobError", "error", True)
    assert not is_retried(retry, 1, "TimeoutError", "timeout", True)


def test_delays_grow_by_the_factor_up_to_the_largest():
    """The defaults give 1, 2, 4, ... seconds, and never more than a minute."""
    retry = Retry(attempts=99)
    assert [delay_ms(retry, n) for n in (1, 2, 3, 7, 50, 5000)] == [
        1000,
        2000,
        4000,
        60000,
        60000,
        60000,
    ]
    assert [delay_ms(Retry(attempts=9, delay=5, backoff=1), n) for n in (1, 2, 9)] == [5, 5, 5]
    assert delay_ms(Retry(attempts=9999, delay=0), 5000) == 0


def test_chance_changes_a_delay_by_a_tenth_and_never_above_the_largest():
    """Both ends of the chance stay within the limit."""
    retry = Retry(attempts=9, delay=1000, max_delay=2000)
    assert (delay_ms(retry, 1, None, -1), delay_ms(retry, 1, None, 1)) == (900, 1100)
    assert (delay_ms(retry, 2, None, -1), delay_ms(retry, 2, None, 1)) == (1800, 2000)


def test_the_delay_that_an_exception_asks_for_has_priority():
    """The delay replaces all delays of the plan; an impossible value is ignored."""
    retry = Retry(attempts=9)
    assert delay_ms(retry, 1, 120.5, 1) == 120_500
    assert delay_ms(retry, 1, 0, 1) == 0
    assert delay_ms(retry, 1, 1e300) == 2**53
    for value in (-1.0, math.nan, math.inf, -math.inf, True, "3", None):
        assert delay_ms(retry, 2, value) == 2000


def test_only_a_plain_number_is_a_delay():
    """A subclass could run code of its own."""

    class Odd(float):
        def __ge__(self, other):
            raise AssertionError("code of the exception ran")

    assert usable_delay_s(Odd(3)) is None
    assert usable_delay_s(3) == 3.0
    assert usable_delay_s(10**400) == 2**53
    assert usable_delay_s(-(10**400)) is None


def test_a_plan_may_name_errors_that_fail_a_step_and_the_two_kinds():
    """After other errors the run is not alive any more."""
    fails = [name for name, severity in SEVERITY_BY_NAME.items() if severity == "fail"]
    assert list(RETRIED_NAMES) == [*fails, "timeout", "death"]
