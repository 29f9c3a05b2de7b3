"""The collections of a store: values under keys, for one tenant, in SQLite and in PostgreSQL."""

from __future__ import annotations

import threading
import uuid

import msgspec
import pytest
import sqlalchemy as sa

from engine import CollectionItem, CollectionQuery, CollectionsError
from jobcell.store import Store
from jobcell.store.collecting import RETRY_S
from jobcell.store.schema import SCHEMA_VERSION, collection_values, collections, meta
from protocol.collection import MAX_PAGE_BYTES, size_of
from protocol.state import encode_state

pytestmark = pytest.mark.slow  # its first test starts a PostgreSQL server

KEY = bytes(range(32))
KEYS = ["A", "a", "a%", "a?", "a[1]", "a\\b", "a_b", "ab", "aé", "a\U0010ffff", "b*".strip("*")]


def item(key: str, value: object = None) -> CollectionItem:
    return CollectionItem(key, encode_state(value))


def find(shelf, name="visits", **query) -> list[str]:
    return [found.key for found in shelf.get(name, CollectionQuery(**query)).items]


def decoded(shelf, key, name="visits"):
    [found] = shelf.get(name, CollectionQuery(key=key)).items
    return msgspec.msgpack.decode(found.value)


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex}"


@pytest.fixture
def shelf(store: Store, tenant: str):
    """The collections of a tenant that has none yet."""
    return store.collections(tenant)


def test_a_value_is_set_replaced_and_removed(shelf):
    """A set of the same key again replaces the value, and keeps the time of the first one."""
    assert shelf.set("visits", [item("a", 1), item("b", 2)]) == 2
    [first] = shelf.get("visits", CollectionQuery(key="b")).items
    assert shelf.set("visits", [item("b", {"n": [3]}), item("c", None)]) == 2
    assert (decoded(shelf, "a"), decoded(shelf, "b"), decoded(shelf, "c")) == (1, {"n": [3]}, None)
    [a], [b] = (shelf.get("visits", CollectionQuery(key=key)).items for key in "ab")
    assert a.created_ms == a.updated_ms
    assert first.created_ms == b.created_ms <= b.updated_ms
    assert shelf.remove("visits", CollectionQuery(key="b")) == (1, [])
    assert find(shelf) == ["a", "c"]
    assert shelf.remove("visits", CollectionQuery(key="b")) == (0, [])
    assert shelf.remove("nothing", CollectionQuery()) == (0, [])
    assert find(shelf, "nothing") == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", sorted(KEYS)),
        ("a*", sorted(key for key in KEYS if key.startswith("a"))),
        ("a", ["a"]),
        ("a%*", ["a%"]),
        ("*_*", ["a_b"]),
        ("a?*", ["a?"]),
        ("a[*", ["a[1]"]),
        ("a\\*", ["a\\b"]),
        ("*b", ["a\\b", "a_b", "ab", "b"]),
        ("A*", ["A"]),
        ("*é*", ["aé"]),
        ("a\U0010ffff*", ["a\U0010ffff"]),
        ("a*[*]", ["a[1]"]),
        ("z*", []),
        ("**a**", sorted(key for key in KEYS if "a" in key)),
    ],
)
def test_a_star_is_the_only_wildcard(shelf, pattern, found):
    """Both databases compare the bytes of the keys, and give them in the same order."""
    shelf.set("visits", [item(key) for key in KEYS])
    assert find(shelf, key=pattern) == found
    assert shelf.remove("visits", CollectionQuery(key=pattern), dry_run=True) == (len(found), found)
    assert shelf.remove("visits", CollectionQuery(key=pattern)) == (len(found), [])
    assert find(shelf) == sorted(set(KEYS) - set(found))


def test_pages_go_on_at_the_cursor_until_there_is_none(shelf):
    """Each value comes once, in the order of the keys."""
    shelf.set("visits", [item(f"k{n:02}") for n in range(25)])
    seen, cursor, sizes = [], None, []
    while True:
        query = CollectionQuery(key="k*", limit=10, cursor=cursor)
        page = shelf.get("visits", query)
        seen += [found.key for found in page.items]
        sizes.append(len(page.items))
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [f"k{n:02}" for n in range(25)]
    assert sizes == [10, 10, 5]
    exact = shelf.get("visits", CollectionQuery(limit=25))
    assert (len(exact.items), exact.cursor) == (25, None)


def test_a_page_is_not_larger_than_a_message(shelf):
    """Large values come in more pages, but at least one at a time."""
    large = bytes(900_000)
    for start in (0, 8):
        shelf.set("visits", [item(f"k{n:02}", large) for n in range(start, start + 8)])
    first = shelf.get("visits", CollectionQuery())
    assert 1 <= len(first.items) < 16
    assert size_of(first.items) <= MAX_PAGE_BYTES
    rest = shelf.get("visits", CollectionQuery(cursor=first.cursor))
    assert len(first.items) + len(rest.items) == 16
    assert rest.cursor is None


def test_times_choose_values(store, shelf):
    """The times are those of the database; bounds belong to the range."""
    shelf.set("visits", [item("old"), item("new")])
    with store.database.write() as connection:
        number = connection.execute(
            sa.select(collections.c.id).where(collections.c.tenant == shelf._tenant)
        ).scalar_one()
        old = (collection_values.c.collection == number) & (collection_values.c.key == "old")
        connection.execute(
            collection_values.update().where(old).values(created_ms=1000, updated_ms=2000)
        )
    assert find(shelf, created_before_ms=1000) == ["old"]
    assert find(shelf, created_before_ms=999) == []
    assert find(shelf, created_after_ms=1000) == ["new", "old"]
    assert find(shelf, created_after_ms=1001) == ["new"]
    assert find(shelf, updated_after_ms=2000, updated_before_ms=2000) == ["old"]
    assert find(shelf, updated_after_ms=2001) == ["new"]
    assert shelf.remove("visits", CollectionQuery(created_before_ms=1000)) == (1, [])
    assert find(shelf) == ["new"]


