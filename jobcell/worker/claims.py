"""Claims runs for a worker with DBOS, which keeps the queue.

DBOS has one instance in a process.  It keeps the number of runs at once in the row of the queue, so all
workers would have the same number.  This module puts the free places of this worker there, and its
tenant limit.
"""

from __future__ import annotations

import copy
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jobcell.store.database import Database
from jobcell.store.errors import StoreError
from jobcell.store.queue import APP_VERSION, QUEUE, WORKFLOW, JsonSerializer
from jobcell.worker.places import Places

if TYPE_CHECKING:
    from dbos import DBOSClient

log: logging.Logger = logging.getLogger("jobcell.worker")

_POOL: Final = 3
_LOOK_S: Final = 0.001
"""Pause of DBOS between two looks into the queue: `Places.wait` makes the real ones."""

_DELAYED_S: Final = 0.9
"""Pause between two looks for delayed runs whose time has come.  DBOS itself looks each second."""

_ANY_NUMBER: Final = 1_000_000_000
_RARELY_S: Final = 3600.0

_LISTENER_S: Final = 0.1
"""Sleep of the thread that looks for notifications of DBOS. A worker has none, and its end waits for this thread."""
_OVERRIDDEN: Final = {
    "get_queue": ("name",),
    "start_queued_workflows": (
        "queue",
        "executor_id",
        "app_version",
        "queue_partition_key",
        "local_running_count",
        "partition_local_running_count",
    ),
    "start_queued_partitioned_workflows": ("queue", "executor_id", "app_version", "max_tasks"),
    "list_queues": (),
    "transition_delayed_workflows": (),
    "cancel_timed_out_workflows": ("limit",),
    "background_job_lock": ("job_name",),
    "_begin": ("isolation",),
}
"""The methods of DBOS's system database that are overridden, and the parameters that are used."""

_in_use = threading.Lock()


