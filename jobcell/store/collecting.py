"""The collections of a store: values under keys, for the runs of one tenant.

Values are encrypted if the store has a key.  Names and keys are not, because the database searches them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.api import CollectionItem, CollectionPage, CollectionQuery, CollectionsError
from jobcell.store.database import Database
from jobcell.store.errors import StoreDamagedError, StoreError, StoreUnavailableError
from jobcell.store.prepared import lists_of, rows_of
from jobcell.store.schema import collection_values as values
from jobcell.store.schema import collections
from jobcell.store.seal import Seal
from protocol.collection import MAX_PAGE_BYTES
from protocol.limits import MEGABYTE

_T = TypeVar("_T")

RETRY_S: Final = 20.0
"""Seconds for which a request tries again while the store is out of reach.  It must be less than the
``resolve_timeout_s`` of a run, which is 30 by default."""

DEFAULT_MB: Final = 1_000.0
"""Default limit of the values of one tenant together, in megabytes."""

_MOST_COLLECTIONS: Final = 1_000
"""Most collections of a tenant, because a run may have the permission for all names."""

_ITEM_BYTES: Final = 100
"""Bytes that each value counts besides its key and its body, so that many small ones are not free."""

_FEW: Final = 8
"""Values that fit into a page, whatever their sizes are."""

_PART: Final = 500
"""Keys in one statement."""

_GIVEN: Final = ("collection", "key", "body", "size")


class _Row(NamedTuple):
    """A value as it is written."""

    collection: int
    key: str
    body: bytes
    size: int


class StoreCollections:
    """The collections of one tenant; `Store.collections` makes it.  It has the methods of `Collections`.

    Args:
        database: Of the store.
        seal: Encrypts.
        tenant: The tenant, whose collections no other tenant can reach.
        max_mb: The limit of all values of the tenant together, in megabytes.

    """

    def __init__(
        self, database: Database, seal: Seal, tenant: str, *, max_mb: float = DEFAULT_MB
    ) -> None:
        self._database = database
        self._seal = seal
        self._tenant = tenant
        self._max_mb = max_mb

    def __repr__(self) -> str:
        return f"<StoreCollections of {self._tenant!r} in {self._database}>"

    def get(self, name: str, query: CollectionQuery) -> CollectionPage:
        """See `Collections.get`."""
        return self._retry(lambda: self._get(name, query))

    def set(self, name: str, items: Sequence[CollectionItem]) -> int:
        """See `Collections.set`."""
        bodies = [self._seal.close(item.value, self._place(name, item.key)) for item in items]
        return self._retry(lambda: self._set(name, [item.key for item in items], bodies))

    def remove(
        self, name: str, query: CollectionQuery, *, dry_run: bool = False
    ) -> tuple[int, Sequence[str]]:
        """See `Collections.remove`."""
        return self._retry(
            lambda: self._look(name, query) if dry_run else self._remove(name, query)
        )

    # --- reading ---

    def _get(self, name: str, query: CollectionQuery) -> CollectionPage:
        with self._database.read() as connection:
            number = self._find(connection, name)
            if number is None:
                return CollectionPage()
            where = _conditions(self._database, number, query)
            wanted = query.limit if not query.is_pattern or query.limit <= _FEW else None
            if wanted is None:
                wanted = _fitting(connection, where, query.limit)
            columns = (values.c.key, values.c.body, values.c.created_ms, values.c.updated_ms)
            found = sa.select(*columns).where(*where).order_by(values.c.key).limit(wanted)
            rows = connection.execute(found).all()
            items: list[CollectionItem] = []
            page_bytes = 0
            for row in rows:
                value = self._seal.open(bytes(row.body), self._place(name, row.key))
                page_bytes += len(row.key) + len(value)
                if items and page_bytes > MAX_PAGE_BYTES:
                    break  # a value has grown since its size was read
                items.append(CollectionItem(row.key, value, row.created_ms, row.updated_ms))
            if not items or not query.is_pattern:
                return CollectionPage(tuple(items))
            last = items[-1].key
            further = sa.select(values.c.key).where(*where, values.c.key > last).limit(1)
            is_last = connection.execute(further).first() is None
            return CollectionPage(tuple(items), None if is_last else last)

    def _look(self, name: str, query: CollectionQuery) -> tuple[int, list[str]]:
        with self._database.read() as connection:
            number = self._find(connection, name)
            if number is None:
                return 0, []
            where = _conditions(self._database, number, query, whole=True)
            count = connection.execute(sa.select(sa.func.count()).where(*where)).scalar_one()
            keys = sa.select(values.c.key).where(*where).order_by(values.c.key).limit(query.limit)
            return int(count), list(connection.execute(keys).scalars())

    def _find(self, connection: sa.Connection, name: str) -> int | None:
        """Return the number of a collection; None if the tenant has no such collection."""
        query = sa.select(collections.c.id).where(*self._named(name))
        found: int | None = connection.execute(query).scalar()
        return found

    def _named(self, name: str) -> tuple[sa.ColumnElement[bool], ...]:
        return collections.c.tenant == self._tenant, collections.c.name == name

    # --- writing ---

    def _set(self, name: str, keys: list[str], bodies: list[bytes]) -> int:
        with self._database.write() as connection:
            number = self._lock(connection, name, make=True)
            assert number is not None
            rows = [
                _Row(number, key, body, len(key.encode()) + len(body))
                for key, body in zip(keys, bodies, strict=True)
            ]
            replaced, old_bytes = _count_old(connection, number, keys)
            self._check_room(
                connection, sum(row.size for row in rows) - old_bytes, len(keys) - replaced
            )
            self._write(connection, rows)
            _count(connection, number, len(rows) - replaced, sum(r.size for r in rows) - old_bytes)
        return len(rows)

    def _lock(self, connection: sa.Connection, name: str, *, make: bool) -> int | None:
        """Return the number of a collection, on which no other transaction can now work."""
        query = self._database.lock_row(sa.select(collections.c.id).where(*self._named(name)))
        number: int | None = connection.execute(query).scalar()
        if number is not None or not make:
            return number
        of_tenant = collections.c.tenant == self._tenant
        known = sa.select(sa.func.count()).select_from(collections).where(of_tenant)
        if connection.execute(known).scalar_one() >= _MOST_COLLECTIONS:
            raise CollectionsError(
                f"there are {_MOST_COLLECTIONS} collections already, and more are not allowed"
            )
        # Two transactions may make it at the same time.
        new = self._insert(collections).values(
            tenant=self._tenant, name=name, value_count=0, value_bytes=0
        )
        connection.execute(new.on_conflict_do_nothing(index_elements=["tenant", "name"]))
        made: int = connection.execute(query).scalar_one()
        return made

    def _check_room(self, connection: sa.Connection, more_bytes: int, more_items: int) -> None:
        """Check that the values of the tenant may grow."""
        if more_bytes + _ITEM_BYTES * more_items <= 0:
            return
        total = sa.func.coalesce(
            sa.func.sum(collections.c.value_bytes + _ITEM_BYTES * collections.c.value_count), 0
        )
        query = sa.select(total).where(collections.c.tenant == self._tenant)
        used = int(connection.execute(query).scalar_one()) + more_bytes + _ITEM_BYTES * more_items
        if used > self._max_mb * MEGABYTE:
            raise CollectionsError(
                f"the collections would have {used / MEGABYTE:.1f} MB; allowed: {self._max_mb:g} MB",
                fix="remove values that are not needed any more",
            )

    def _write(self, connection: sa.Connection, rows: list[_Row]) -> None:
        now = self._database.now_ms
        insert = self._insert(values)
        if self._database.is_sqlite:
            given: dict[str, Any] = {column: sa.bindparam(column) for column in _GIVEN}
            statement = insert.values(**given, created_ms=now, updated_ms=now)
            parameters: Any = [row._asdict() for row in rows]
        else:  # one statement for all rows
            lists = rows_of(values, _GIVEN)
            # The values of one call get the same time.  The clock would go on from row to row.
            now = sa.literal_column("(extract(epoch from statement_timestamp()) * 1000)::bigint")
            query = sa.select(*(lists.c[column] for column in _GIVEN), now, now)
            statement = insert.from_select([*_GIVEN, "created_ms", "updated_ms"], query)
            parameters = lists_of(_GIVEN, rows)
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["collection", "key"],
                set_={"body": new.body, "size": new.size, "updated_ms": new.updated_ms},
            ),
            parameters,
        )

    def _insert(self, table: sa.Table) -> Any:
        return sqlite.insert(table) if self._database.is_sqlite else postgresql.insert(table)

    def _remove(self, name: str, query: CollectionQuery) -> tuple[int, list[str]]:
        with self._database.write() as connection:
            number = self._lock(connection, name, make=False)
            if number is None:
                return 0, []
            where = _conditions(self._database, number, query, whole=True)
            count, size = _measure(connection, where)
            connection.execute(values.delete().where(*where))
            _count(connection, number, -count, -size)
        return count, []

    # --- both ---

    def _place(self, name: str, key: str) -> str:
        """Return the place of a value, for the seal: only there it can be opened."""
        return f"value {key!r} of collection {name!r} of {self._tenant!r}"

    def _retry(self, action: Callable[[], _T]) -> _T:
        """Carry out a request, which may be repeated.  The author of a job sees no address."""
        try:
            return self._database.retry(action, RETRY_S)
        except StoreUnavailableError as error:
            raise CollectionsError(
                "the store of the collections is out of reach", retryable=True
            ) from error
        except StoreDamagedError as error:
            raise CollectionsError("the store of the collections is damaged") from error
        except StoreError as error:
            raise CollectionsError("the store of the collections cannot be used") from error


def _conditions(
    database: Database, number: int, query: CollectionQuery, *, whole: bool = False
) -> list[sa.ColumnElement[bool]]:
    """Return the conditions of a query; *whole* ignores its cursor."""
    key = values.c.key
    found = [values.c.collection == number]
    if not query.is_pattern:
        found.append(key == query.key)
    elif query.key.strip("*"):
        beginning = query.key.partition("*")[0]
        if beginning:
            found.append(key >= beginning)
        after = _after(beginning)
        if after is not None:
            found.append(key < after)
        found.append(_matches(database, query.key))
    for column, bounds in (
        (values.c.created_ms, (query.created_after_ms, query.created_before_ms)),
        (values.c.updated_ms, (query.updated_after_ms, query.updated_before_ms)),
    ):
        earliest, latest = bounds
        if earliest is not None:
            found.append(column >= earliest)
        if latest is not None:
            found.append(column <= latest)
    if query.cursor is not None and not whole:
        found.append(key > query.cursor)
    return found


def _matches(database: Database, pattern: str) -> sa.ColumnElement[bool]:
    """Return the condition that a key matches a pattern; upper and lower case differ."""
    if database.is_sqlite:
        escaped = pattern.replace("[", "[[]").replace("?", "[?]")
        return values.c.key.op("GLOB", is_comparison=True)(escaped)
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return values.c.key.like(escaped.replace("*", "%"), escape="\\")


def _after(beginning: str) -> str | None:
    """Return the smallest text that is greater than all texts with this beginning; None: there is none."""
    while beginning:
        code = ord(beginning[-1]) + 1
        if code <= 0x10FFFF:
            # UTF-8 has no surrogates.
            return beginning[:-1] + chr(0xE000 if code == 0xD800 else code)
        beginning = beginning[:-1]
    return None


def _fitting(connection: sa.Connection, where: Sequence[sa.ColumnElement[bool]], limit: int) -> int:
    """Return the number of values that fit into a page, at least 1."""
    sizes = sa.select(values.c.size).where(*where).order_by(values.c.key).limit(limit)
    page_bytes = 0
    for number, size in enumerate(connection.execute(sizes).scalars()):
        page_bytes += size
        if page_bytes > MAX_PAGE_BYTES:
            return max(1, number)
    return limit


def _count_old(connection: sa.Connection, number: int, keys: list[str]) -> tuple[int, int]:
    """Return the number of keys that have a value, and the sizes of these values together."""
    count = size = 0
    for start in range(0, len(keys), _PART):
        part = values.c.key.in_(keys[start : start + _PART])
        found = _measure(connection, [values.c.collection == number, part])
        count, size = count + found[0], size + found[1]
    return count, size


def _measure(connection: sa.Connection, where: Sequence[sa.ColumnElement[bool]]) -> tuple[int, int]:
    """Return the number of values, and their sizes together."""
    size = sa.func.coalesce(sa.func.sum(values.c.size), 0)
    row = connection.execute(sa.select(sa.func.count(), size).where(*where)).one()
    return int(row[0]), int(row[1])


def _count(connection: sa.Connection, number: int, items: int, size: int) -> None:
    """Add to the counters of a collection."""
    counters = {
        "value_count": collections.c.value_count + items,
        "value_bytes": collections.c.value_bytes + size,
    }
    connection.execute(collections.update().where(collections.c.id == number).values(**counters))
