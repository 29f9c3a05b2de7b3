"""Takes up a run where its journal says that it was left."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from engine.api import Journal, JournalError, PlanError, Problem
from engine.journal import describe_run, fingerprint, read_journal
from engine.reporting import Run
from engine.running import Order, Past
from protocol.plan import Plan
from protocol.report import make_report
from protocol.state import StateNotCarriedError


class JournalsInUse:
    """The journals of runs that are not over: a journal keeps one run at a time.

    The records of two runs in one journal could not be told apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: list[_Use] = []

    @contextmanager
    def claim(self, journal: Journal | None) -> Iterator[Callable[[Run], None] | None]:
        """Claim a journal while a run is made, and until this run is over.

        Yields:
            A function that takes the run; None if another run uses the journal.

        """
        if journal is None:
            yield lambda _: None
            return
        use = _Use(journal)
        with self._lock:
            self._uses = [other for other in self._uses if other.lasts]
            taken = any(other.journal() is journal for other in self._uses)
            if not taken:
                self._uses.append(use)
        try:
            yield None if taken else use.begin
        finally:
            if use.run is None and not taken:  # the run could not be made
                with self._lock:
                    self._uses.remove(use)


class _Use:
    """A run and its journal; it keeps neither alive if it can."""

    def __init__(self, journal: Journal) -> None:
        self.run: weakref.ref[Run] | None = None
        try:
            self.journal: Callable[[], Journal | None] = weakref.ref(journal)
        except TypeError:  # a class with slots
            self.journal = lambda: journal

    def begin(self, run: Run) -> None:
        """Take the run, once it is made."""
        self.run = weakref.ref(run)

    @property
    def lasts(self) -> bool:
        """Whether the run is being made, or is not over."""
        if self.run is None:
            return True
        run = self.run()
        return run is not None and not run.done


def take_up(
    plan: Plan,
    state: Any,
    journal: Journal,
    *,
    own_id: bool,
    in_use: bool,
    prepare: Callable[[Plan, Past], Order],
) -> Order:
    """Return the order for a run that has a journal.

    If the journal cannot be used, the run ends with `JournalError` before its first job.

    Args:
        plan: The checked plan.
        state: The initial state, or the id of a stored state.
        journal: The journal, with or without records.
        own_id: Whether the plan gives the id of the run; if not, a resumed run keeps the recorded id.
        in_use: Whether another run uses the journal.
        prepare: Makes an order of a plan and its past.

    Raises:
        PlanError: The initial state cannot be carried.

    """
    try:
        plan_hash = fingerprint(plan, state, own_id=own_id)
    except StateNotCarriedError as error:
        raise PlanError([Problem(error.path, error.reason)]) from None
    try:
        if in_use:
            raise JournalError("another run uses the journal; give each run a journal of its own")
        known = read_journal(journal, plan, plan_hash)
        if known.run_id is not None:
            plan = msgspec.structs.replace(plan, id=known.run_id)
        extra = describe_run(plan_hash, plan.id)
        past = Past(
            journaled=True,
            records=known.records,
            versions=known.versions,
            extra=extra,
            begun=known.begun,
            keeps_events=known.keeps_events,
        )
        return prepare(plan, past)
    except JournalError as error:
        report = make_report("JournalError", str(error), option="journal")
        return prepare(plan, Past(failed=report))
