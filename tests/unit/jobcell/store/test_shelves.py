"""The operator of a store lists the collections of all tenants, and removes one, in both databases."""

from __future__ import annotations

import threading
import uuid

import pytest
import sqlalchemy as sa

from engine import CollectionItem, CollectionQuery
from jobcell.store import (
    Store,
    UnknownCollectionError,
    find_collection,
    list_collections,
    remove_collection,
)
from jobcell.store.schema import collection_values
from protocol.state import encode_state

pytestmark = pytest.mark.slow  # its first test starts a PostgreSQL server


def item(key: str, value: object = None) -> CollectionItem:
    return CollectionItem(key, encode_state(value))


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex}"


def test_the_list_has_names_sizes_and_times_of_all_tenants(store: Store, tenant: str):
    """It is in the order of tenants and names; an empty collection has no newest value."""
    other = f"{tenant}-b"
    store.collections(tenant).set("visits", [item("a", 1), item("b", "long" * 100)])
    store.collections(tenant).set("codes", [item("a")])
    store.collections(tenant).remove("codes", CollectionQuery())
    store.collections(other).set("visits", [item("a")])
    [value] = store.collections(other).get("visits", CollectionQuery(key="a")).items

    ours = [one for one in list_collections(store.database) if one.tenant.startswith(tenant)]
    assert [(one.tenant, one.name, one.items) for one in ours] == [
        (tenant, "codes", 0),
        (tenant, "visits", 2),
        (other, "visits", 1),
    ]
    assert (ours[0].bytes, ours[0].updated) == (0, None)
    assert ours[1].bytes > 400
    assert ours[2].updated == value.updated_ms / 1000
    assert list_collections(store.database, other) == [ours[2]]
    assert find_collection(store.database, tenant, "visits") == ours[1]
    assert list_collections(store.database, "nobody\x00") == []


def test_a_collection_is_removed_with_its_values_and_no_other(store: Store, tenant: str):
    """The same name of another tenant stays, and the name can be used again."""
    mine, theirs = store.collections(tenant), store.collections(f"{tenant}-b")
    for shelf in (mine, theirs):
        shelf.set("visits", [item("a"), item("b")])
    mine.set("codes", [item("a")])
    before = find_collection(store.database, tenant, "visits")
    assert remove_collection(store.database, tenant, "visits") == before
    assert mine.get("visits", CollectionQuery()).items == ()
    assert len(theirs.get("visits", CollectionQuery()).items) == 2
    assert len(mine.get("codes", CollectionQuery()).items) == 1
    for missing in ("visits", "Codes", "\udc80", "a\x00"):
        with pytest.raises(UnknownCollectionError, match="has no collection"):
            remove_collection(store.database, tenant, missing)
        with pytest.raises(UnknownCollectionError):
            find_collection(store.database, tenant, missing)
    mine.set("visits", [item("c")])
    assert [one.key for one in mine.get("visits", CollectionQuery()).items] == ["c"]


def test_a_run_that_writes_meanwhile_loses_nothing_and_leaves_nothing(store: Store, tenant: str):
    """A set comes before the removal or makes a new collection. Each value belongs to a collection."""
    shelf = store.collections(tenant)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(40):
                shelf.set("visits", [item(f"k{number}")])
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    removed = 0
    while writer.is_alive():
        try:
            removed += remove_collection(store.database, tenant, "visits").items
        except UnknownCollectionError:
            pass
    writer.join()
    assert failures == []
    left = shelf.get("visits", CollectionQuery()).items
    assert removed + len(left) == 40
    numbers = {one.items for one in list_collections(store.database, tenant)}
    assert numbers <= {len(left)}
    known = sa.text("SELECT id FROM jobcell_collections")
    with store.database.read() as connection:
        ids = set(connection.execute(known).scalars())
        used = set(connection.execute(sa.select(collection_values.c.collection)).scalars())
    assert used <= ids
