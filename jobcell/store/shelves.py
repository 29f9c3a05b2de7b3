"""The collections of a store as its operator sees them: all tenants, names and sizes, and no values."""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa

from jobcell.store.database import Database
from jobcell.store.errors import UnknownCollectionError
from jobcell.store.schema import collection_values as values
from jobcell.store.schema import collections

_RETRY_S: Final = 30.0


class CollectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A collection of a list."""

    tenant: str
    name: str
    items: int
    bytes: int
    """The sizes of keys and values together, as they are in the database."""
    updated: float | None
    """Time of the newest value, in Unix seconds of the database's clock; None for an empty collection."""


def list_collections(database: Database, tenant: str | None = None) -> list[CollectionInfo]:
    """Return the collections of one tenant, or of all, in the order of tenants and names.

    Raises:
        StoreUnavailableError: The store is out of reach.

    """
    if tenant is not None and not tenant.isprintable():
        return []  # nothing can have it
    of_tenant = () if tenant is None else (collections.c.tenant == tenant,)
    return database.retry(lambda: _read(database, *of_tenant), _RETRY_S)


def remove_collection(database: Database, tenant: str, name: str) -> CollectionInfo:
    """Remove a collection with all its values; return what it was.

    A run that uses the name later makes a new collection.

    Raises:
        UnknownCollectionError: The tenant has no such collection.
        StoreUnavailableError: The store is out of reach.

    """
    if not (tenant + name).isprintable():
        raise _unknown(tenant, name)
    return database.retry(lambda: _remove(database, tenant, name), _RETRY_S)


def find_collection(database: Database, tenant: str, name: str) -> CollectionInfo:
    """Return one collection.

    Raises:
        UnknownCollectionError: The tenant has no such collection.
        StoreUnavailableError: The store is out of reach.

    """
    if not (tenant + name).isprintable():
        raise _unknown(tenant, name)
    found = database.retry(lambda: _read(database, *_named(tenant, name)), _RETRY_S)
    if not found:
        raise _unknown(tenant, name)
    return found[0]


def _read(database: Database, *where: sa.ColumnElement[bool]) -> list[CollectionInfo]:
    newest = (
        sa.select(sa.func.max(values.c.updated_ms))
        .where(values.c.collection == collections.c.id)
        .scalar_subquery()
    )
    query = (
        sa.select(collections, newest.label("newest_ms"))
        .where(*where)
        .order_by(collections.c.tenant, collections.c.name)
    )
    with database.read() as connection:
        return [_info(row) for row in connection.execute(query)]


def _remove(database: Database, tenant: str, name: str) -> CollectionInfo:
    query = database.lock_row(sa.select(collections).where(*_named(tenant, name)))
    with database.write() as connection:
        # The lock of the row keeps a run from setting a value between the two statements.
        row = connection.execute(query).first()
        if row is None:
            raise _unknown(tenant, name)
        of_it = values.c.collection == row.id
        newest = connection.execute(sa.select(sa.func.max(values.c.updated_ms)).where(of_it))
        found = _info(row, newest.scalar())
        connection.execute(values.delete().where(of_it))
        connection.execute(collections.delete().where(collections.c.id == row.id))
    return found


def _info(row: sa.Row[tuple[object, ...]], newest_ms: int | None = None) -> CollectionInfo:
    plain = row._mapping  # noqa: SLF001 - the public way to the columns by name
    newest = plain.get("newest_ms", newest_ms)
    return CollectionInfo(
        tenant=plain["tenant"],
        name=plain["name"],
        items=plain["value_count"],
        bytes=plain["value_bytes"],
        updated=None if newest is None else newest / 1000,
    )


def _named(tenant: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return collections.c.tenant == tenant, collections.c.name == name


def _unknown(tenant: str, name: str) -> UnknownCollectionError:
    return UnknownCollectionError(
        f"the store has no collection {name!r:.200} of the tenant {tenant!r:.200}"
    )
