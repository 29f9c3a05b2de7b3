"""Onlookers of an engine, such as telemetry: they follow runs, and change nothing for their manager."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from engine.api import EngineError
from engine.reporting import Run
from protocol.plan import Plan
from protocol.trace import Trace

_log = logging.getLogger("jobcell")


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is about to be queued."""

    plan: Plan
    """The checked plan; its id is that of the run."""
    trace: Trace | None
    """The trace that the caller has given."""
    replayed: int
    """The number of steps that are taken from a journal and do not run again."""


class Watch(Protocol):
    """The notes of an observer about one run."""

    @property
    def trace(self) -> Trace | None:
        """The trace for the jobs of the run; None: that of the caller."""

    def follow(self, run: Run) -> None:
        """Take the handle of the run, which was queued.  The call must return at once."""

    def drop(self) -> None:
        """Take note that the run could not be queued."""


class Observer(Protocol):
    """An onlooker.  Its methods are called in the thread of `Engine.execute`."""

    def begin(self, beginning: Beginning) -> Watch | None:
        """Return what follows a run; None: nothing does.  The call must return at once."""


class EngineLoad(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of an engine at one moment."""

    queued: int
    """Runs that wait for a place."""
    running: int
    """Runs that have a child, or are about to get one."""
    starts: dict[str, int]
    """Children of runs since the engine was made, by the way in which they came about: ``exec``,
    ``zygote``, ``spare`` or ``warm``."""


class Watches:
    """The watches of one run.  A watch that raises is dropped, and the run goes on."""

    def __init__(self, observers: Iterable[Observer], trace: Trace | None) -> None:
        self._observers = observers
        self._trace = trace
        self._all: list[Watch] = []

    def begin(self, plan: Plan, replayed: int) -> Trace | None:
        """Ask the observers to follow a run, and return the trace for its jobs.

        The first trace of an observer wins over that of the caller.  A second call drops the watches of the
        first one: a run whose journal cannot be used is prepared twice.
        """
        self.drop()
        beginning = Beginning(plan=plan, trace=self._trace, replayed=replayed)
        for observer in self._observers:
            try:
                watch = observer.begin(beginning)
            except Exception:  # noqa: BLE001 - the run goes on without it
                _log.exception("an observer has failed at the beginning of run %s", plan.id)
                continue
            if watch is not None:
                self._all.append(watch)
        given = self._trace
        if given is not None:
            given = Trace(given.traceparent, given.tracestate)  # the rest is for observers
        return next((watch.trace for watch in self._all if watch.trace is not None), given)

    def follow(self, run: Run) -> None:
        """Give the watches the handle of the run."""
        self._call(lambda watch: watch.follow(run))

    def drop(self) -> None:
        """Let the watches go, because the run was not queued."""
        self._call(lambda watch: watch.drop())

    def _call(self, call: Callable[[Watch], None]) -> None:
        watches, self._all = self._all, []
        for watch in watches:
            try:
                call(watch)
            except Exception:  # noqa: BLE001 - as in `begin`
                _log.exception("an observer has failed")


class Observers:
    """The observers of an engine.  Any thread may use it."""

    def __init__(self) -> None:
        self._all: tuple[Observer, ...] = ()

    def add(self, observer: Observer) -> Callable[[], None]:
        """Add an observer; return a function that removes it.

        Raises:
            EngineError: It was added already.

        """
        if any(other is observer for other in self._all):
            raise EngineError("this observer was added to the engine already")
        self._all = (*self._all, observer)

        def remove() -> None:
            self._all = tuple(other for other in self._all if other is not observer)

        return remove

    def watches(self, trace: Trace | str | None) -> Watches:
        """Return the watches of a run that its caller puts into this trace.

        Raises:
            TypeError, ValueError: It is not a trace.

        """
        return Watches(self._all, _read(trace))


def _read(trace: Trace | str | None) -> Trace | None:
    if trace is None:
        return None
    if isinstance(trace, Trace):  # a caller cannot know of spans of ours
        return msgspec.structs.replace(trace, has_spans=False)
    return Trace(trace)
