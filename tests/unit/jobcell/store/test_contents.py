"""Contents in a store: once by hash, compressed, encrypted if there is a key, and checked when read."""

from __future__ import annotations

import base64
import json
import os

import pytest
import sqlalchemy as sa
from store_runs import CHAIN, JOB, carry_out, everything, write_events

from jobcell.store import Store, StoreDamagedError, StoreKeyError, StoreUrlError, blobs, events

pytestmark = pytest.mark.slow  # each test has a store of its own

KEY = bytes(range(32))
MARK = "a-word-that-must-not-be-found"


@pytest.fixture
def closed(store_url):
    """A store without runs, with a key."""
    with Store.open(store_url, key=KEY) as opened:
        yield opened


def address(store):
    url = store.database.url
    if store.database.is_sqlite:
        return f"sqlite:///{url.database}"
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.slow
def test_with_a_key_nothing_of_a_plan_a_state_an_event_or_a_result_is_readable(closed, eng):
    """Plan, states, events, records, errors and results are encrypted; ids and times are not."""
    job = f"def main(s):\n    print('{MARK}')\n    return {{'out': '{MARK}', 'in': s['x']}}\n"
    failing = f"def main(s):\n    raise ValueError('{MARK}')\n"
    for number, source in enumerate((job, failing)):
        run = closed.enqueue(source, {"x": MARK}, id=f"visible-{number}")
        carry_out(closed, eng, run.id)
        assert MARK in str(run.poll(after=0))
        assert MARK in str(run.result())
    stored = everything(closed)

    for form in (MARK.encode(), base64.b64encode(MARK.encode()), MARK.encode().hex().encode()):
        assert form not in stored
    assert KEY not in stored
    assert KEY.hex().encode() not in stored
    assert b"visible-0" in stored


@pytest.mark.slow
def test_without_a_key_the_same_words_are_readable(fresh, eng):
    """The twin: it shows that the search above finds what is there."""
    run = fresh.enqueue(f"def main(s):\n    print('{MARK}')\n    return s\n")
    carry_out(fresh, eng, run.id)

    assert MARK.encode() in everything(fresh)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (None, "is encrypted; give its key in JOBCELL_STORE_KEY"),
        (bytes(32), "is not that of the store"),
        (b"short", "must have 32 bytes, not 5"),
    ],
    ids=["missing", "wrong", "short"],
)
def test_a_wrong_key_is_one_clear_error_when_the_store_is_opened(closed, key, words):
    """No run can then be enqueued with it either."""
    with pytest.raises(StoreKeyError, match=words):
        Store.open(address(closed), key=key)


def test_a_key_for_a_store_with_runs_and_without_encryption_is_refused(fresh):
    """Half of the contents would stay readable."""
    fresh.enqueue(JOB)
    with pytest.raises(StoreKeyError, match="is not encrypted"):
        Store.open(address(fresh), key=KEY)


def test_an_empty_store_takes_the_first_key_that_it_is_opened_with(fresh):
    """`jobcell store migrate` may have run before the key was there."""
    with Store.open(address(fresh), key=KEY) as store:
        store.enqueue(JOB)
    with pytest.raises(StoreKeyError):
        Store.open(address(fresh))


@pytest.mark.parametrize("form", ["hex", "base64", "base64url"])
def test_the_environment_gives_the_key_in_three_forms(closed, monkeypatch, form):
    """As the key of a journal."""
    texts = {
        "hex": KEY.hex(),
        "base64": base64.b64encode(KEY).decode(),
        "base64url": base64.urlsafe_b64encode(KEY).decode(),
    }
    monkeypatch.setenv("JOBCELL_STORE_KEY", texts[form])
    with Store.open(address(closed)) as store:
        assert store.is_encrypted


def test_a_key_of_another_type_is_a_type_error(tmp_path):
    """Text would have to be decoded first."""
    with pytest.raises(TypeError, match="must be bytes, not str"):
        Store.open(tmp_path / "runs.db", key="x" * 32)


def test_equal_contents_of_two_stores_have_other_names_with_other_keys(tmp_path):
    """Otherwise the name would confirm a guess."""
    names = set()
    for number, key in enumerate((KEY, bytes(32), None)):
        with Store.open(tmp_path / f"{number}.db", key=key) as store:
            names.add(store.blobs.name(b"a guess").key)
    assert len(names) == 3


def test_an_encrypted_row_in_another_place_is_not_accepted(closed, eng):
    """Somebody who can write to the database cannot move an event to another run."""
    first, second = closed.enqueue(JOB), closed.enqueue(JOB)
    for run in (first, second):
        made = eng.execute({"id": run.id, "workflow": {"steps": [{"expression": JOB}]}})
        made.result(30)
        write_events(closed, run.id, made.poll(after=0)[:2])
    with closed.database.write() as connection:
        body = connection.execute(
            sa.select(events.c.body).where(events.c.run_id == second.id, events.c.seq == 1)
        ).scalar_one()
        connection.execute(
            events.update().where(events.c.run_id == first.id, events.c.seq == 1).values(body=body)
        )
    with pytest.raises(StoreDamagedError, match=f"event 1 of {first.id} cannot be decrypted"):
        first.poll(after=0)
    assert len(second.poll(after=0)) == 2


