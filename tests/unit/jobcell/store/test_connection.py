"""A run enqueued in the transaction of a caller shares its fate."""

from __future__ import annotations

import sqlite3
import threading

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.orm import Session
from store_runs import CHAIN, JOB

from jobcell.store import RunConflictError, Store, StoreError, blobs, workflow_status

pytestmark = pytest.mark.slow  # each test has a store of its own


def driver_url(store):
    """Return the address for psycopg, or the file for sqlite3."""
    url = store.database.url
    if store.database.is_sqlite:
        return url.database
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Caller:
    """A connection of a caller, with the calls that end its transaction."""

    def __init__(self, kind, store):
        self.closing = []
        if kind == "driver":
            connect = sqlite3.connect if store.database.is_sqlite else psycopg.connect
            self.connection = connect(driver_url(store))
            self.closing.append(self.connection.close)
        else:
            self.engine = sa.create_engine(store.database.url)
            made = self.engine.connect() if kind == "sqlalchemy" else Session(self.engine)
            self.connection = made
            self.closing += [made.close, self.engine.dispose]

    def execute(self, statement):
        if isinstance(self.connection, sqlite3.Connection | psycopg.Connection):
            return (
                self.connection.execute(statement).fetchall()
                if "select" in statement
                else (self.connection.execute(statement))
            )
        done = self.connection.execute(sa.text(statement))
        return done.fetchall() if done.returns_rows else done

    def close(self):
        for close in self.closing:
            close()


@pytest.fixture(params=["driver", "sqlalchemy", "session"])
def caller(request, store):
    with store.database.write() as connection:
        connection.execute(sa.text("create table if not exists orders (id text primary key)"))
        connection.execute(sa.text("delete from orders"))
    made = Caller(request.param, store)
    yield made
    made.close()


def orders(store):
    with store.database.read() as connection:
        return [row[0] for row in connection.execute(sa.text("select id from orders order by id"))]


def exists(store, run_id):
    try:
        store.run(run_id)
    except LookupError:
        return False
    return True


def test_a_run_exists_when_the_callers_transaction_is_committed(store, caller):
    """Before that nobody else sees it; afterwards its handle is good."""
    caller.execute("insert into orders values ('17')")
    run = store.enqueue(CHAIN, {"n": 1}, connection=caller.connection, tenant="callers")
    assert not exists(store, run.id)
    caller.connection.commit()

    assert exists(store, run.id)
    assert not run.done
    assert orders(store) == ["17"]
    with store.database.read() as connection:
        assert store.reader.stored(connection, run.id).state == {"n": 1}


def test_a_run_without_a_statement_before_is_committed_too(store, caller):
    """The call begins the transaction, as any statement of the caller would."""
    run = store.enqueue(JOB, connection=caller.connection)
    assert not exists(store, run.id)
    caller.connection.commit()

    assert exists(store, run.id)


def test_a_run_in_a_transaction_that_rolls_back_never_existed(store, caller):
    """Neither the run nor the caller's own rows are there, and the id is free."""
    caller.execute("insert into orders values ('18')")
    run = store.enqueue(CHAIN, {"n": 1}, id="rolled back", connection=caller.connection)
    caller.connection.rollback()

    assert orders(store) == []
    with pytest.raises(LookupError, match="'rolled back'"):
        run.poll()
    assert store.enqueue(JOB, id="rolled back").id == "rolled back"
    with store.database.write() as connection:
        connection.execute(sa.text("delete from jobcell_runs where id = 'rolled back'"))
        name = "workflow_status" if store.database.is_sqlite else "dbos.workflow_status"
        connection.execute(sa.text(f"delete from {name} where workflow_uuid = 'rolled back'"))


def test_an_error_leaves_the_callers_transaction_as_it_was(store, caller):
    """The caller may go on and commit its own rows."""
    store.enqueue(CHAIN, {"n": 1}, id="taken")
    caller.execute("insert into orders values ('19')")
    with pytest.raises(RunConflictError):
        store.enqueue(CHAIN, {"n": 2}, id="taken", connection=caller.connection)
    caller.execute("insert into orders values ('20')")
    caller.connection.commit()

    assert orders(store) == ["19", "20"]


def test_two_runs_in_one_transaction_are_two_runs(store, caller):
    """The second call finds the transaction begun."""
    first = store.enqueue(JOB, connection=caller.connection)
    second = store.enqueue(JOB, connection=caller.connection)
    again = store.enqueue(JOB, id=second.id, connection=caller.connection)
    caller.connection.commit()

    assert exists(store, first.id)
    assert exists(store, second.id)
    assert again.id == second.id


