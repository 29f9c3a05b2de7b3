"""The store: keeps runs in a database until workers have carried them out."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from engine.api import RunOptions
from jobcell.store import opening
from jobcell.store.blobs import Blobs
from jobcell.store.cancelling import cancel
from jobcell.store.collecting import DEFAULT_MB, StoreCollections
from jobcell.store.contents import Contents
from jobcell.store.database import Database
from jobcell.store.enqueue import DEFAULT_TENANT, Enqueued, check_id, prepare
from jobcell.store.handle import StoreRun
from jobcell.store.intake import ENQUEUE_S, Intake
from jobcell.store.listing import RunInfo, StoreStatus, count, find_run, list_runs
from jobcell.store.objects import open_objects
from jobcell.store.pruning import prune
from jobcell.store.reading import Reader, unknown
from jobcell.store.retrying import prepare_retry
from jobcell.store.scheduling import Schedules
from jobcell.store.schema import Facts
from jobcell.store.seal import Seal, read_key
from jobcell.store.urls import read_url
from jobcell.store.watching import Watcher
from protocol.plan import Plan
from protocol.trace import Trace

if TYPE_CHECKING:
    from dbos import DBOSClient


class Store:
    """A database with runs: SQLite or PostgreSQL.  `Store.open` makes one.

    Any thread may use it, and a fork of this process too.
    """

    def __init__(self, database: Database, facts: Facts, seal: Seal, blobs: Blobs) -> None:
        self.database = database
        """For the worker; not a part of the interface for users."""
        self.facts: Facts = facts
        self.blobs = blobs
        self.contents: Contents = Contents(seal, blobs)
        self.reader: Reader = Reader(database, self.contents, blobs)
        self.is_encrypted: bool = seal.is_closed
        self._seal = seal
        self._intake = Intake(database, blobs, facts.store_id)
        self.schedules: Schedules = Schedules(database, blobs, self._intake.write)
        """The schedules of the store."""
        self._lock = threading.Lock()
        self._watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, Watcher] = WeakKeyDictionary()
        self._current_trace: Callable[[], Trace | None] | None = None

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        key: bytes | None = None,
        objects: str | None = None,
        timeout_s: float = 0.0,
    ) -> Self:
        """Open a store, and make it if the database has none yet.

        Args:
            url: ``sqlite:///runs.db``, ``postgresql://user@host/db``, or the path object of a SQLite
                file.  None: the value of ``JOBCELL_STORE``, or else a SQLite file in the user's state
                directory.
            key: 32 bytes, with which all contents are encrypted.  None: that of
                ``JOBCELL_STORE_KEY``, if there is one.
            objects: The URL of a directory for contents above 64 kB, as fsspec takes it.  None: that of
                ``JOBCELL_STORE_OBJECTS``, if there is one.
            timeout_s: Seconds to try again while the database is out of reach.

        Raises:
            StoreUrlError: The address is wrong.
            StoreVersionError: A newer jobcell has made the store.
            StoreKeyError: The key is missing, or wrong.
            StoreDamagedError: The file is not a database, or is damaged.
            StoreUnavailableError: The database is out of reach.
            StoreError: The store cannot be used for another reason.

        """
        seal = Seal(read_key(key))
        large = open_objects(objects)
        database = Database(read_url(url))
        try:
            facts = opening.prepare(database, seal, timeout_s=timeout_s)
        except BaseException:
            database.close()
            raise
        if large is not None:
            large.use(facts.store_id)
        return cls(database, facts, seal, Blobs(database, seal, large))

    def __repr__(self) -> str:
        return f"<Store {self.database}>"

    def close(self) -> None:
        """Close all connections; handles of the store cannot be used any more."""
        self.database.close()
        self.blobs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def client(self) -> DBOSClient:
        """The client of DBOS, for the worker; not a part of the interface for users."""
        return self._intake.client

    def enqueue(
        self,
        plan: Any,
        state: Any = None,
        *,
        id: str | None = None,  # noqa: A002 - the name of the interface
        tenant: str = DEFAULT_TENANT,
        priority: int = 0,
        not_before: datetime | float | None = None,
        options: RunOptions | None = None,
        connection: Any = None,
        trace: Trace | str | None = None,
    ) -> StoreRun:
        """Store a run that a worker will carry out, and return its handle.

        Args:
            plan: As in `Engine.execute`.  It names credentials by their ids.
            state: The initial state; a string is the id of a stored state.
            id: The id of the run; by default that of the plan, or a new one.  The same id again is the
                same run.
            tenant: The user of the run; `Worker` can limit the number of runs for each.
            priority: Lower numbers come first; equal ones in the order in which they were enqueued.
            not_before: The earliest start, as a time with a time zone or in Unix seconds.
            options: Limits of the run.  Of a limit here and one of the worker the smaller one holds.
            connection: A connection of psycopg, SQLAlchemy or sqlite3 to the store's database.  The run
                is then a part of the caller's transaction: it exists when that is committed.
            trace: The W3C trace that the run belongs to; text is a ``traceparent``.  Without one, an
                instrumented store takes the current one of OpenTelemetry.

        Raises:
            PlanError: The plan or the state cannot be run, or holds a credential.
            TypeError, ValueError: Another argument is wrong.
            RunConflictError: There is a run with this id, but with another plan, state or tenant.
            StoreUnavailableError: The store was out of reach for 30 seconds.
            StoreError: The store, or *connection*, cannot be used.

        """
        run = prepare(
            self.blobs,
            plan,
            state,
            run_id=id,
            tenant=tenant,
            priority=priority,
            not_before=not_before,
            options=options,
            trace=self._trace(trace),
        )
        self._intake.add(run, connection)
        return self._handle(run.run_id)

    def run(self, id: str) -> StoreRun:  # noqa: A002 - the name of the interface
        """Return the handle of a run in the store.

        Raises:
            UnknownRunError: The store has no such run; this is a `LookupError`.
            StoreUnavailableError: The store is out of reach.

        """
        self.reader.status(_possible(id))
        return self._handle(id)

    def runs(
        self,
        *,
        state: str | None = None,
        tenant: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> list[RunInfo]:
        """Return the runs of the store, the newest first.

        Args:
            state: ``queued``, ``running``, ``done`` (everything that is over, except ``dead``) or
                ``dead``; None: all.
            tenant: Only the runs of this tenant.
            limit: The largest number of runs.
            before: Only runs that are older than the run with this id.

        Raises:
            ValueError: *state* or *limit* is not valid.
            UnknownRunError: The store has no run *before*.
            StoreUnavailableError: The store is out of reach.

        """
        if before is not None:
            _possible(before)
        return list_runs(self.database, state=state, tenant=tenant, limit=limit, before=before)

    def info(self, id: str) -> RunInfo:  # noqa: A002 - the name of the interface
        """Return what the list of runs says of one run.

        Raises:
            UnknownRunError: The store has no such run.
            StoreUnavailableError: The store is out of reach.

        """
        return find_run(self.database, _possible(id))

    def plan(self, id: str) -> Plan:  # noqa: A002 - the name of the interface
        """Return the checked plan of a run.

        Raises:
            UnknownRunError: The store has no such run.
            StoreUnavailableError: The store is out of reach.

        """
        with self.database.read() as connection:
            plan: Plan = self.reader.stored(connection, _possible(id)).plan
            return plan

    def retry(
        self,
        id: str,  # noqa: A002 - the name of the interface
        from_step: str | None = None,
        *,
        trace: Trace | str | None = None,
    ) -> StoreRun:
        """Make a new run of a run that is over, and return its handle; the old run stays as it is.

        Args:
            id: The id of the old run.
            from_step: The id of a step.  The new run replays what the old one has recorded before the
                first execution of this step, and runs the rest.
            trace: As in `enqueue`.

        Raises:
            UnknownRunError: The store has no such run.
            RunNotOverError: The old run is not over.
            PlanError: The run has no such step, or no record leads to it.
            StoreUnavailableError: The store was out of reach for 30 seconds.
            TypeError: *from_step* is not text.

        """
        if from_step is not None and not isinstance(from_step, str):
            raise TypeError(f"from_step must be text, not {type(from_step).__name__}")

        def read() -> Enqueued:
            with self.database.read() as connection:
                return prepare_retry(
                    connection,
                    self.reader,
                    self.contents,
                    self.blobs,
                    _possible(id),
                    from_step,
                    given,
                )

        given = self._trace(trace)

        run = self.database.retry(read, ENQUEUE_S)
        self._intake.add(run)
        return self._handle(run.run_id)

    def trace_by(self, current: Callable[[], Trace | None] | None) -> None:
        """Have *current* called for the trace of a run that is enqueued without one; for telemetry."""
        self._current_trace = current

    def _trace(self, trace: Trace | str | None) -> Trace | None:
        if trace is None:
            return None if self._current_trace is None else self._current_trace()
        if isinstance(trace, str | Trace):
            return Trace(trace) if isinstance(trace, str) else trace
        raise TypeError(f"trace must be Trace or text, not {type(trace).__name__}")

    def status(self) -> StoreStatus:
        """Return the numbers of runs by state and by tenant, and the workers.

        Raises:
            StoreUnavailableError: The store is out of reach.

        """
        version = self.facts.schema_version
        return count(self.database, schema_version=version, encrypted=self.is_encrypted)

    def prune(self, older: timedelta | float | str) -> int:
        """Remove all runs that are over and whose last event is older; return their number.

        Args:
            older: An age: a timedelta, seconds, or text such as ``30d``.

        Raises:
            TypeError, ValueError: *older* is not an age.
            StoreUnavailableError: The store was out of reach for 30 seconds.

        """
        return prune(self.database, self.blobs, older)

    def collections(
        self, tenant: str = DEFAULT_TENANT, *, max_mb: float = DEFAULT_MB
    ) -> StoreCollections:
        """Return the collections of a tenant, for `Resolvers`.

        Args:
            tenant: The user; the collections of other users are out of reach.
            max_mb: The limit of all values of the user together, in megabytes.

        Raises:
            TypeError, ValueError: An argument is wrong.

        """
        check_id("tenant", tenant, optional=False)
        if isinstance(max_mb, bool) or not isinstance(max_mb, int | float) or not max_mb > 0:
            raise ValueError(f"max_mb must be a number above 0, not {max_mb!r}")
        return StoreCollections(self.database, self._seal, tenant, max_mb=max_mb)

    def migrate(self) -> Facts:
        """Bring all tables to the version of this program, and return the facts about the store.

        `Store.open` has done so already if it was needed.

        Raises:
            StoreError: The store cannot be changed.

        """
        self.facts = opening.upgrade(self.database, self._seal)
        return self.facts

    def _handle(self, run_id: str) -> StoreRun:
        return StoreRun(run_id, self.reader, self._cancel, self._watcher)

    def _watcher(self) -> Watcher:
        """Return the watcher for the event loop that is running."""
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._watchers.get(loop)
            if found is None:
                found = self._watchers[loop] = Watcher(self.reader.standings)
            return found

    def _cancel(self, run_id: str, reason: str) -> None:
        self.database.retry(lambda: cancel(self.database, self.contents, run_id, reason), ENQUEUE_S)


def _possible(run_id: str) -> str:
    """Return an id that a run may have: a database refuses some others.

    Raises:
        TypeError: It is not text.
        UnknownRunError: No run can have it.

    """
    try:
        check_id("id", run_id, optional=False)
    except ValueError:
        raise unknown(run_id) from None
    return run_id