@pytest.mark.parametrize("change", ["other", "cut", "gone"])
def test_a_content_that_was_changed_is_reported_and_not_used(fresh, change):
    """Its hash is checked whenever it is read."""
    run = fresh.enqueue(CHAIN, {"n": 1, "text": "x" * 500})
    with fresh.database.write() as connection:
        if change == "gone":
            connection.execute(blobs.delete())
        elif change == "other":
            connection.execute(blobs.update().values(body=b"other", encoding="raw"))
        else:
            connection.execute(blobs.update().values(body=b"x\x9c\x01"))
    words = r"is missing|has another hash"
    with pytest.raises(StoreDamagedError, match=words), fresh.database.read() as connection:
        fresh.reader.stored(connection, run.id)


def test_a_transaction_with_a_huge_content_may_pause_for_longer(fresh):
    """On a busy machine it takes longer to pack 100 MB than a transaction may pause otherwise."""
    if fresh.database.is_sqlite:
        pytest.skip("SQLite has no such limit")

    def limit_s(connection):
        query = "select extract(epoch from current_setting('idle_in_transaction_session_timeout')::interval)"
        return float(connection.execute(sa.text(query)).scalar_one())

    small, huge = fresh.blobs.name(b"small"), fresh.blobs.name(os.urandom(3_000_000))
    with fresh.database.write() as connection:
        usual_s = limit_s(connection)
        fresh.blobs.write(connection, [small])
        fresh.blobs.read(connection, [small.key])
        assert limit_s(connection) == usual_s
        fresh.blobs.write(connection, [huge])
        assert limit_s(connection) > usual_s + 3
    with fresh.database.write() as connection:
        assert limit_s(connection) == usual_s
        assert fresh.blobs.read(connection, [huge.key]) == {huge.key: huge.content}
        assert limit_s(connection) > usual_s + 3


@pytest.mark.parametrize("key", [None, KEY], ids=["open", "encrypted"])
def test_a_huge_content_is_packed_before_the_transaction(tmp_path, key):
    """Others can write while it is compressed. A content that the store has is not packed again."""
    with Store.open(tmp_path / "runs.db", key=key) as store:
        small, huge = store.blobs.name(b"small" * 99), store.blobs.name(MARK.encode() * 99_999)
        packed = store.blobs.upload([small, huge])
        assert packed.keys() == {huge.key}
        with store.database.write() as connection:
            store.blobs.write(connection, [small, huge], uploaded=packed)
        with store.database.read() as connection:
            row = connection.execute(sa.select(blobs).where(blobs.c.key == huge.key)).one()
            assert row.body == packed[huge.key]["body"]
            assert store.blobs.read(connection, [huge.key]) == {huge.key: huge.content}
        assert store.blobs.upload([huge]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY], ids=["open", "encrypted"])
def test_large_contents_go_to_the_object_store_and_small_ones_do_not(
    tmp_path, new_store_url, eng, key
):
    """The database keeps the name of the object; the object is compressed, and encrypted with a key."""
    place = tmp_path / "objects"
    objects = f"file://{place}"
    rows = [f"{MARK} {number}" for number in range(20_000)]
    with Store.open(new_store_url, key=key, objects=objects) as store:
        run = store.enqueue(JOB, {"data": rows})
        carry_out(store, eng, run.id)
        assert run.result().state == {"data": rows}
        files = [path for path in place.rglob("*") if path.is_file()]
        with store.database.read() as connection:
            found = connection.execute(sa.select(blobs)).all()
    assert len(files) == 1
    assert files[0].stat().st_size < 200_000
    assert MARK.encode() not in files[0].read_bytes()
    assert [row.url is not None for row in found] == [row.size > 64_000 for row in found]
    words = "name it with JOBCELL_STORE_OBJECTS"
    with Store.open(new_store_url, key=key) as store, pytest.raises(StoreDamagedError, match=words):
        store.run(run.id).result()
    with Store.open(new_store_url, key=key, objects=objects) as store:
        files[0].write_bytes(os.urandom(100))
        with pytest.raises(StoreDamagedError):
            store.run(run.id).result()
        files[0].unlink()
        with pytest.raises(StoreDamagedError, match="lacks an object"):
            store.run(run.id).result()


@pytest.mark.parametrize(
    ("objects", "words"),
    [("bucket/x", "is not the URL of an object store"), ("nonsense://x", "nonsense")],
)
def test_a_wrong_address_of_objects_is_a_url_error(tmp_path, objects, words):
    """The text quotes it."""
    with pytest.raises(StoreUrlError, match=words):
        Store.open(tmp_path / "runs.db", objects=objects)


def test_an_error_of_the_database_does_not_show_contents(fresh):
    """A traceback of a program may be in its log."""
    with fresh.database.write() as connection:
        connection.execute(sa.text("drop table jobcell_records"))
        connection.execute(sa.text("drop table jobcell_blobs"))
    with pytest.raises(StoreDamagedError) as caught:
        fresh.enqueue(JOB, {"secret": MARK})
    chain = [caught.value]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    assert len(chain) > 1
    assert MARK not in "".join(map(str, chain))
    assert json.dumps(MARK) not in "".join(map(repr, chain))