def test_a_connection_with_rows_of_another_form_keeps_them(store):
    """The row factory of the caller is not ours."""
    if store.database.is_sqlite:
        connection = sqlite3.connect(driver_url(store))
        connection.row_factory = sqlite3.Row
    else:
        connection = psycopg.connect(driver_url(store), row_factory=dict_row)
    run = store.enqueue(JOB, connection=connection)
    row = connection.execute(f"select status from jobcell_runs where id = '{run.id}'").fetchone()

    assert row["status"] == "queued"
    connection.commit()
    connection.close()
    assert exists(store, run.id)


def test_a_connection_that_commits_each_statement_enqueues_all_or_nothing(store):
    """Without a transaction of the caller, the call is one of its own."""
    if store.database.is_sqlite:
        connection = sqlite3.connect(driver_url(store), isolation_level=None)
    else:
        connection = psycopg.connect(driver_url(store), autocommit=True)
    run = store.enqueue(JOB, id="by itself", connection=connection)
    with pytest.raises(RunConflictError):
        store.enqueue(CHAIN, id="by itself", connection=connection)

    assert exists(store, run.id)
    assert not (connection.in_transaction if store.database.is_sqlite else False)
    connection.execute("select 1")
    connection.close()


def test_a_connection_of_sqlalchemy_that_commits_each_statement_enqueues_all_or_nothing(store):
    """The isolation level AUTOCOMMIT of SQLAlchemy is the same."""
    made = sa.create_engine(store.database.url, isolation_level="AUTOCOMMIT")
    with made.connect() as connection:
        run = store.enqueue(JOB, connection=connection)
        assert exists(store, run.id)
        with pytest.raises(RunConflictError):
            store.enqueue(CHAIN, id=run.id, connection=connection)
    made.dispose()


def test_a_connection_in_a_with_statement_of_sqlalchemy_commits_at_its_end(store):
    """The usual form of SQLAlchemy: ``engine.begin()``."""
    made = sa.create_engine(store.database.url)
    with made.begin() as connection:
        run = store.enqueue(JOB, connection=connection)
        assert not exists(store, run.id)
    assert exists(store, run.id)
    with Session(made) as session, session.begin() as transaction:
        gone = store.enqueue(JOB, connection=session)
        transaction.rollback()
    assert not exists(store, gone.id)
    made.dispose()


def test_an_open_transaction_of_a_caller_does_not_hold_up_others(shared_url, store):
    """In PostgreSQL others enqueue the same plan meanwhile; SQLite has one writer at a time."""
    if store.database.is_sqlite:
        pytest.skip("SQLite lets one transaction write at a time")
    plan = {"workflow": {"steps": [{"id": "unseen", "expression": JOB}]}}
    with psycopg.connect(driver_url(store)) as connection:
        store.enqueue(plan, {"held": True}, connection=connection)
        with Store.open(shared_url) as other:
            done = threading.Event()

            def enqueue():
                other.enqueue(plan, {"held": True})
                done.set()

            thread = threading.Thread(target=enqueue)
            thread.start()
            assert done.wait(20)
            thread.join()
        connection.rollback()


def test_a_connection_to_another_database_is_one_clear_error(store, tmp_path, request):
    """The error names both, and nothing was written."""
    if store.database.is_sqlite:
        others = [sqlite3.connect(tmp_path / "other.db"), sqlite3.connect(":memory:")]
    else:
        others = [psycopg.connect(request.getfixturevalue("postgres").url())]
    engine = sa.create_engine(
        "sqlite://"
        if store.database.is_sqlite
        else request.getfixturevalue("postgres").url().replace("postgresql:", "postgresql+psycopg:")
    )
    with engine.connect() as foreign:
        for connection in (*others, foreign):
            with pytest.raises(StoreError, match="leads to another database") as caught:
                store.enqueue(JOB, connection=connection)
            assert str(store.database) in str(caught.value)
    for connection in others:
        connection.close()
    engine.dispose()


def test_a_connection_to_another_kind_of_database_is_one_clear_error(store, postgres):
    """The error names both kinds."""
    if store.database.is_sqlite:
        connection = psycopg.connect(postgres.url())
    else:
        connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreError, match=r"leads to (sqlite|postgresql), and the store is"):
        store.enqueue(JOB, connection=connection)
    connection.close()


