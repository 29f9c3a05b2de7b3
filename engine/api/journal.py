"""The records of the steps of a run, with which it can go on after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from protocol.report import ErrorReport


class StepRecord(msgspec.Struct, frozen=True):
    """The record of an execution that has ended.

    The engine can replay it in place of running it.
    """

    step_run_id: str
    step_id: str
    attempt: int
    """The number of the attempt that ended the step, from 1."""
    ending: Literal["success", "fail"]
    state: bytes
    """The state of the step as msgpack.  It is the true state: no secret in it is redacted."""
    next: tuple[str, ...] = ()
    """The ids of the steps that follow, in the order of the plan."""
    error: ErrorReport | None = None
    """The report of a step that failed."""
    extra: dict[str, Any] = {}
    """Facts about the run, which the engine sets: the hash of its plan, its id, the versions of its
    adaptors."""
    holds_secret: bool = False
    """Whether the state or the error has the value of a secret in it, as far as the engine has found.
    A journal without encryption may leave out such a record, and then all later ones of the run."""

    def __repr__(self) -> str:
        """Show only the execution and its ending, because the state may hold secrets."""
        return f"<StepRecord {self.step_run_id}: {self.ending}, attempt {self.attempt}>"


class Attempts(msgspec.Struct, frozen=True):
    """The attempts of an execution that were made before a run is resumed, and have no record."""

    begun: int
    """The number of attempts that have begun.  The next one has the number after it."""
    failed: int = 0
    """The number of attempts that have failed by themselves.  Only they count against
    ``retry.attempts``; the others were lost with the manager."""


@runtime_checkable
class Journal(Protocol):
    """Keeps the records of one run.  The engine calls it outside of the supervisor's thread.

    A journal may have three more members.  The first is for one that need not block; the others are for
    one that also keeps the events of its run:

    - ``record_later(record, done)`` is called in the place of `record`, in the supervisor's thread.  It
      must return at once.  When the record is safe, it calls ``done(None)``, from any thread.  If the
      record cannot be kept, it calls ``done(error)``.  This saves a thread for each step.

    - ``keeps_events = True``: the engine emits the end event of a step before it calls `record`, so
      that a journal can write both at once.
    - ``attempts()`` returns a mapping from the ids of executions to their `Attempts`.  The first
      attempt in the resumed run has the number after them.  Without it that number is 1.
    """

    def record(self, record: StepRecord) -> None:
        """Keep a record, and return when it is safe.

        The next step of the run does not start before this call has returned.  An exception ends
        the run with `JournalError`.
        """

    def records(self) -> Iterable[StepRecord]:
        """Return the records of earlier children of the run, in the order in which they were kept."""
        ...  # for pyright, to which a docstring alone returns None
