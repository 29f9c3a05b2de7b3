"""Runs of a store, which workers carry out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from engine import AnyEvent, Plan, RunOptions, RunResult, Trace
from jobcell.server.backend import Away, Conflict, Counts, NewRun, Row, State, UnknownRun
from jobcell.server.of_engine import read_options
from jobcell.store import (
    RunConflictError,
    RunInfo,
    RunNotOverError,
    Store,
    StoreUnavailableError,
    UnknownRunError,
    wait_change,
)
from jobcell.telemetry import Sample, counts, families_of, measures

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class StoreBackend:
    """Runs of a store.

    Args:
        store: The store; it is closed with the backend.

    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, new: NewRun, trace: Trace | None = None) -> str:
        """Put a run into the queue; see `Backend.add`."""
        if new.credentials:
            raise ValueError("credentials: workers load them by their ids; leave the field out")
        options = read_options(new.options, RunOptions()) if new.options else None
        with _errors():
            run = self._store.enqueue(
                new.plan,
                new.state,
                id=new.id,
                tenant=new.tenant,
                priority=new.priority,
                not_before=new.not_before,
                options=options,
                trace=trace,
            )
        return run.id

    def rows(
        self, *, state: State | None, tenant: str | None, limit: int, before: str | None
    ) -> list[Row]:
        """Return runs; see `Backend.rows`."""
        with _errors():
            found = self._store.runs(state=state, tenant=tenant, limit=limit, before=before)
        return [_row(info) for info in found]

    def row(self, run_id: str) -> Row:
        """Return a run."""
        with _errors():
            return _row(self._store.info(run_id))

    def counts(self) -> Counts:
        """Return the numbers of runs."""
        with _errors():
            status = self._store.status()
        return Counts(
            queued=status.queued, running=status.running, done=status.done, dead=status.dead
        )

    def families(self) -> Iterable[Metric]:
        """Return the figures of the store; see `Backend.families`."""
        with _errors():
            status = self._store.status()
        age_s = status.oldest_queued_s or 0.0
        return families_of([*counts(status), Sample(measures.QUEUED_AGE, age_s)])

    def poll(self, run_id: str, after: int, limit: int | None = None) -> list[AnyEvent]:
        """Return events; see `Backend.poll`."""
        with _errors():
            return self._store.reader.events(run_id, after, limit).events

    async def wait(self, run_id: str, after: int | None) -> None:
        """Wait for an event or for the end; see `Backend.wait`."""
        with _errors():
            run = await asyncio.to_thread(self._store.run, run_id)  # reads the database
            await wait_change(run, after)

    def result(self, run_id: str) -> RunResult | None:
        """Return how the run ended; None if it goes on."""
        with _errors():
            run = self._store.run(run_id)
            try:
                return run.result(0.0)
            except TimeoutError:
                return None

    def plan(self, run_id: str) -> Plan:
        """Return the plan of a run."""
        with _errors():
            return self._store.plan(run_id)

    def cancel(self, run_id: str, reason: str) -> None:
        """End a run; see `Backend.cancel`."""
        with _errors():
            run = self._store.run(run_id)
            if run.done:
                raise Conflict(f"run {run_id!r} is over")
            run.cancel(reason)

    def retry(self, run_id: str, from_step: str | None) -> str:
        """Make a new run of a run that is over; see `Backend.retry`."""
        with _errors():
            return self._store.retry(run_id, from_step).id

    def close(self) -> None:
        """Close the store."""
        self._store.close()


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except UnknownRunError as error:
        raise UnknownRun(str(error)) from None
    except (RunConflictError, RunNotOverError) as error:
        raise Conflict(str(error)) from None
    except StoreUnavailableError as error:
        raise Away(str(error)) from None


def _row(info: RunInfo) -> Row:
    return Row(
        id=info.id,
        state=info.state,
        tenant=info.tenant,
        reason=info.reason,
        created=info.created,
        started=info.started,
        ended=info.ended,
    )