def test_a_store_copied_with_its_identity_is_another_database(store, tmp_path):
    """A copy of a file has the same id of a store, and is not the store."""
    if not store.database.is_sqlite:
        pytest.skip("a copy of a PostgreSQL database has another name")
    copy = sqlite3.connect(tmp_path / "copy.db")
    with sqlite3.connect(driver_url(store)) as source:
        source.backup(copy)
    source.close()
    with pytest.raises(StoreError, match="leads to another database"):
        store.enqueue(JOB, connection=copy)
    copy.close()


def test_a_closed_connection_and_a_failed_transaction_are_clear_errors(store):
    """Neither is a traceback of a driver."""
    connect = sqlite3.connect if store.database.is_sqlite else psycopg.connect
    connection = connect(driver_url(store))
    if not store.database.is_sqlite:
        with pytest.raises(psycopg.Error):
            connection.execute("select * from nothing_of_this_name")
        with pytest.raises(StoreError, match="current transaction is aborted"):
            store.enqueue(JOB, connection=connection)
    connection.close()
    with pytest.raises(StoreError, match="closed"):
        store.enqueue(JOB, connection=connection)


def test_an_asynchronous_connection_is_told_how(store):
    """SQLAlchemy and psycopg have two kinds of connections each."""
    import asyncio

    if store.database.is_sqlite:
        pytest.skip("one kind of asynchronous connection is enough")

    async def main():
        async with await psycopg.AsyncConnection.connect(driver_url(store)) as connection:
            with pytest.raises(
                TypeError,
                match=r"not psycopg\.AsyncConnection|not psycopg\.connection_async\.AsyncConnection",
            ):
                store.enqueue(JOB, connection=connection)
        from sqlalchemy.ext.asyncio import create_async_engine

        made = create_async_engine(store.database.url)
        async with made.connect() as connection:
            with pytest.raises(TypeError, match="run_sync"):
                store.enqueue(JOB, connection=connection)
            run = await connection.run_sync(lambda sync: store.enqueue(JOB, connection=sync))
            assert not exists(store, run.id)
            await connection.commit()
        await made.dispose()
        assert exists(store, run.id)

    asyncio.run(main())


def test_a_content_in_a_callers_transaction_is_a_copy_of_its_own(store):
    """Otherwise a worker that stores the same content would wait for the caller."""
    with store.database.engine.begin() as connection:
        run = store.enqueue(
            {"workflow": {"steps": [{"id": "own", "expression": JOB}]}}, connection=connection
        )
        found = connection.execute(
            sa.select(blobs.c.key).where(blobs.c.key.like(f"%-{run.id}"))
        ).all()
    assert len(found) == 1


@pytest.mark.parametrize("plan", [CHAIN, JOB], ids=["same", "other"])
def test_a_run_that_another_transaction_is_just_adding_is_the_same_run_or_a_conflict(
    store, shared_url, plan
):
    """The second call waits for the first transaction, and then compares."""
    if store.database.is_sqlite:
        pytest.skip("SQLite lets one transaction write at a time")
    run_id = f"just now {len(str(plan))}"
    outcome = []

    def enqueue():
        try:
            outcome.append(store.enqueue(plan, {"n": 1}, id=run_id).id)
        except RunConflictError as error:
            outcome.append(error)

    with psycopg.connect(driver_url(store)) as connection:
        store.enqueue(CHAIN, {"n": 1}, id=run_id, connection=connection)
        thread = threading.Thread(target=enqueue)
        thread.start()
        waiting = "select count(*) from pg_locks where not granted"
        with psycopg.connect(driver_url(store), autocommit=True) as other:
            while thread.is_alive() and other.execute(waiting).fetchone()[0] == 0:
                pass
        connection.commit()
    thread.join(30)

    assert outcome == [run_id] if plan is CHAIN else isinstance(outcome[0], RunConflictError)
    with store.database.read() as connection:
        query = sa.select(sa.func.count()).select_from(workflow_status)
        found = connection.execute(query.where(workflow_status.c.workflow_uuid == run_id))
        assert found.scalar_one() == 1


def test_a_transaction_that_begins_with_a_run_takes_the_write_lock_first(store, caller):
    """Otherwise it fails at once if somebody writes meanwhile, and does not wait for its turn."""
    if not store.database.is_sqlite:
        pytest.skip("PostgreSQL locks rows")
    held = caller.connection
    held = held.connection() if isinstance(held, Session) else held
    driver = held if isinstance(held, sqlite3.Connection) else held.connection.driver_connection
    said = []
    driver.set_trace_callback(said.append)
    store.enqueue(JOB, connection=caller.connection)
    caller.connection.rollback()
    begins = [text for text in said if text.startswith(("BEGIN", "SAVEPOINT"))]
    assert begins[0] == "BEGIN IMMEDIATE"
