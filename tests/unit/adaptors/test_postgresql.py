"""The verbs of `postgresql`, against a real server."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import math
import socket
import threading
import uuid as uuids
from collections.abc import Iterator
from typing import Any

import postgresql
import psycopg
import pytest
from postgresql import (
    ArgumentError,
    DatabaseError,
    UnreachableError,
    connections,
    copy_rows,
    describe_table,
    find_value,
    insert,
    insert_many,
    insert_table,
    modify_table,
    sql,
    transaction,
    upsert,
    upsert_if,
    upsert_many,
)

pytestmark = pytest.mark.slow

State = dict[str, Any]


@pytest.fixture
def state(postgres_url: str) -> Iterator[State]:
    """A state with the configuration of an empty database."""
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    configuration = {
        "host": parts["host"],
        "port": int(parts["port"]),
        "database": parts["dbname"],
        "user": parts["user"],
        "password": "pass-word-1",
    }
    yield {"configuration": configuration, "data": {"n": 1}}
    connections.close_all()


@pytest.fixture
def table(state: State) -> State:
    """The same, with a table."""
    make(state, "id int primary key, name text, born date, tags text[], extra jsonb")
    return state


def make(state: State, columns: str) -> None:
    connections.connect(state["configuration"]).execute(f"create table t ({columns})")


def rows(state: State) -> list[State]:
    found = connections.connect(state["configuration"]).execute("select * from t order by 1")
    return found.fetchall()


def test_a_statement_returns_its_rows_and_its_result(state: State):
    """The old data become a reference; the result has the command, the count and the columns."""
    after = sql("select 7 as n, 'x' as name")(state)

    assert after["data"] == [{"n": 7, "name": "x"}]
    assert after["references"] == [{"n": 1}]
    assert after["result"] == {"command": "SELECT", "row_count": 1, "columns": ["n", "name"]}
    assert state == {"configuration": state["configuration"], "data": {"n": 1}}


@pytest.mark.parametrize(
    ("make_operation", "found"),
    [
        (lambda: sql("select $1::int + $2::int as n", values=[3, 4]), 7),
        (lambda: sql("select %s::int + %s::int as n", values=[3, 4]), 7),
        (lambda: sql("select %(a)s::int as n", values={"a": 5}), 5),
        (lambda: sql("select $1::text as n", values=lambda state: [state["data"]["n"]]), "1"),
        (lambda: sql("select $1::text as n", values=[lambda state: "a' or 1=1"]), "a' or 1=1"),
        (lambda: sql("select 5 % 3 as n"), 2),
        (lambda: sql("select 5 % $1 as n", values=[3]), 2),
        (lambda: sql("select 1 as a; select 2 as n"), 2),
    ],
    ids=["numbered", "marks", "named", "lazy", "quotes", "percent", "percent-numbered", "two"],
)
def test_values_are_bound(state: State, make_operation: Any, found: object):
    """As in psycopg and in the driver of JavaScript; a percent sign needs no second one with $1."""
    assert make_operation()(state)["data"] == [{"n": found}]


def test_names_of_tables_are_quoted(table: State):
    """A name from the state cannot become SQL."""
    insert("t", {"id": 1, "name": "a"})(table)
    query = "select {c} from {t}"
    after = sql(query, identifiers={"c": "name", "t": lambda state: "public.t"})(table)
    assert after["data"] == [{"name": "a"}]
    with pytest.raises(DatabaseError, match=r'relation "t; drop table t" does not exist'):
        sql(query, identifiers={"c": "name", "t": "t; drop table t"})(table)
    with pytest.raises(ArgumentError, match="do not fit together: 't'"):
        sql(query, identifiers={"c": "name"})(table)


def test_options_write_the_text_and_leave_out_the_run(table: State):
    """The text has no values; with execute=False nothing happens."""
    after = insert("t", {"id": 1, "name": "secret"}, write_sql=True, execute=False)(table)
    assert after["queries"] == ['insert into "t" ("id", "name") values (%s, %s)']
    assert after["data"] == {"n": 1}
    after = sql("select 1 as one", write_sql=True)(after)
    assert after["queries"][1:] == ["select 1 as one"]
    assert rows(table) == []
    with pytest.raises(ArgumentError, match="execute is True or False, not str"):
        sql("select 1", execute="no")


def test_the_log_has_no_values_unless_it_is_asked_for(table: State, capsys: Any):
    """A line for each statement."""
    insert("t", {"id": 1, "name": "secret"})(table)
    assert capsys.readouterr().out == "INSERT succeeded, row_count: 1\n"
    insert("t", {"id": 2, "name": "told"}, log_values=True)(table)
    assert "told" in capsys.readouterr().out


def test_insert_and_its_options(table: State):
    """Values that mean nothing become null; columns can be returned."""
    after = insert("public.t", {"id": 1, "name": "undefined"}, set_null="undefined")(table)
    assert after["data"] == []
    after = insert("t", {"id": 2, "name": ""}, set_null=["", "NaN"], returning=["id", "name"])(
        table
    )
    assert after["data"] == [{"id": 2, "name": None}]
    assert insert("t", {"id": 3}, returning="*")(table)["data"][0]["id"] == 3
    assert [row["name"] for row in rows(table)] == [None, None, None]


def test_insert_many_is_all_or_nothing(table: State):
    """All records are in a single transaction, and the rows keep their order."""
    given = [{"id": number, "name": f"n{number}"} for number in range(50)]
    after = insert_many("t", given, returning=["id"])(table)
    assert [row["id"] for row in after["data"]] == list(range(50))
    assert after["result"]["row_count"] == 50
    with pytest.raises(DatabaseError, match="duplicate key"):
        insert_many("t", [{"id": 60}, {"id": 1}])(table)
    assert len(rows(table)) == 50
    assert insert_many("t", [])(table) is table
    assert insert_many("t", lambda state: [{"id": 70}])(table)["result"]["row_count"] == 1


def test_records_have_the_same_columns(table: State):
    """A missing key would shift or lose values; the message names the record."""
    for verb in (insert_many, copy_rows):
        with pytest.raises(ArgumentError, match="record 1 do not have the same columns: name"):
            verb("t", [{"id": 1, "name": "a"}, {"id": 2}])(table)
    for wrong in ("x", {"id": 1}, [1], [{}], None):
        with pytest.raises(ArgumentError):
            insert_many("t", wrong)(table)
    with pytest.raises(ArgumentError, match="a record is a dict of column to value"):
        insert("t", [1])(table)


@pytest.mark.parametrize("key", ["id", ["id"], "ON CONSTRAINT t_pkey", "on constraint t_pkey"])
def test_upsert_updates_the_row_with_the_same_key(table: State, key: object):
    """The key is a column, or a constraint."""
    insert("t", {"id": 1, "name": "old"})(table)
    upsert("t", key, {"id": 1, "name": "new"})(table)
    upsert_many("t", key, [{"id": 1, "name": "newer"}, {"id": 2, "name": "b"}])(table)
    upsert_many("t", key, [{"id": 3, "name": "x"}, {"id": 3, "name": "y"}])(table)
    assert [(row["id"], row["name"]) for row in rows(table)] == [(1, "newer"), (2, "b"), (3, "y")]


def test_upsert_if_does_nothing_without_its_condition(table: State):
    """The condition may be lazy."""
    assert upsert_if(lambda state: state["data"]["n"] > 1, "t", "id", {"id": 1})(table) is table
    upsert_if(lambda state: state["data"]["n"], "t", "id", {"id": 1})(table)
    assert [row["id"] for row in rows(table)] == [1]


def test_find_value(table: State):
    """The first row that fits; None as a value is null; the comparison is one of a few."""
    insert_many("t", [{"id": 1, "name": "Mamadou"}, {"id": 2, "name": "Elodie"}])(table)
    insert("t", {"id": 3})(table)

    def find(**filter_: Any) -> object:
        after = find_value(uuid="id", relation="t", **filter_)(table)
        assert after["result"] == after["data"]
        return after["data"]

    assert find(where={"name": "Elodie"}) == 2
    assert find(where={"name": "Mam%"}, operator={"name": "like"}) == 1
    assert find(where={"name": None}) == 3
    assert find(where={"name": None, "id": 2}, operator={"name": "!="}) == 2
    assert find(where={"id": [2, 9]}, operator={"id": "IN"}) == 2
    assert find(where={"id": [1, 3]}, operator={"id": "not in"}) == 2
    assert find(where={"name": "nobody"}) is None
    assert find() in (1, 2, 3)
    with pytest.raises(ArgumentError, match=r"an operator is one of =, .*; not '; drop'"):
        find(where={"id": 1}, operator={"id": "; drop"})
    with pytest.raises(ArgumentError, match="'x', which is not a column of where"):
        find(where={"id": 1}, operator={"x": "="})


def test_describe_table(table: State):
    """Columns in their order; the schema may be given; an unknown table has none."""
    found = describe_table("t")(table)["data"]
    assert found[0] == {"column_name": "id", "udt_name": "int4", "is_nullable": "NO"}
    assert [one["column_name"] for one in found] == ["id", "name", "born", "tags", "extra"]
    assert describe_table("public.t")(table)["data"] == found
    assert describe_table("other.t")(table)["data"] == []
    assert describe_table("t'; drop table t; --")(table)["data"] == []


def test_tables_are_made_and_changed(state: State):
    """Names are quoted, types are checked, and a default is a value."""
    columns = [
        {"name": "Id", "type": "int", "identity": True, "unique": True},
        {"name": "name", "type": "varchar(20)", "required": True, "default": "it's"},
        {"name": "paid", "type": "numeric(10, 2)"},
        {"name": "at", "type": "timestamp(3) with time zone"},
        {"name": "tags", "type": "text[]"},
    ]
    insert_table("t", columns)(state)
    modify_table("t", [{"name": "seen", "type": "date"}, {"name": "n", "type": "int"}])(state)
    after = insert("t", {"paid": 1}, returning=["Id", "name", "seen"])(state)
    assert after["data"] == [{"Id": 1, "name": "it's", "seen": None}]
    assert insert_table("u", [])(state) is state
    for wrong in ("int); drop table t; --", "int default now()", "", None, "int, x int"):
        with pytest.raises(ArgumentError, match="a type is a name such as"):
            modify_table("t", [{"name": "x", "type": wrong}])(state)
    with pytest.raises(ArgumentError, match="a column has the key 'typ'; known are name, type"):
        modify_table("t", [{"name": "x", "typ": "int"}])(state)


READ = [
    ("true", True),
    ("null", None),
    ("1::int8 << 62", 2**62),
    ("1.5::float8", 1.5),
    ("'infinity'::float8", math.inf),
    ("1.50::numeric", "1.50"),
    ("'NaN'::numeric", "NaN"),
    ("'é'::text", "é"),
    ("'\\x00ff'::bytea", b"\x00\xff"),
    ("date '2024-05-06'", "2024-05-06"),
    ("'infinity'::date", "infinity"),
    ("date '0044-03-15 BC'", "0044-03-15 BC"),
    ("timestamp '2024-05-06 07:08:00.5'", "2024-05-06T07:08:00.5"),
    ("timestamptz '2024-05-06 07:08:00+02'", "2024-05-06T05:08:00Z"),
    ("timestamptz 'infinity'", "infinity"),
    ("time '07:08'", "07:08:00"),
    ("interval '1 day 2 hours'", "P1DT2H"),
    ("uuid '00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001"),
    ("'{\"a\": [1, null]}'::jsonb", {"a": [1, None]}),
    ("'[1]'::json", [1]),
    ("array[1, 2]", [1, 2]),
    ("array[[1.5::numeric], [null::numeric]]", [["1.5"], [None]]),
    ("array[date '2024-05-06']", ["2024-05-06"]),
    ("array['{}'::jsonb]", [{}]),
    ("int4range(1, 5)", "[1,5)"),
    ("inet '10.0.0.1'", "10.0.0.1"),
    ("row(1, 'a'::text, date '2024-05-06')", ["1", "a", "2024-05-06"]),
    ("point(1, 2)", "(1,2)"),
    ("'a=>1'", "a=>1"),
]


@pytest.mark.parametrize(("expression", "value"), READ, ids=[sql_ for sql_, _ in READ])
def test_each_type_is_read_as_a_value_of_a_state(state: State, expression: str, value: object):
    """The table in the README."""
    cursor = connections.connect(state["configuration"]).execute(f"select {expression} as x")
    [found] = postgresql.running.Outcome(cursor).rows
    assert found["x"] == value
    assert type(found["x"]) is type(value)


def test_arrays_of_types_of_the_database_are_lists(state: State, caplog: Any):
    """The first statement that reads such a type, and those after it."""
    sql(
        "create type mood as enum ('sad', 'so so'); create domain name_ as text check (value <> '')"
    )(state)
    sql("create type pair as (x int, y text)")(state)
    make(
        state, "id int primary key, moods mood[], mood mood, names name_[], pairs pair[], pair pair"
    )
    given = {
        "moods": ["so so", None],
        "mood": "sad",
        "names": ["a, b"],
        "pairs": ["(1,a)"],
        "pair": "(2,b)",
    }
    for number in (1, 2):
        after = insert("t", {"id": number, **given}, returning="*")(state)
        assert after["data"] == [{"id": number, **given}]
    again = insert_many("t", [{**row, "id": 3} for row in after["data"]], returning="*")(state)
    assert again["data"] == [{"id": 3, **given}]
    many = insert_many("t", [{**given, "id": 4}, {**given, "id": 5}], returning="*")
    assert many(of_another_connection(state))["data"] == [{**given, "id": 4}, {**given, "id": 5}]
    assert sql("select array[]::mood[] as x, array[['sad'::mood]] as y")(state)["data"] == [
        {"x": [], "y": [["sad"]]}
    ]


def test_columns_with_one_name_are_a_warning(state: State, caplog: Any):
    """A dict has a key once, so a value is lost."""
    after = sql("select 1 as id, 2 as n, 3 as id")(state)
    assert after["data"] == [{"id": 3, "n": 2}]
    [record] = caplog.records
    assert "several columns have the name 'id'" in record.getMessage()


WRITTEN = [
    ("int", 7, 7),
    ("boolean", True, True),
    ("numeric", "1.50", "1.50"),
    ("numeric", decimal.Decimal("1.50"), "1.50"),
    ("float8", 1.5, 1.5),
    ("text", "it's", "it's"),
    ("bytea", b"\x00", b"\x00"),
    ("date", "2024-05-06", "2024-05-06"),
    ("date", dt.date(2024, 5, 6), "2024-05-06"),
    ("timestamptz", "2024-05-06T05:08:00Z", "2024-05-06T05:08:00Z"),
    ("uuid", uuids.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("int[]", [1, None], [1, None]),
    ("text[]", ["a", "b"], ["a", "b"]),
    ("jsonb", {"a": [dt.date(2024, 5, 6)]}, {"a": ["2024-05-06"]}),
    ("jsonb", [1, "a"], [1, "a"]),
    ("jsonb", [{"a": 1}], [{"a": 1}]),
    ("json", True, True),
    ("jsonb", 7, 7),
    ("jsonb", '"text"', "text"),
    ("jsonb", None, None),
]


@pytest.mark.parametrize(
    ("kind", "value", "read"), WRITTEN, ids=[str(n) for n in range(len(WRITTEN))]
)
def test_values_of_a_state_are_written_to_each_type(
    state: State, kind: str, value: object, read: object
):
    """By insert, upsert and COPY in the same way."""
    make(state, f"id int primary key, x {kind}")
    insert("t", {"id": 1, "x": value})(state)
    upsert_many("t", "id", [{"id": 2, "x": value}])(state)
    copy_rows("t", [{"id": 3, "x": value}])(state)
    found = sql("select x from t order by id")(state)["data"]
    assert [row["x"] for row in found] == [read] * 3


def test_bytes_do_not_go_into_json(table: State):
    """JSON has no bytes, and the connection stays usable."""
    for verb in (insert, lambda name, record: copy_rows(name, [record])):
        with pytest.raises(ArgumentError, match="JSON cannot hold a value of type bytes"):
            verb("t", {"id": 1, "extra": {"a": b"x"}})(table)
    assert rows(table) == []


def test_copy_writes_many_rows(table: State):
    """All or none."""
    given = [{"id": number, "name": f"a\tb\n{number}"} for number in range(5000)]
    after = copy_rows("t", given, write_sql=True)(table)
    assert after["result"] == {"command": "COPY", "row_count": 5000, "columns": []}
    assert after["data"] == []
    assert after["queries"] == ['copy "t" ("id", "name") from stdin']
    assert rows(table)[4999]["name"] == "a\tb\n4999"
    with pytest.raises(DatabaseError, match="duplicate key") as caught:
        copy_rows("t", [{"id": 9000, "name": ""}, {"id": 1, "name": ""}])(table)
    assert caught.value.sqlstate == "23505"
    assert len(rows(table)) == 5000


def test_a_transaction_is_all_or_nothing(table: State):
    """Its operations use the same connection; nothing of a failed one is left."""
    both = transaction(
        insert("t", {"id": 1}), insert("t", {"id": 2}), lambda s: {**s, "done": True}
    )
    assert both(table)["done"] is True
    with pytest.raises(DatabaseError, match="duplicate key"):
        transaction(insert("t", {"id": 3}), insert("t", {"id": 1}))(table)

    def fail(_state: State) -> State:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        transaction(insert("t", {"id": 4}), fail)(table)
    assert [row["id"] for row in rows(table)] == [1, 2]


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_statement_that_ends_the_transaction_is_an_error(table: State, end: str, waits: bool):
    """The operations after it would each be alone, so none of them is run.

    The setting makes a statement for the server of the text that the adaptor sees.
    """

    async def later(state: State) -> State:
        return state

    block = transaction(
        sql("set local standard_conforming_strings = off"),
        insert("t", {"id": 1}),
        *([later] if waits else []),
        sql(r"select '\''; commit; --'") if end == "commit" else sql(r"select '\''; rollback; --'"),
        insert("t", {"id": 2}),
    )

    async def carry_out() -> None:
        pending = block(table)
        if waits:
            await pending

    with pytest.raises(DatabaseError, match="a statement has ended the transaction") as caught:
        asyncio.run(carry_out())
    assert caught.value.retryable is False
    rows = sql("select id from t")(table)["data"]
    assert rows == ([{"id": 1}] if end == "commit" else [])


@pytest.mark.parametrize(
    "end",
    [
        sql("commit"),
        sql("commit; begin"),
        sql("COMMIT AND CHAIN"),
        sql("select 1; /* a /* b */ ; */ end work; start transaction"),
        sql("rollback; begin"),
        sql("abort"),
        sql("select $a$;$a$, e'\\';', \"a;\", '''' -- x\n; prepare transaction 'p'"),
        transaction(sql("commit; begin")),
        sql("update {t} set name = null; commit", identifiers={"t": "t"}),
    ],
)
def test_a_statement_that_would_end_the_transaction_is_not_sent(table: State, end: Any):
    """All operations have an effect or none, so nothing is left."""
    with pytest.raises(DatabaseError, match="would end the transaction around it") as caught:
        transaction(insert("t", {"id": 1}), end, insert("t", {"id": 3}))(table)
    assert caught.value.retryable is False
    assert "statement" in caught.value.details
    assert rows(table) == []


def test_words_of_transactions_that_end_none_are_sent(table: State):
    """Savepoints, names, texts, comments, and the body of a function."""
    transaction(
        insert("t", {"id": 1}),
        sql("savepoint a"),
        insert("t", {"id": 2}),
        sql("rollback to savepoint a; rollback work to a; release a"),
        sql("select ';commit' as \"; commit\", $$;commit;$$ -- ; commit\n/* ; commit */"),
        sql("create function f() returns int language sql begin atomic select 1; select 2; end"),
        sql("select case when true then 1 end"),
        sql("do $x$ begin null; end; $x$"),
        insert("t", {"id": 3}),
    )(table)
    assert [row["id"] for row in rows(table)] == [1, 3]


def of_another_connection(state: State) -> State:
    """Return a state whose configuration needs a connection of its own."""
    return {"configuration": {**state["configuration"], "connect_timeout_s": 7}}


def test_a_statement_leaves_no_transaction_behind(table: State):
    """The next operations would be in it, and be lost at the end of the run."""
    for begin in (
        sql("begin"),
        sql("start transaction; insert into t values (1)"),
        sql("insert into t values (2); begin; insert into t values (3)"),
    ):
        with pytest.raises(DatabaseError, match="has begun a transaction and not ended it"):
            begin(table)
        insert("t", {"id": 9})(table)
        assert [row["id"] for row in rows(of_another_connection(table))][-1] == 9
        sql("delete from t")(table)
    with pytest.raises(DatabaseError, match="division by zero"):
        sql("begin; select 1/0")(table)
    assert sql("begin; insert into t values (4); commit")(table)["data"] == []
    assert [row["id"] for row in rows(of_another_connection(table))] == [4]


def test_copy_without_its_verb_is_an_error(table: State):
    """The connection waits for rows then, so the next verb takes another one."""
    for copy in (
        sql("copy t from stdin"),
        sql("copy t to stdout"),
        transaction(sql("copy t from stdin")),
    ):
        with pytest.raises(DatabaseError, match=r"sql cannot carry the rows of COPY; .* copy_rows"):
            copy(table)
        assert sql("select 1 as n")(table)["data"] == [{"n": 1}]


def test_a_wrong_number_of_values_is_not_a_lost_connection(table: State):
    """PostgreSQL has one code for both, and the connection goes on."""
    with pytest.raises(DatabaseError, match="08P01") as caught:
        sql("select $1, $2", values=[1])(table)
    assert caught.value.retryable is False
    assert "a value for each placeholder" in caught.value.hint
    assert sql("select 1 as n")(table)["data"] == [{"n": 1}]


def test_transactions_nest(table: State):
    """The inner one may fail alone."""

    def try_inner(state: State) -> State:
        try:
            return transaction(insert("t", {"id": 2}), insert("t", {"id": 2}))(state)
        except DatabaseError:
            return state

    transaction(insert("t", {"id": 1}), try_inner, insert("t", {"id": 3}))(table)
    assert [row["id"] for row in rows(table)] == [1, 3]
    with pytest.raises(ArgumentError, match="isolation is for the outermost"):
        transaction(transaction(isolation="serializable"))(table)
    with pytest.raises(ArgumentError, match=r"isolation is one of .*; not 'high'"):
        transaction(isolation="high")


def test_a_transaction_may_have_asynchronous_operations(table: State):
    """It waits for them before it ends."""
    import asyncio

    async def later(state: State) -> State:
        await asyncio.sleep(0)
        return insert("t", {"id": 2})(state)

    async def fail(state: State) -> State:
        raise KeyError("mine")

    asyncio.run(transaction(insert("t", {"id": 1}), later, insert("t", {"id": 3}))(table))
    with pytest.raises(KeyError):
        asyncio.run(transaction(insert("t", {"id": 4}), fail)(table))
    assert [row["id"] for row in rows(table)] == [1, 2, 3]


def test_serialization_failures_are_retryable(table: State):
    """Two transactions that read what the other writes."""
    insert_many("t", [{"id": 1, "name": "0"}, {"id": 2, "name": "0"}])(table)

    def other(state: State) -> State:
        configuration = state["configuration"]
        with psycopg.connect(
            connections.connect(configuration).info.dsn, autocommit=False
        ) as theirs:
            theirs.execute("set transaction isolation level serializable")
            theirs.execute("select sum(name::int) from t")
            theirs.execute("update t set name = '9' where id = 2")
        return state

    with pytest.raises(DatabaseError, match="could not serialize access") as caught:
        transaction(
            sql("select sum(name::int) from t"),
            other,
            sql("update t set name = '8' where id = 1"),
            isolation="serializable",
        )(table)
    assert (caught.value.sqlstate, caught.value.retryable) == ("40001", True)


def test_a_refused_statement_has_its_facts_and_no_values(table: State):
    """PostgreSQL writes the values of a row into DETAIL, which is left out."""
    insert("t", {"id": 1, "name": "of a patient"})(table)
    with pytest.raises(DatabaseError) as caught:
        insert("t", {"id": 1, "name": "of a patient"})(table)
    error = caught.value
    assert str(error) == 'duplicate key value violates unique constraint "t_pkey" (23505)'
    assert error.details == {
        "sqlstate": "23505",
        "retryable": False,
        "table": "t",
        "constraint": "t_pkey",
        "statement": 'insert into "t" ("id", "name") values (%s, %s)',
    }
    make_check = "alter table t add check (name <> 'x')"
    sql(make_check)(table)
    with pytest.raises(DatabaseError) as caught:
        insert("t", {"id": 2, "name": "x", "extra": {"secret": "of a patient"}})(table)
    assert "of a patient" not in str(caught.value) + repr(caught.value.details)


def test_a_server_that_is_not_there_is_unreachable(state: State):
    """Another attempt may succeed; the text names host and port and not the password."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError, match=f"port {port} failed: Connection refused") as caught:
        sql("select 1")({"configuration": {**state["configuration"], "port": port}})
    assert caught.value.retryable is True
    assert "pass-word-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"database": "no-such"}, 'database "no-such" does not exist'),
        ({"user": "nobody-here"}, 'role "nobody-here" does not exist'),
    ],
)
def test_a_refused_connection_is_final(state: State, changes: dict[str, str], text: str):
    """The same configuration fails again."""
    with pytest.raises(UnreachableError, match=text) as caught:
        sql("select 1")({"configuration": {**state["configuration"], **changes}})
    assert caught.value.retryable is False


