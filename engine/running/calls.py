"""Calls the manager's code for a run, its resolvers and its journal, and posts their answers.

A call may never return. So it does not keep its run, and its answer comes through the supervisor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from engine.api import Journal
from engine.running.collections import carry_out
from engine.running.host import Host, Owning
from engine.running.recording import keep
from engine.running.resolvers import Resolvers, resolve
from engine.running.session import (
    Answer,
    Collect,
    Collected,
    Record,
    Resolution,
    Resolve,
    Session,
)
from protocol.collection_messages import CollectionAnswer
from protocol.report import ErrorReport


class Caller(Owning, Protocol):
    """The run for which the manager's code is called."""

    @property
    def session(self) -> Session:
        """The logic of the run."""

    def loaded(self, answer: Answer | Collected) -> None:
        """Take the answer of a resolver, or of the collections."""

    def recorded(self, error: ErrorReport | None) -> None:
        """Take the answer of the journal: None, or the report of its failure."""


class Calls:
    """The calls of the manager's code for one run. For the supervisor's thread.

    Args:
        resolvers: The functions that load credentials and stored states, and the collections.
        journal: Keeps the records of the run; None without a journal.
        host: The supervisor.
        reference: The run.

    """

    def __init__(
        self,
        resolvers: Resolvers,
        journal: Journal | None,
        host: Host,
        reference: Callable[[], Caller | None],
    ) -> None:
        self._resolvers = resolvers
        self._journal = journal
        self._host = host
        self._reference = reference

    def resolve(self, effect: Resolve) -> None:
        """Have a resolver called, and its answer posted to `Caller.loaded`."""
        request, reference, host = effect.request, self._reference, self._host

        def done(outcome: Resolution | ErrorReport) -> None:
            caller = reference()
            if caller is not None:
                answer = caller.session.loading.study(request, outcome)
                host.post(partial(caller.loaded, answer), reference)

        def wanted() -> bool:
            caller = reference()
            return caller is not None and caller.session.verdict is None

        resolver = getattr(self._resolvers, request.kind)
        resolve(resolver, request.kind, request.id, request.step_id, done, wanted, reference)

    def collect(self, effect: Collect) -> None:
        """Have the collections carry out a request, and their answer posted to `Caller.loaded`."""
        request, reference, host = effect.request, self._reference, self._host

        def done(message: CollectionAnswer) -> None:
            caller = reference()
            if caller is not None:
                host.post(partial(caller.loaded, Collected(request, message)), reference)

        def wanted() -> bool:
            caller = reference()
            return caller is not None and caller.session.verdict is None

        carry_out(self._resolvers.collections, request, done, wanted)

    def record(self, effect: Record) -> None:
        """Have the journal keep a record, and its answer posted to `Caller.recorded`."""
        journal, reference, host = self._journal, self._reference, self._host
        assert journal is not None

        def done(error: ErrorReport | None) -> None:
            caller = reference()
            if caller is not None:
                host.post(partial(caller.recorded, error), reference)

        keep(journal, effect.record, done)
