"""The way of a checked run into the store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jobcell.store import queue
from jobcell.store.blobs import Blobs, Uploaded
from jobcell.store.callers import joined
from jobcell.store.database import Database
from jobcell.store.enqueue import Enqueued, Place, write

if TYPE_CHECKING:
    from dbos import DBOSClient

ENQUEUE_S: Final = 30.0
"""Seconds for which a call that writes tries again while the store is out of reach."""


class Intake:
    """Stores runs, and puts them into the queue of DBOS.  Any thread may use it.

    Args:
        database: Of the store.
        blobs: Of the store.
        store_id: The id of the store.

    """

    def __init__(self, database: Database, blobs: Blobs, store_id: str) -> None:
        self._database = database
        self._blobs = blobs
        self._store_id = store_id
        self._lock = threading.Lock()
        self._client: DBOSClient | None = None
        self._place = Place()

    @property
    def client(self) -> DBOSClient:
        """The client of DBOS, which is made at the first use."""
        with self._lock:
            if self._client is None:
                self._client = queue.make_client(self._database)
            return self._client

    def add(self, run: Enqueued, connection: Any = None) -> bool:
        """Store a checked run; return whether it is new.

        Args:
            run: The run.
            connection: The caller's, in whose transaction the run is stored; None: in one of our own.

        """
        client = self.client
        owner = None if connection is None else run.run_id
        uploaded = self._database.retry(
            lambda: self._blobs.upload(run.contents, run_id=owner), ENQUEUE_S
        )
        if connection is not None:
            with joined(connection, self._database, self._store_id) as own:
                return write(
                    self._database,
                    self._blobs,
                    client,
                    own,
                    run,
                    self._place,
                    uploaded=uploaded,
                    is_callers=True,
                )

        def store() -> bool:
            with self._database.write() as own:
                return self.write(own, run, uploaded)

        return self._database.retry(store, ENQUEUE_S)

    def write(
        self, connection: sa.Connection, run: Enqueued, uploaded: Uploaded | None = None
    ) -> bool:
        """Store a checked run in a transaction of our own; return whether it is new."""
        return write(
            self._database,
            self._blobs,
            self.client,
            connection,
            run,
            self._place,
            uploaded=uploaded or {},
        )