def test_a_lost_connection_is_retryable_and_the_next_attempt_gets_a_new_one(table: State):
    """The server ends the connection while a statement runs, and while it is idle."""
    mine = connections.connect(table["configuration"]).info.backend_pid

    def end() -> None:
        with psycopg.connect(connections.connect(table["configuration"]).info.dsn) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid = %s", [mine]
            )

    dsn = connections.connect(table["configuration"]).info.dsn

    def wait_and_end() -> None:
        with psycopg.connect(dsn, autocommit=True) as other:
            while not other.execute(
                "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'", [mine]
            ).fetchall():
                pass
            other.execute("select pg_terminate_backend(%s)", [mine])

    thread = threading.Thread(target=wait_and_end)
    thread.start()
    with pytest.raises(UnreachableError) as caught:
        sql("select pg_sleep(60)")(table)
    thread.join()
    assert caught.value.retryable is True
    assert sql("select 1 as n")(table)["data"] == [{"n": 1}]


def test_one_connection_serves_all_operations_of_a_configuration(state: State):
    """Another configuration gets another one; an idle one that the server closed is replaced."""
    first = sql("select pg_backend_pid() as pid")(state)["data"]
    assert sql("select pg_backend_pid() as pid")(state)["data"] == first
    other = {"configuration": {**state["configuration"], "connect_timeout_s": 5}}
    assert sql("select pg_backend_pid() as pid")(other)["data"] != first
    [session] = [
        s
        for s in connections._sessions.values()
        if s.connection.info.backend_pid == first[0]["pid"]
    ]
    sql("select pg_terminate_backend($1)", values=[first[0]["pid"]])(other)
    session.used_s -= 2 * connections.IDLE_S
    assert sql("select pg_backend_pid() as pid")(state)["data"] != first


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        (None, "the step has no configuration"),
        ({"host": "x"}, "configuration.database is missing"),
        ({"database": "x", "user": "y"}, "configuration.host is missing"),
        ({"host": ["x"], "database": "x", "user": "y"}, "configuration.host is a text, not list"),
        (
            {"host": "x", "database": "x", "user": "y", "port": "54x2"},
            "configuration.port is a number, not '54x2'",
        ),
        (
            {"host": "x", "database": "x", "user": "y", "connect_timeout_s": 0},
            "connect_timeout_s is a number of seconds above 0",
        ),
        (
            {"host": "x", "database": "x", "user": "y", "ssl": True, "ca": 1},
            "configuration.ca is the text of a PEM file, not int",
        ),
    ],
)
def test_a_wrong_configuration_is_told(configuration: object, text: str):
    """Before anything is sent."""
    with pytest.raises(ArgumentError, match=text) as caught:
        sql("select 1")({"configuration": configuration})
    assert caught.value.retryable is False


def test_tls_is_verified_unless_the_configuration_says_otherwise():
    """`ssl` means that the certificate and the name are checked."""
    base = {"host": "x", "database": "x", "user": "y"}

    def mode(**more: object) -> object:
        return connections._parameters({**base, **more}).get("sslmode")

    assert mode() is None
    assert mode(ssl=True) == mode(ssl=True, ca="PEM") == "verify-full"
    assert mode(ssl=True, allow_self_signed_cert=True) == "require"
    assert mode(ssl=True, allowSelfSignedCert=True) == "require"


def test_a_server_without_tls_is_refused_if_tls_is_wanted(state: State):
    """No password is sent to it."""
    with pytest.raises(UnreachableError, match="does not support SSL") as caught:
        sql("select 1")({"configuration": {**state["configuration"], "ssl": True}})
    assert caught.value.retryable is False