def test_tenants_and_collections_are_apart(store, shelf, tenant):
    """The same names and keys of two tenants are different values."""
    other = store.collections(f"{tenant}-2")
    shelf.set("visits", [item("a", "mine")])
    shelf.set("seen", [item("a", "also mine")])
    assert find(other) == []
    other.set("visits", [item("a", "theirs")])
    other.remove("visits", CollectionQuery())
    assert decoded(shelf, "a") == "mine"
    assert decoded(shelf, "a", "seen") == "also mine"


def test_a_set_is_carried_out_as_a_whole_or_not_at_all(shelf):
    """A value in the middle that the database refuses takes all others back."""
    shelf.set("visits", [item("a", 1)])
    broken = CollectionItem("c", None)
    with pytest.raises(Exception):  # noqa: B017 - whatever the driver says about None
        shelf.set("visits", [item("a", 2), item("b", 2), broken])
    assert find(shelf) == ["a"]
    assert decoded(shelf, "a") == 1


def test_two_sets_at_once_do_not_mix(shelf):
    """Two jobs that set the same keys leave the values of one of them, and right counters."""
    keys = [f"k{n:03}" for n in range(200)]
    ready = threading.Barrier(4)

    def write(number: int) -> None:
        ready.wait()
        for _ in range(5):
            shelf.set("visits", [item(key, number) for key in keys])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    values = {
        msgspec.msgpack.decode(found.value)
        for found in shelf.get("visits", CollectionQuery()).items
    }
    assert len(values) == 1
    check_counters(shelf)


def check_counters(shelf) -> None:
    """Compare the counters of the collections of a tenant with their values."""
    with shelf._database.read() as connection:
        mine = collections.c.tenant == shelf._tenant
        for row in connection.execute(sa.select(collections).where(mine)).all():
            sizes = sa.select(sa.func.count(), sa.func.sum(collection_values.c.size))
            of_it = collection_values.c.collection == row.id
            count, size = connection.execute(sizes.where(of_it)).one()
            assert (row.value_count, row.value_bytes) == (count, size or 0)


def test_the_values_of_a_tenant_have_a_limit(store, tenant):
    """A set beyond it is refused. A value that is there can still be replaced by a smaller one, and removed."""
    small = store.collections(tenant, max_mb=0.01)
    small.set("visits", [item("a", "x" * 5_000)])
    with pytest.raises(CollectionsError, match=r"allowed: 0\.01 MB") as caught:
        small.set("seen", [item("b", "x" * 5_000)])
    assert caught.value.fix == "remove values that are not needed any more"
    assert find(small, "seen") == []
    small.set("visits", [item("a", "x")])
    small.set("seen", [item("b", "x" * 5_000)])
    small.remove("seen", CollectionQuery())
    check_counters(small)
    with pytest.raises(CollectionsError, match="MB; allowed"):
        small.set("visits", [item(f"k{n}") for n in range(200)])  # small values are not free


def test_arguments_of_a_store_are_checked(store):
    """A mistake is an error with the value."""
    with pytest.raises(TypeError, match="tenant must be text, not int"):
        store.collections(7)
    with pytest.raises(ValueError, match="tenant must not be empty"):
        store.collections("")
    with pytest.raises(ValueError, match="max_mb must be a number above 0, not 0"):
        store.collections("acme", max_mb=0)


def test_with_a_key_the_values_are_encrypted(store_url):
    """Nothing of a value is in the database, and a value that was moved to another key cannot be read."""
    with Store.open(store_url, key=KEY) as store:
        shelf = store.collections("acme")
        shelf.set("visits", [item("a", "the value in clear"), item("b", 2)])
        assert decoded(shelf, "a") == "the value in clear"
        with store.database.write() as connection:
            bodies = connection.execute(sa.select(collection_values.c.body)).scalars().all()
            assert all(b"the value in clear" not in bytes(body) for body in bodies)
            of_b = collection_values.update().where(collection_values.c.key == "b")
            a = sa.select(collection_values.c.body).where(collection_values.c.key == "a")
            connection.execute(of_b.values(body=a.scalar_subquery()))
        with pytest.raises(CollectionsError, match="the store of the collections is damaged"):
            shelf.get("visits", CollectionQuery(key="b"))


def test_a_store_of_the_first_version_gets_the_tables(store_url):
    """A store that was made before there were collections goes on, and keeps its identity."""
    with Store.open(store_url) as store:
        known = store.facts.store_id
        with store.database.write() as connection:
            collection_values.drop(connection)
            collections.drop(connection)
            connection.execute(meta.update().values(schema_version=1))
    with Store.open(store_url) as store:
        assert (store.facts.store_id, store.facts.schema_version) == (known, SCHEMA_VERSION)
        assert store.facts.readable_from == 1
        shelf = store.collections()
        shelf.set("visits", [item("a", 1)])
        assert decoded(shelf, "a") == 1


def test_an_author_does_not_see_the_address_of_a_store(store_url):
    """The error of a request names the trouble, and not the host."""
    with Store.open(store_url) as store:
        shelf = store.collections()
    with pytest.raises(CollectionsError, match=r"^the store of the collections cannot be used$"):
        shelf.get("visits", CollectionQuery())
    assert RETRY_S < 30  # the default of resolve_timeout_s
