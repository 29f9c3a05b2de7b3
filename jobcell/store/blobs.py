"""Contents by their hash: plans, initial states, states of steps and final states, each stored once.

The key of a blob is the hash of its content.  A blob that is written in the transaction of a caller, which
may stay open for long, has the id of its run behind the hash.  Otherwise a worker that stores the same
content would wait for that transaction.

`sweep` removes blobs that no row needs.  A transaction that needs a blob which is there already marks it as used,
unless that was done within the last minute.  So a blob without a mark for ten minutes is needed by no
transaction that is still open, and a mark and a removal of the same row wait for each other.

An object is written before the transaction that needs it: nobody must wait for an object store behind a lock. If
that transaction fails, the object has no row. `sweep` removes it when it is a day old.  For the same reason a
huge content is compressed before the transaction, and a transaction with one may pause for longer.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jobcell.store.database import Database
from jobcell.store.errors import StoreDamagedError
from jobcell.store.objects import Objects
from jobcell.store.prepared import Prepared, PreparedList, rows_of
from jobcell.store.schema import blobs, events, records, runs, schedules
from jobcell.store.seal import Seal

LARGE_BYTES: Final = 64_000
"""A larger state of an event is a blob; a larger blob goes to the object store, if there is one."""

_SMALLEST_COMPRESSED: Final = 200
_FRESH_MS: Final = 60_000
"""A blob that was used within this time is not marked as used again."""

UNUSED_MS: Final = 600_000
"""Time after which a blob that no row needs is removed."""

ORPHAN_S: Final = 86_400.0
"""Age of an object without a row that is removed.  No transaction is open for so long."""

_HASH_LENGTH: Final = 64
_GIVEN: Final = ("key", "encoding", "size", "body", "url")
"""The columns of a row that do not come from the database."""

_SMALL_BYTES: Final = 4_000
"""A smaller blob is inserted at once: to ask first whether the store has it costs more."""

_HUGE_BYTES: Final = 1_000_000
"""A larger blob is compressed and encrypted before the transaction."""

_PAUSE_S: Final = 10.0
_SLOWEST: Final = 1_000_000
"""Bytes a second of compression, encryption and the network together, on a machine that is very busy."""

_MANY: Final = 500
"""Number of keys in one query."""


class Blob(NamedTuple):
    """A content that is ready to be stored."""

    key: str
    content: bytes


Uploaded = Mapping[str, dict[str, Any]]
"""Rows of contents that are in the object store already, by their keys."""

_NOTHING: Final[Mapping[str, Any]] = {}


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

    @property
    def has_objects(self) -> bool:
        """Whether large contents go to an object store."""
        return self._objects is not None

    def close(self) -> None:
        """Let go of the connections to the object store."""
        if self._objects is not None:
            self._objects.close()

    def upload(self, contents: Iterable[Blob], *, run_id: str | None = None) -> Uploaded:
        """Pack the large contents that the store does not have, and return rows for `write`.

        They go to the object store.  Without one, the rows have the huge contents themselves.

        Args:
            contents: Of `name`.
            run_id: As in `write`.

        Raises:
            StoreUnavailableError: The object store or the database is out of reach.

        """
        limit = _HUGE_BYTES if self._objects is None else LARGE_BYTES
        large = {b.key: b for b in contents if len(b.content) > limit}
        if run_id is not None:
            large = {
                f"{key}-{run_id}": Blob(f"{key}-{run_id}", b.content) for key, b in large.items()
            }
        if not large:
            return {}
        with self._database.read() as connection:
            known = {row[0] for row in self._ages.run(connection, sorted(large))}
        return {key: self._pack(blob) for key, blob in large.items() if key not in known}

    def write(
        self,
        connection: sa.Connection,
        contents: Iterable[Blob],
        *,
        run_id: str | None = None,
        uploaded: Uploaded = _NOTHING,
    ) -> dict[str, str]:
        """Store the contents that the store does not have, and return the key of each by its hash.

        Args:
            connection: A connection in a transaction.
            contents: Of `name`.
            run_id: The id of the run, in a transaction of a caller that may stay open; None: in one of
                our own, which ends soon.
            uploaded: Of `upload`.

        """
        wanted = {blob.key: blob for blob in contents}
        if run_id is not None:
            own = {key: f"{key}-{run_id}" for key in wanted}
            for key, blob in wanted.items():
                self._insert(connection, Blob(own[key], blob.content), uploaded)
            return own
        self._allow_pause(connection, sum(len(blob.content) for blob in wanted.values()))
        # In this order, so that two transactions never wait for each other.
        ordered = sorted(wanted)
        large = [key for key in ordered if len(wanted[key].content) > _SMALL_BYTES]
        known = {row[0]: row[1] for row in self._ages.run(connection, large)}
        for key in ordered:
            age_ms = known.get(key)
            if age_ms is None or (age_ms >= _FRESH_MS and not self._use(connection, key)):
                self._insert(connection, wanted[key], uploaded)
        return {key: key for key in ordered}

    def fetch(self, connection: sa.Connection, keys: Iterable[str]) -> dict[str, bytes]:
        """Return those of the contents that lie in the object store."""
        rows = self._found.run(connection, sorted(set(keys)))
        return {row.key: self._content(row) for row in rows if row.body is None}

    def read(
        self,
        connection: sa.Connection,
        keys: Iterable[str],
        fetched: Mapping[str, bytes] = _NOTHING,
    ) -> dict[str, bytes]:
        """Return the contents with the given keys.

        Args:
            connection: A connection.
            keys: Their keys.
            fetched: Of `fetch`.

        Raises:
            StoreDamagedError: A content is missing, or has another hash.
            StoreUnavailableError: The object store is out of reach.

        """
        wanted = set(keys)
        found = {key: fetched[key] for key in wanted if key in fetched}
        ordered = sorted(wanted - found.keys())
        rows = self._found.run(connection, ordered)
        self._allow_pause(connection, sum(row.size for row in rows))
        for row in rows:
            found[row.key] = self._content(row)
        for key in ordered:
            if key not in found:
                raise StoreDamagedError(f"the store is damaged: the content {key} is missing")
        return found

    def read_one(self, connection: sa.Connection, key: str) -> bytes:
        """Return the content with the given key; see `read`."""
        return self.read(connection, [key])[key]

    def sweep(self) -> int:
        """Remove the blobs that no row needs, and objects without a blob; return the number of blobs."""
        removed = self._sweep_rows()
        self._sweep_objects()
        return removed

    def _sweep_objects(self) -> None:
        objects = self._objects
        if objects is None:
            return
        with self._database.read() as connection:
            now_ms = connection.execute(sa.select(self._database.now_ms)).scalar_one()
        for names in objects.old_names(now_ms / 1000 - ORPHAN_S):
            for start in range(0, len(names), _MANY):
                part = names[start : start + _MANY]
                with self._database.read() as connection:
                    query = sa.select(blobs.c.url).where(blobs.c.url.in_(part))
                    kept = set(connection.execute(query).scalars())
                for name in part:
                    if name not in kept:
                        objects.remove(name)

    def _sweep_rows(self) -> int:
        needed = sa.union_all(
            *(
                sa.select(column.label("key")).where(column.is_not(None))
                for column in (
                    runs.c.plan,
                    runs.c.state,
                    runs.c.final_state,
                    records.c.state,
                    events.c.state,
                    schedules.c.plan,
                    schedules.c.state,
                    schedules.c.carried,
                )
            )
        ).subquery()
        is_old = blobs.c.used_ms < self._database.now_ms - UNUSED_MS
        query = (
            sa.select(blobs.c.key)
            .select_from(blobs.outerjoin(needed, needed.c.key == blobs.c.key))
            .where(needed.c.key.is_(None), is_old)
        )
        with self._database.read() as connection:
            unused = list(connection.execute(query).scalars())
        removed = 0
        for start in range(0, len(unused), _MANY):
            part = unused[start : start + _MANY]
            with self._database.write() as connection:
                statement = blobs.delete().where(blobs.c.key.in_(part), is_old)
                urls = list(connection.execute(statement.returning(blobs.c.url)).scalars())
            removed += len(urls)
            for url in filter(None, urls):
                if self._objects is not None:
                    self._objects.remove(url)
        return removed

    def _allow_pause(self, connection: sa.Connection, size: int) -> None:
        """Let a transaction of ours pause for as long as the work with huge contents takes.

        PostgreSQL would end its session otherwise, and the next try would take as long: see `database`.  It also
        counts the time in which it waits for the rest of a large parameter.
        """
        if size <= _HUGE_BYTES or self._database.is_sqlite:
            return
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return  # it has no transaction
        pause_ms = round((_PAUSE_S + size / _SLOWEST) * 1000)
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {pause_ms}")

    def _use(self, connection: sa.Connection, key: str) -> bool:
        """Mark a blob as used, so that it is not pruned; return whether it is still there."""
        statement = blobs.update().where(blobs.c.key == key).values(used_ms=self._database.now_ms)
        return bool(connection.execute(statement).rowcount)

    def pack_small(self, contents: Iterable[Blob]) -> list[dict[str, Any]] | None:
        """Return rows for `add_together`; None if a content is so large that the store is asked for it first."""
        wanted = {blob.key: blob for blob in contents}
        if any(len(blob.content) > _SMALL_BYTES for blob in wanted.values()):
            return None
        return [self._pack(wanted[key]) for key in sorted(wanted)]

    def _insert(self, connection: sa.Connection, blob: Blob, uploaded: Uploaded) -> None:
        self._add.run(connection, **(uploaded.get(blob.key) or self._pack(blob)))

    def _pack(self, blob: Blob) -> dict[str, Any]:
        """Return the row of a content; it writes a large one to the object store."""
        packed = (
            zlib.compress(blob.content, 1) if len(blob.content) >= _SMALLEST_COMPRESSED else b""
        )
        is_shorter = bool(packed) and len(packed) < len(blob.content)
        body = self._seal.close(packed if is_shorter else blob.content, f"content {blob.key}")
        url = None
        if self._objects is not None and len(blob.content) > LARGE_BYTES:
            url = self._objects.write(blob.key, body)
        return {
            "key": blob.key,
            "encoding": "zlib" if is_shorter else "raw",
            "size": len(blob.content),
            "body": None if url is not None else body,
            "url": url,
        }

    @cached_property
    def _ages(self) -> PreparedList:
        """The keys and the ages of blobs.  The statements are compiled when the schema is known."""
        age_ms = self._database.now_ms - blobs.c.used_ms
        return PreparedList(
            self._database, lambda keys: sa.select(blobs.c.key, age_ms).where(blobs.c.key.in_(keys))
        )

    @cached_property
    def _found(self) -> PreparedList:
        return PreparedList(
            self._database, lambda keys: sa.select(blobs).where(blobs.c.key.in_(keys))
        )

    @cached_property
    def _add(self) -> Prepared:
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(blobs).values(
            used_ms=self._database.now_ms, **{name: sa.bindparam(name) for name in _GIVEN}
        )
        return self._unless_fresh(statement)

    @cached_property
    def add_together(self) -> Prepared:
        """The statement that adds the rows of `pack_small`, each parameter a list; for PostgreSQL."""
        given = rows_of(blobs, _GIVEN)
        query = sa.select(*(given.c[name] for name in _GIVEN), self._database.now_ms)
        statement = postgresql.insert(blobs).from_select([*_GIVEN, "used_ms"], query)
        return self._unless_fresh(statement)

    def _unless_fresh(self, statement: sqlite.Insert | postgresql.Insert) -> Prepared:
        return Prepared(
            self._database,
            statement.on_conflict_do_update(
                index_elements=[blobs.c.key],
                set_={"used_ms": statement.excluded.used_ms},
                where=blobs.c.used_ms < statement.excluded.used_ms - _FRESH_MS,
            ),
        )

    def _content(self, row: Any) -> bytes:
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
