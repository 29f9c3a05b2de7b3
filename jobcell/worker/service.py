"""Everything that a worker needs while it serves: its threads, its connections and its claims."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from engine import Engine, Resolvers
from jobcell.store import Store
from jobcell.store.errors import StoreReplacedError, StoreVersionError
from jobcell.worker.beginning import Begin
from jobcell.worker.carrier import Carrier
from jobcell.worker.claims import Claims
from jobcell.worker.figures import Figures, Record
from jobcell.worker.flusher import Flusher
from jobcell.worker.health import Address, Condition, Health
from jobcell.worker.heart import Heart
from jobcell.worker.lease import clock_s
from jobcell.worker.ledger import Ledger
from jobcell.worker.metrics import Metrics, Page
from jobcell.worker.outbox import Writes
from jobcell.worker.places import Places
from jobcell.worker.pulse import oldest_queued_s, session_name
from jobcell.worker.ticking import Ticker

log: logging.Logger = logging.getLogger("jobcell.worker")

_POOL: Final = 3
"""Connections for events, for beginnings, and for the page of metrics."""

_LOOK_S: Final = 0.05
_LONGEST_WAIT_S: Final = 1.0
_DEATH_S: Final = 30.0
"""Time for killed children to be gone; the kernel takes milliseconds."""

_LIVE_S: Final = 10.0
"""Time after which a worker that does not look at its lease counts as hanging."""


class Settings(NamedTuple):
    """The checked arguments of a worker."""

    max_runs: int
    tenant_limit: int | None
    heartbeat_s: float
    dead_s: float
    resolvers: Resolvers | None
    address: Address | None


class Service:
    """Serves a store while it is entered.

    Args:
        store: The store.
        engine: Runs the plans.
        worker: The id of the worker.
        settings: Those of the worker.
        record: Returns what gets the values of histograms, if something does.

    """

    def __init__(  # long: one part after the other
        self,
        store: Store,
        engine: Engine,
        worker: str,
        settings: Settings,
        record: Callable[[], Record | None] = lambda: None,
    ) -> None:
        self._worker = worker
        self._name = str(store.database)
        self.figures: Figures = Figures(record)
        self._engine = engine
        # Everything here is tried again anyway, so a broken connection may fail once.
        self._database = store.database.another(
            pool_size=_POOL, asks=False, application_name=session_name(worker)
        )
        # A tenant limit counts the claimed runs, so it does not go with claims ahead.
        ahead = settings.tenant_limit is None
        self.places: Places = Places(settings.max_runs, ahead=ahead)
        # SQLite lets the threads of a process wait for each other with pauses of up to 0.1 s.
        writing: AbstractContextManager[object] = nullcontext()
        if self._database.is_sqlite:
            writing = threading.Lock()
        ledger = Ledger(self._database, store.blobs, store.contents, worker)

        def commit(parts: Sequence[Begin | Writes]) -> Sequence[object]:
            try:
                with writing:
                    return ledger.commit([p.append if isinstance(p, Writes) else p for p in parts])
            except (StoreVersionError, StoreReplacedError) as error:
                self.heart.give_up(error)  # the next beat would find it too
                raise

        self._flushers: list[Flusher[Any]] = [Flusher(commit, observe=self.figures.flushed)]
        if not self._database.is_sqlite:
            # A beginning takes several trips to PostgreSQL, and no step should wait for them.
            self._flushers.append(Flusher(commit, observe=self.figures.flushed))
        self.carrier: Carrier = Carrier(
            store,
            engine,
            self._flushers[0],
            self._flushers[-1],
            self.places,
            self.figures,
            settings.resolvers,
            settings.dead_s,
        )
        self.heart: Heart = Heart(
            self._database,
            worker,
            heartbeat_s=settings.heartbeat_s,
            dead_s=settings.dead_s,
            carrier=self.carrier,
            places=self.places,
            figures=self.figures,
        )
        self._claims = Claims(
            self._database, store.client, worker, self.places, settings.tenant_limit, writing
        )
        self._ticker = Ticker(store.schedules)
        self._address = settings.address
        self.health: Health | None = None
        self.metrics: Metrics = self._make_metrics()
        self._page: Page | None = None
        self._watched_s = clock_s()
        """When the thread that serves has looked at the lease."""
        self._is_drained = False

    def __enter__(self) -> Self:
        """Start everything.

        Raises:
            StoreError: The store cannot be used, or this process serves a worker already.
            OSError: The address of the page of health is in use.

        """
        try:
            for flusher in self._flushers:
                flusher.start()
            self._open_health()
            self._claims.launch(self.carrier.carry)
            self.heart.start()
            self._ticker.start()
        except BaseException:
            self._close()
            raise
        log.info("worker %s serves %s with %d places", self._worker, self._name, self.places.number)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        count = self._close()
        how = "drained" if self._is_drained else f"stopped, and given back {count} runs"
        log.info("worker %s has %s", self._worker, how)

    def watch(self, wake: threading.Event, is_over: Callable[[], bool]) -> None:
        """Watch the lease until *is_over* returns True; it is asked when *wake* is set.

        Raises:
            StoreError: A newer program has changed the tables of the store, or its file was replaced.

        """
        while not is_over():
            self._watched_s = clock_s()
            if self.heart.problem is not None:
                raise self.heart.problem
            if wake.wait(min(self.heart.check(), _LONGEST_WAIT_S)):
                wake.clear()

    def drain(self, limit_s: Callable[[], float | None], is_urgent: Callable[[], bool]) -> None:
        """Take no new run, and wait for the others.

        Args:
            limit_s: Returns the seconds to wait; None: until they are over.
            is_urgent: Returns whether not to wait any longer.

        Raises:
            StoreError: See `watch`.

        """
        self._ticker.stop()
        self.heart.drain()
        started_s = time.monotonic()
        while self.places.taken or self.carrier.carried():
            self._watched_s = clock_s()
            limit = limit_s()
            waited_s = time.monotonic() - started_s
            if self.heart.problem is not None:
                raise self.heart.problem
            if is_urgent() or (limit is not None and waited_s >= limit):
                return
            left_s = _LOOK_S if limit is None else min(_LOOK_S, limit - waited_s)
            self.carrier.wait_empty(max(0.0, min(left_s, self.heart.check())))
        self._is_drained = True

    def _close(self) -> int:
        """End everything; return the number of runs that were given back."""
        self.places.close()
        self.carrier.stop()
        if not self.carrier.wait_empty(_DEATH_S):
            log.error("some children are not gone; their runs are not given back")
        self.heart.stop()
        for flusher in self._flushers:
            flusher.stop()
        self._ticker.close()
        self._claims.destroy()
        count = self.heart.close(handing_back=not self.carrier.carried())
        if self.health is not None:
            self.health.close()
        if self._page is not None:
            self._page.close()
        self._database.close()
        return count

    def _make_metrics(self) -> Metrics:
        return Metrics(
            self.figures,
            lambda: len(self.carrier.carried()),
            self.places.number,
            lambda: oldest_queued_s(self._database),
        )

    def _open_health(self) -> None:
        if self._address is None:
            return
        self._page = Page(self.metrics, self._engine)
        self.health = Health(self._address, self._condition, self._page.page)

    def _condition(self) -> Condition:
        problems = []
        if self.heart.draining:
            problems.append("the worker drains")
        if self.heart.is_away:
            problems.append("the store is out of reach")
        if self.carrier.is_fenced:
            problems.append("the worker is fenced off")
        is_alive = clock_s() - self._watched_s < _LONGEST_WAIT_S + _LIVE_S
        return Condition(is_alive, tuple(problems))
