"""Contents by their hash: plans, initial states, states of steps and final states, each stored once.

The key of a blob is the hash of its content.  A blob that is written in the transaction of a caller has
the id of its run behind the hash: otherwise a worker that stores the same content would wait for that
transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jobcell.store.database import Database
from jobcell.store.errors import StoreDamagedError
from jobcell.store.objects import Objects
from jobcell.store.schema import blobs
from jobcell.store.seal import Seal

LARGE_BYTES: Final = 64_000
"""A larger state of an event is a blob; a larger blob goes to the object store, if there is one."""

_SMALLEST_COMPRESSED: Final = 200
_FRESH_MS: Final = 3_600_000
"""A blob that was used within this time is not marked as used again."""

_HASH_LENGTH: Final = 64
_MANY: Final = 500
"""Number of keys in one query."""


class Blob(NamedTuple):
    """A content that is ready to be stored."""

    key: str
    content: bytes


class Blobs:
    """Reads and writes contents, each in a transaction of the caller.

    Args:
        database: Of the store.
        seal: Encrypts.
        objects: Where large contents go; None: into the database.

    """

    def __init__(self, database: Database, seal: Seal, objects: Objects | None) -> None:
        self._database = database
        self._seal = seal
        self._objects = objects

    def name(self, content: bytes) -> Blob:
        """Return a content with its key."""
        return Blob(self._seal.digest(content), content)

    def write(
        self, connection: sa.Connection, contents: Iterable[Blob], *, run_id: str | None = None
    ) -> dict[str, str]:
        """Store the contents that the store does not have, and return the key of each by its hash.

        Args:
            connection: A connection in a transaction.
            contents: Of `name`.
            run_id: The id of the run, in a transaction of a caller that may stay open; None: in one of
                our own, which ends soon.

        """
        wanted = {blob.key: blob for blob in contents}
        # In this order, so that two transactions never wait for each other.
        ordered = sorted(wanted)
        known: dict[str, int] = {}
        for start in range(0, len(ordered), _MANY):
            part = ordered[start : start + _MANY]
            query = sa.select(blobs.c.key, self._database.now_ms - blobs.c.used_ms)
            known |= {
                row[0]: row[1] for row in connection.execute(query.where(blobs.c.key.in_(part)))
            }
        keys = {}
        for key in ordered:
            fresh = key in known and known[key] < _FRESH_MS
            own = key if run_id is None or fresh else f"{key}-{run_id}"
            keys[key] = own
            if not fresh and not (key in known and run_id is None and self._use(connection, key)):
                self._insert(connection, Blob(own, wanted[key].content))
        return keys

    def read(self, connection: sa.Connection, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the contents with the given keys.

        Raises:
            StoreDamagedError: A content is missing, or has another hash.
            StoreUnavailableError: The object store is out of reach.

        """
        ordered = sorted(set(keys))
        found: dict[str, bytes] = {}
        for start in range(0, len(ordered), _MANY):
            query = sa.select(blobs).where(blobs.c.key.in_(ordered[start : start + _MANY]))
            for row in connection.execute(query):
                found[row.key] = self._content(row)
        for key in ordered:
            if key not in found:
                raise StoreDamagedError(f"the store is damaged: the content {key} is missing")
        return found

    def read_one(self, connection: sa.Connection, key: str) -> bytes:
        """Return the content with the given key; see `read`."""
        return self.read(connection, [key])[key]

    def _use(self, connection: sa.Connection, key: str) -> bool:
        """Mark a blob as used, so that it is not pruned; return whether it is still there."""
        statement = blobs.update().where(blobs.c.key == key).values(used_ms=self._database.now_ms)
        return bool(connection.execute(statement).rowcount)

    def _insert(self, connection: sa.Connection, blob: Blob) -> None:
        packed = (
            zlib.compress(blob.content, 1) if len(blob.content) >= _SMALLEST_COMPRESSED else b""
        )
        is_shorter = bool(packed) and len(packed) < len(blob.content)
        body = self._seal.close(packed if is_shorter else blob.content, f"content {blob.key}")
        url = None
        if self._objects is not None and len(blob.content) > LARGE_BYTES:
            url = self._objects.write(blob.key, body)
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(blobs).values(
            key=blob.key,
            encoding="zlib" if is_shorter else "raw",
            size=len(blob.content),
            body=None if url is not None else body,
            url=url,
            used_ms=self._database.now_ms,
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[blobs.c.key], set_={"used_ms": statement.excluded.used_ms}
            )
        )

    def _content(self, row: sa.Row[tuple[object, ...]]) -> bytes:
        body = row.body
        if body is None:
            if self._objects is None:
                raise StoreDamagedError(
                    f"the content {row.key} lies in an object store; name it with JOBCELL_STORE_OBJECTS"
                )
            body = self._objects.read(row.url)
        stored = self._seal.open(bytes(body), f"content {row.key}")
        try:
            content = zlib.decompress(stored) if row.encoding == "zlib" else stored
        except zlib.error:
            content = b""
        if self._seal.digest(content) != row.key[:_HASH_LENGTH]:
            raise StoreDamagedError(f"the store is damaged: the content {row.key} has another hash")
        return content
