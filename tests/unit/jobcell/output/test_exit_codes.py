"""Every way in which a run can end has its exit code."""

from typing import get_args

from engine.reporting.result import Reason
from jobcell.output.exit_codes import OF_REASON


def test_every_reason_has_an_exit_code():
    """A new reason needs a decision here."""
    assert set(OF_REASON) == set(get_args(Reason))


def test_only_success_is_zero():
    """The code of bad input differs from the codes of failed runs."""
    assert [reason for reason, code in OF_REASON.items() if code == 0] == ["success"]
    assert 2 not in OF_REASON.values()