class Claims:
    """The queue of a store, as one worker sees it.

    Args:
        source: The database of the store; DBOS gets connections of its own.
        client: Registers the queue.
        worker: The id of the worker.
        places: Its places.
        tenant_limit: Largest number of runs of one tenant at once; None: any.
        writing: Entered for each transaction of a claim in SQLite.

    """

    def __init__(
        self,
        source: Database,
        client: DBOSClient,
        worker: str,
        places: Places,
        tenant_limit: int | None,
        writing: AbstractContextManager[object],
    ) -> None:
        self._source = source
        self._client = client
        self._worker = worker
        self._places = places
        self._tenant_limit = tenant_limit
        self._writing = writing
        self._database: Database | None = None
        self._dbos: Any = None
        self._next_look_s = 0.0

    def launch(self, carry: Callable[[str], None]) -> None:
        """Begin to claim runs, as far as there are places.

        Args:
            carry: Called in a thread of its own with the id of each claimed run.

        Raises:
            StoreError: This process has a worker already, or uses DBOS for something else.

        """
        if not _in_use.acquire(blocking=False):
            raise StoreError(
                "this process serves a worker already; start another process, or give this worker"
                " more places (max_runs)"
            )
        try:
            self._launch(carry)
        except BaseException:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Claim nothing more, and end the threads of DBOS."""
        from dbos import DBOS

        if self._dbos is not None:
            self._dbos = None
            DBOS.destroy(destroy_registry=True)
        if self._database is not None:
            self._database.close()
            self._database = None
        if _in_use.locked():
            _in_use.release()

    def _launch(self, carry: Callable[[str], None]) -> None:
        from dbos import DBOS, _dbos

        if _dbos._dbos_global_instance is not None:  # noqa: SLF001 - DBOS has no public call
            raise StoreError(
                "this process uses DBOS for something else; DBOS has one instance in a process, so"
                " serve the worker in a process of its own"
            )
        self._database = self._source.another(pool_size=_POOL, asks=False)
        # DBOS looks for queues when it is launched, and then only each second.
        with self._source.translated():
            self._client.register_queue(
                QUEUE,
                worker_concurrency=0,  # a program without our overrides claims nothing
                partition_concurrency=_ANY_NUMBER,
                polling_interval_sec=0.05,
            )
        logger = logging.getLogger("dbos")
        logger.setLevel(logging.ERROR)
        self._dbos = DBOS(
            config={
                "name": "jobcell",
                "system_database_url": self._source.url.render_as_string(hide_password=False),
                "system_database_engine": self._database.engine,
                "application_version": APP_VERSION,
                "executor_id": self._worker,
                "serializer": JsonSerializer(),  # type: ignore[typeddict-item]  # see make_client
                "use_listen_notify": False,
                "run_migrations": False,
                "log_level": "ERROR",
                "scheduler_polling_interval_sec": _RARELY_S,
                "notification_listener_polling_interval_sec": _LISTENER_S,
            }
        )
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(_make_function(carry))
        DBOS.listen_queues([QUEUE])
        with self._source.translated():
            DBOS.launch()
        self._override(self._dbos._sys_db)  # noqa: SLF001 - see the ADR

    def _override(self, system: Any) -> None:
        """Put this worker's places and limits in the place of those in the row of the queue."""
        check_overridden(system)
        get_queue, start = system.get_queue, system.start_queued_workflows
        start_partitioned = system.start_queued_partitioned_workflows
        ours = get_queue(QUEUE)

        def queue_with_places(name: str, **options: Any) -> Any:
            if name != QUEUE:
                return get_queue(name, **options)
            return self._limited(ours, self._places.wait())

        def start_one_tenant(
            queue: Any,
            executor: str,
            version: str,
            tenant: str,
            _running: int,
            *rest: Any,
            **more: Any,
        ) -> Any:
            if queue.name != QUEUE:
                return [], None  # the queue that DBOS has for itself stays empty
            # DBOS counts a claimed run when its thread has begun, which may be too late.
            # All workers have the same version for DBOS, so it need not look for the latest one.
            more["is_latest_version"] = True
            found, stop = start(queue, executor, version, tenant, self._places.taken, *rest, **more)
            self._places.take(found)
            return found, stop

        def start_many_tenants(
            queue: Any, executor: str, version: str, _most: int, *rest: Any, **more: Any
        ) -> Any:
            most = self._places.free
            if most <= 0:
                return []
            more["is_latest_version"] = True
            found = start_partitioned(queue, executor, version, most, *rest, **more)
            self._places.take(found)
            return found

        system.get_queue = queue_with_places
        system.start_queued_workflows = start_one_tenant
        system.start_queued_partitioned_workflows = start_many_tenants
        # DBOS looks for new queues each second, to start threads for them.
        system.list_queues = lambda **_options: [ours]
        system.transition_delayed_workflows = self._start_delayed
        # No run has a deadline in DBOS.
        system.cancel_timed_out_workflows = lambda _limit: []
        # DBOS would hold a connection and a lock all the time; a second look changes nothing.
        system.background_job_lock = _no_lock
        if self._database is not None and self._database.is_sqlite:
            system._begin = _Locking(system.engine, self._writing).begin  # noqa: SLF001

    def _limited(self, queue: Any, free: int) -> Any:
        """Return the queue with the limits of this worker."""
        limited = copy.copy(queue)
        limited._worker_concurrency = self._places.taken + free  # noqa: SLF001
        limited._polling_interval_sec = _LOOK_S  # noqa: SLF001
        limited._partition_concurrency = self._tenant_limit  # noqa: SLF001
        # Without a tenant limit, workers skip the rows that others are claiming, and do not wait.
        limited._partition_worker_concurrency = None if self._tenant_limit else _ANY_NUMBER  # noqa: SLF001
        return limited

    def _start_delayed(self) -> None:
        """Start runs whose time has come by the clock of the database; DBOS takes that of the machine."""
        database = self._database
        now_s = time.monotonic()
        if database is None or now_s < self._next_look_s:
            return
        self._next_look_s = now_s + self._places.share(_DELAYED_S)
        with database.write() as connection:
            connection.execute(
                _DELAYED.update()
                .where(
                    _DELAYED.c.status == "DELAYED",
                    _DELAYED.c.queue_name == QUEUE,
                    _DELAYED.c.delay_until_epoch_ms <= database.now_ms,
                )
                .values(status="ENQUEUED")
            )


def _make_function(carry: Callable[[str], None]) -> Callable[[str], None]:
    """Return the function of a workflow; DBOS needs a new one for each launch."""

    def jobcell_run(run_id: str) -> None:
        carry(run_id)

    return jobcell_run


@contextmanager
def _no_lock(_name: str) -> Iterator[bool]:
    yield True


class _Locking:
    """Transactions of claims in SQLite: they count and claim under the write lock.

    Otherwise two workers could count the same runs of a tenant, and exceed its limit together.
    """

    def __init__(self, engine: sa.Engine, writing: AbstractContextManager[object]) -> None:
        self._engine = engine
        self._writing = writing

    @contextmanager
    def begin(self, _isolation: str | None) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that holds the write lock."""
        with self._writing, self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection


def check_overridden(system: object) -> None:
    """Check that DBOS has the methods that are overridden, with the parameters that are used.

    Raises:
        StoreError: It has not.

    """
    for name, wanted in _OVERRIDDEN.items():
        method = getattr(system, name, None)
        known = [] if method is None else list(inspect.signature(method).parameters)
        if method is None or tuple(known[: len(wanted)]) != wanted:
            from importlib.metadata import version

            raise StoreError(
                f"this jobcell does not work with DBOS {version('dbos')}: {name} has changed;"
                " install a version of DBOS that pip chooses for jobcell[store]"
            )


_DELAYED: Final = sa.Table(
    "workflow_status",
    sa.MetaData(schema="dbos_tables"),
    sa.Column("status", sa.Text),
    sa.Column("queue_name", sa.Text),
    sa.Column("delay_until_epoch_ms", sa.BigInteger),
)
