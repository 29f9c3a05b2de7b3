"""Room `testing`: tests of jobs and plans with pytest, in the real sandbox.

It belongs here if only a test of a job needs it.  `jobcell.testing.plugin` is the plugin of pytest,
which needs ``pip install 'jobcell[test]'``.
"""

from __future__ import annotations

from jobcell.testing.fakes import Call, FakeAdaptor, Raised, Replies, raises, replies
from jobcell.testing.outcome import FinalState, JobFailedError
from jobcell.testing.states import ANY, assert_state, differences

__all__ = [
    "ANY",
    "Call",
    "FakeAdaptor",
    "FinalState",
    "JobFailedError",
    "Raised",
    "Replies",
    "assert_state",
    "differences",
    "raises",
    "replies",
]
