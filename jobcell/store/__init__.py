"""Room `store`: runs in a database, as a client of workers sees them.

It belongs here if it needs the store and no engine that runs.  The room `jobcell.worker` builds on it.
"""

from __future__ import annotations

from jobcell.store.blobs import LARGE_BYTES, Blob, Blobs
from jobcell.store.collecting import StoreCollections
from jobcell.store.contents import Contents, PackedEvent, PackedRecord, PackedResult
from jobcell.store.database import Database
from jobcell.store.errors import (
    RunConflictError,
    RunNotOverError,
    ScheduleConflictError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreKeyError,
    StoreUnavailableError,
    StoreUrlError,
    StoreVersionError,
    UnknownCollectionError,
    UnknownRunError,
    UnknownScheduleError,
)
from jobcell.store.handle import StoreRun, wait_change
from jobcell.store.listing import RunInfo, StoreStatus, TenantCounts, WorkerInfo
from jobcell.store.options import merge_options
from jobcell.store.queue import APP_VERSION, QUEUE, WORKFLOW, JsonSerializer
from jobcell.store.reading import Reader, Stored
from jobcell.store.scheduling import Schedule, Schedules
from jobcell.store.schema import (
    blobs,
    events,
    meta,
    records,
    runs,
    schedules,
    workers,
    workflow_status,
)
from jobcell.store.shelves import (
    CollectionInfo,
    find_collection,
    list_collections,
    remove_collection,
)
from jobcell.store.store import Store
from jobcell.store.ticks import ScheduleTextError

__all__ = [
    "APP_VERSION",
    "LARGE_BYTES",
    "QUEUE",
    "WORKFLOW",
    "Blob",
    "Blobs",
    "CollectionInfo",
    "Contents",
    "Database",
    "JsonSerializer",
    "PackedEvent",
    "PackedRecord",
    "PackedResult",
    "Reader",
    "RunConflictError",
    "RunInfo",
    "RunNotOverError",
    "Schedule",
    "ScheduleConflictError",
    "ScheduleTextError",
    "Schedules",
    "Store",
    "StoreBusyError",
    "StoreCollections",
    "StoreDamagedError",
    "StoreError",
    "StoreKeyError",
    "StoreRun",
    "StoreStatus",
    "StoreUnavailableError",
    "StoreUrlError",
    "StoreVersionError",
    "Stored",
    "TenantCounts",
    "UnknownCollectionError",
    "UnknownRunError",
    "UnknownScheduleError",
    "WorkerInfo",
    "blobs",
    "events",
    "find_collection",
    "list_collections",
    "merge_options",
    "meta",
    "records",
    "remove_collection",
    "runs",
    "schedules",
    "wait_change",
    "workers",
    "workflow_status",
]
