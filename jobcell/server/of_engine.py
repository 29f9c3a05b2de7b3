"""Runs of an engine in the process of the server, kept in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from engine import (
    AnyEvent,
    Collections,
    Engine,
    ModuleRef,
    Permissions,
    Plan,
    Resolvers,
    Run,
    RunOptions,
    RunResult,
    Trace,
)
from engine.plan import load_plan
from engine.reporting import raw_events, wait_change
from jobcell.server.backend import Conflict, Counts, NewRun, Row, State, UnknownRun
from jobcell.telemetry import Feed, Tally, counts, families_of, measures

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

KEPT: Final = 1_000
"""Number of runs that are over and stay readable; the oldest ones go first."""

_OPTIONS: Final = frozenset(RunOptions.__struct_fields__)


class _Kept(msgspec.Struct):
    run: Run
    plan: Plan
    new: NewRun
    row: Row
    order: int


class EngineBackend:
    """Runs of an engine, which end with this process.

    Args:
        engine: The engine; it is closed with the backend.
        collections: Returns the collections of a tenant; None if the server has none.

    """

    def __init__(
        self, engine: Engine, *, collections: Callable[[str], Collections] | None = None
    ) -> None:
        self._engine = engine
        self._collections = collections
        self._lock = threading.Lock()
        self._runs: dict[str, _Kept] = {}
        self._count = 0
        self._tally = Tally()
        self._feed = Feed([self._tally])
        self._feed.observe(engine)

    def add(self, new: NewRun, trace: Trace | None = None) -> str:
        """Start a run; see `Backend.add`."""
        if new.not_before is not None:
            raise ValueError("not_before needs a store: jobcell serve --store URL")
        plan = load_plan(new.plan, new_id=new.id, warn=lambda _: None)
        if new.id is not None and plan.id != new.id:
            plan = msgspec.structs.replace(plan, id=new.id)
        options = read_options(new.options, self._engine.options)
        resolvers = self._resolvers(new, options)
        with self._lock:
            known = self._runs.get(plan.id)
            if known is not None:
                if known.new != new:
                    raise Conflict(f"there is another run with the id {plan.id!r}")
                return plan.id
            run = self._engine.execute(plan, new.state, options, resolvers, trace=trace)
            self._count += 1
            row = Row(
                id=plan.id,
                state="queued",
                name=plan.workflow.name,
                tenant=new.tenant,
                created=time.time(),
            )
            self._runs[plan.id] = _Kept(run, plan, new, row, self._count)
            self._forget()
        return plan.id

    def rows(
        self, *, state: State | None, tenant: str | None, limit: int, before: str | None
    ) -> list[Row]:
        """Return runs; see `Backend.rows`."""
        with self._lock:
            kept = sorted(self._runs.values(), key=lambda item: -item.order)
        if before is not None:
            oldest = self._find(before).order
            kept = [item for item in kept if item.order < oldest]
        found = []
        for item in kept:
            if tenant is not None and item.new.tenant != tenant:
                continue
            row = _row(item)
            if state is None or row.state == state:
                found.append(row)
            if len(found) == limit:
                break
        return found

    def row(self, run_id: str) -> Row:
        """Return a run."""
        return _row(self._find(run_id))

    def counts(self) -> Counts:
        """Return the numbers of runs."""
        counts = dict.fromkeys(Counts.__struct_fields__, 0)
        with self._lock:
            kept = list(self._runs.values())
        for item in kept:
            counts[_row(item).state] += 1
        return Counts(**counts)

    def families(self) -> Iterable[Metric]:
        """Return the figures of the engine and of its runs; see `Backend.families`."""
        load = self._engine.load()
        yield from families_of(
            [*counts(self.counts()), *measures.of_load(load.queued, load.running, load.starts)]
        )
        yield from self._tally.families()

    def poll(self, run_id: str, after: int, limit: int | None = None) -> list[AnyEvent]:
        """Return events; see `Backend.poll`."""
        return self._find(run_id).run.poll(after=after, timeout_s=0.0)[:limit]

    async def wait(self, run_id: str, after: int | None) -> None:
        """Wait for an event or for the end; see `Backend.wait`."""
        await wait_change(self._find(run_id).run, after)

    def result(self, run_id: str) -> RunResult | None:
        """Return how the run ended; None if it goes on."""
        try:
            return self._find(run_id).run.result(0.0)
        except TimeoutError:
            return None

    def plan(self, run_id: str) -> Plan:
        """Return the plan of a run."""
        return self._find(run_id).plan

    def cancel(self, run_id: str, reason: str) -> None:
        """End a run; see `Backend.cancel`."""
        run = self._find(run_id).run
        if run.done:
            raise Conflict(f"run {run_id!r} is over")
        run.cancel(reason)

    def retry(self, run_id: str, from_step: str | None) -> str:
        """Start a new run of the same plan; see `Backend.retry`."""
        if from_step is not None:
            raise ValueError("from_step needs a store: jobcell serve --store URL")
        item = self._find(run_id)
        if not item.run.done:
            raise Conflict(f"run {run_id!r} is not over; cancel it first")
        plan = {key: value for key, value in item.new.plan.items() if key != "id"}
        return self.add(msgspec.structs.replace(item.new, id=None, plan=plan))

    def close(self) -> None:
        """End all runs and the engine."""
        self._engine.close()
        self._feed.close()

    def _resolvers(self, new: NewRun, options: RunOptions) -> Resolvers:
        """Return what the run may ask for: the credentials of the request, the collections of its tenant.

        Raises:
            ValueError: The run may use collections, and the server has none.

        """
        credential = _loader(new.credentials) if new.credentials else None
        if not options.permissions.collections:
            return Resolvers(credential=credential)
        if self._collections is None:
            raise ValueError(
                "options: permissions.collections: this server has no collections; start it with"
                " jobcell serve --engine --collection NAME"
            )
        return Resolvers(credential=credential, collections=self._collections(new.tenant))

    def _find(self, run_id: str) -> _Kept:
        with self._lock:
            item = self._runs.get(run_id)
        if item is None:
            raise UnknownRun(f"there is no run {run_id!r}")
        return item

    def _forget(self) -> None:
        over = [run_id for run_id, item in self._runs.items() if item.run.done]
        for run_id in over[: max(0, len(over) - KEPT)]:
            del self._runs[run_id]


def read_options(given: dict[str, Any], base: RunOptions) -> RunOptions:
    """Return the options of a run: those of the server, with the given fields.

    Raises:
        ValueError, TypeError: A field is unknown, or its value is wrong.

    """
    unknown = sorted(set(given) - _OPTIONS)
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"options: unknown field {unknown[0]!r}; there are: {known}")
    fields = dict(given)
    try:
        if "permissions" in fields:
            fields["permissions"] = msgspec.convert(fields["permissions"], Permissions)
        if "modules" in fields:
            fields["modules"] = msgspec.convert(fields["modules"], dict[str, ModuleRef])
    except msgspec.ValidationError as error:
        raise ValueError(f"options: {error}") from None
    return msgspec.structs.replace(base, **fields)


def _row(item: _Kept) -> Row:
    """Return a row of its own for each caller, because several threads make them at the same time."""
    row = item.row
    if row.started is None:
        # Their states stay encoded: a list must not decode the states of all runs.
        events = raw_events(item.run, 0)
        row.started = events[0].time if events else None
    if row.ended is None and item.run.done:
        row.reason = item.run.result(0).reason  # first, because `ended` says that both are there
        row.ended = raw_events(item.run, 0)[-1].time
    made = msgspec.structs.replace(row)
    made.state = "done" if made.ended is not None else "running" if made.started else "queued"
    return made


def _loader(credentials: dict[str, Any]) -> Callable[[str], Any]:
    def load(credential_id: str) -> Any:
        if credential_id not in credentials:
            raise LookupError(f"the request has no credential {credential_id!r}")
        return credentials[credential_id]

    return load
