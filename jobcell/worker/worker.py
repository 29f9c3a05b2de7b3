"""The worker: takes runs from a store, and carries them out with an engine."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any, Final
from uuid import uuid4

from engine import Engine, Resolvers, Trace
from jobcell.store import Store
from jobcell.store.errors import StoreError
from jobcell.telemetry import Sample
from jobcell.worker.figures import Record
from jobcell.worker.health import read_address
from jobcell.worker.service import Service, Settings

log: logging.Logger = logging.getLogger("jobcell.worker")

LEAST_BEATS: Final = 3
"""Number of heartbeats in the dead-time, at least."""

_NEVER: Final = math.inf


class Worker:
    """Takes runs from a store and carries them out, until it is stopped.

    Args:
        store: The store.  Several workers, on several machines, may serve the same store.
        engine: Runs the plans.  It must be open as long as the worker serves.
        max_runs: Largest number of runs at once.  If that of the engine is smaller, it holds.
        tenant_limit: Largest number of runs of one tenant at once, over all workers of the store; None:
            any number.
        heartbeat_s: Seconds between two signs of life in the store.
        dead_s: Seconds without a sign of life after which other workers take the runs over.  A worker
            that cannot reach the store kills its own runs after 0.7 of this time.
        drain_s: Seconds for which a worker that is stopped waits for its runs; then it gives them
            back.  None: until they are over.
        resolvers: Load credentials and stored states.  Collections are those of the store, for each
            tenant its own.
        health: ``HOST:PORT`` for ``/livez``, ``/readyz`` and ``/metrics``; None: no such server.

    Raises:
        TypeError, ValueError: An argument is wrong.

    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        *,
        max_runs: int = 8,
        tenant_limit: int | None = None,
        heartbeat_s: float = 2.0,
        dead_s: float = 10.0,
        drain_s: float | None = None,
        resolvers: Resolvers | None = None,
        health: str | None = None,
    ) -> None:
        _check_type("store", store, Store)
        _check_type("engine", engine, Engine)
        if resolvers is not None:
            _check_type("resolvers", resolvers, Resolvers)
            if resolvers.collections is not None:
                raise ValueError(
                    "resolvers must not have collections: a worker gives each run those of its tenant"
                    " in the store"
                )
        _check_count("max_runs", max_runs)
        if tenant_limit is not None:
            _check_count("tenant_limit", tenant_limit)
        _check_seconds("heartbeat_s", heartbeat_s, least=0.05)
        _check_seconds("dead_s", dead_s, least=0.15)
        if dead_s < LEAST_BEATS * heartbeat_s:
            raise ValueError(
                f"dead_s must be at least {LEAST_BEATS} times heartbeat_s"
                f" ({LEAST_BEATS * heartbeat_s:g} s), not {dead_s:g} s: a single late heartbeat must"
                " not look like a death"
            )
        if drain_s is not None:
            _check_seconds("drain_s", drain_s, least=0.0)
        self._store = store
        self._engine = engine
        self._settings = Settings(
            max_runs=min(max_runs, engine.max_runs),
            tenant_limit=tenant_limit,
            heartbeat_s=float(heartbeat_s),
            dead_s=float(dead_s),
            resolvers=resolvers,
            address=None if health is None else read_address(health),
        )
        self._drain_s = drain_s
        self._service: Service | None = None
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._serving = False
        self._stop_asked = False
        self._drain_now = False
        self._over = threading.Event()
        self._plan_span: Callable[[Trace | None], str] | None = None
        self._record: Record | None = None
        self._counted: Sequence[Sample] = ()
        self.id: str | None = None
        """The id of the worker in the store while it serves: host, process, and a random part."""

    def __repr__(self) -> str:
        return f"<Worker of {self._store!r}: {self._settings.max_runs} places>"

    @property
    def health_url(self) -> str | None:
        """The address of the server for health while the worker serves; None without one."""
        service = self._service
        return None if service is None or service.health is None else service.health.url

    @property
    def engine(self) -> Engine:
        """The engine that runs the plans."""
        return self._engine

    def samples(self) -> Iterable[Sample]:
        """Return the figures of the worker, or its last counts if it does not serve; for telemetry."""
        service = self._service
        return self._counted if service is None else service.metrics.samples()

    def record_to(self, record: Record | None) -> None:
        """Have *record* called with the values of histograms; for telemetry."""
        self._record = record

    def plan_spans(self, planner: Callable[[Trace | None], str] | None) -> None:
        """Let *planner* choose the spans of runs, so that the store can keep them; for telemetry."""
        self._plan_span = planner

    def serve(self) -> None:
        """Carry out runs until `stop` is called.

        In the main thread, SIGTERM and Ctrl-C stop the worker too; a second one does not wait for its
        runs.  If it is stopped before it serves, the call returns at once.

        Raises:
            StoreError: The store cannot be used, or this process serves a worker already.

        """
        with self._lock:
            if self._serving:
                raise StoreError("this worker serves already")
            if self._stop_asked:
                self._stop_asked = False
                return
            self._serving = True
            self._over.clear()
        handlers = self._take_signals()
        try:
            self._serve()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            with self._lock:
                self._serving = False
                self._stop_asked = self._drain_now = False
                self._wake.clear()
                self._over.set()

    def stop(self, *, drain_s: float | None = _NEVER) -> None:
        """Stop the worker, and wait until `serve` has returned.  Any thread may call it.

        It takes no new run.  In the thread that serves, such as in a signal handler, the call does not wait.

        Args:
            drain_s: Seconds to wait for the runs; then they are given back, and other workers go on with
                them.  None: until they are over.  By default the time that the worker was made with.

        Raises:
            ValueError: *drain_s* is not a number of seconds.

        """
        if drain_s is not None and drain_s != _NEVER:
            _check_seconds("drain_s", drain_s, least=0.0)
        if drain_s != _NEVER:
            self._drain_s = drain_s
        self._stop_asked = True
        self._wake.set()
        if self._serving and threading.get_ident() != self._thread:
            self._over.wait()

    def _take_signals(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}

        def take(number: int, _frame: FrameType | None) -> None:
            if self._stop_asked:
                self._drain_now = True
            else:
                log.info("%s: the worker takes no new runs", signal.Signals(number).name)
            self._stop_asked = True
            self._wake.set()

        return {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}

    def _serve(self) -> None:
        self._thread = threading.get_ident()
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        service = self._service = Service(
            self._store, self._engine, self.id, self._settings, lambda: self._record
        )
        service.carrier.plan_span = self._plan_span
        try:
            with service:
                service.watch(self._wake, lambda: self._stop_asked)
                service.drain(lambda: self._drain_s, lambda: self._drain_now)
        finally:
            self._counted = [*service.figures.samples()]
            self._service = None


def _check_type(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind.__name__}, not {type(value).__name__}")


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be an int of at least 1, not {value!r}")


def _check_seconds(name: str, value: Any, *, least: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:
        raise ValueError(f"{name} must be seconds, {least:g} or more, not {value!r}")
