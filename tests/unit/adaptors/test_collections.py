"""The verbs of `collections`, with the requests of a run in a dict."""

from __future__ import annotations

import datetime as dt
import fnmatch
import logging
import sys
from types import ModuleType

import pytest
from collections_ import ArgumentError, CollectionError, collections
from collections_.times import end_of, start_of

DAY_MS = 86_400_000


class RequestError(Exception):
    """As the module of a run has it."""

    def __init__(self, message, fix=None, retryable=None):
        super().__init__(message)
        self.fix, self.retryable = fix, retryable


class Requests:
    """The module `jobcell_collections` of a run, with values in a dict."""

    def __init__(self):
        self.values, self.queries = {}, []

    def get(self, name, query):
        self.queries.append(query)
        if name == "closed":
            raise RequestError("it is closed", "open it", False)
        found = sorted(k for k in self.values.get(name, {}) if fnmatch.fnmatchcase(k, query["key"]))
        found = [key for key in found if key > query.get("cursor", "")]
        page = found[: query["limit"]]
        items = [
            {"key": key, "value": self.values[name][key], "created_ms": 0, "updated_ms": 0}
            for key in page
        ]
        return items, page[-1] if len(page) < len(found) else None

    def set(self, name, items):
        self.values.setdefault(name, {}).update(items)
        return len(dict(items))

    def remove(self, name, query, dry_run=False):
        self.queries.append(query)
        keys = [k for k in self.values.get(name, {}) if fnmatch.fnmatchcase(k, query["key"])]
        for key in () if dry_run else keys:
            del self.values[name][key]
        return len(keys), keys if dry_run else []


@pytest.fixture
def run(monkeypatch):
    requests = Requests()
    module = ModuleType("jobcell_collections")
    vars(module).update(
        get=requests.get, set=requests.set, remove=requests.remove, CollectionError=RequestError
    )
    monkeypatch.setitem(sys.modules, "jobcell_collections", module)
    requests.values["visits"] = {f"2024-{n}": {"n": n} for n in range(5)}
    return requests


def test_a_key_gives_its_value(run):
    """As in OpenFn, data is the value itself."""
    assert collections.get("visits", "2024-3")({"x": 1}) == {"x": 1, "data": {"n": 3}}


def test_a_missing_key_gives_an_empty_dict_and_a_warning(run, caplog):
    """As in OpenFn."""
    with caplog.at_level(logging.INFO, "collections"):
        assert collections.get("visits", "none")({})["data"] == {}
    assert caplog.messages == ["'visits' has no key 'none'; data is {}"]


@pytest.mark.parametrize("query", ["2024-*", None, {"key": "2024-*"}, "*"])
def test_a_pattern_gives_items(run, query):
    """Each item has its key and its value; the cursor is None if all of them came."""
    data = collections.get("visits", query)({})["data"]
    assert data[:2] == [{"key": "2024-0", "value": {"n": 0}}, {"key": "2024-1", "value": {"n": 1}}]
    assert len(data) == 5
    assert data.cursor is None


def test_values_come_in_pages_up_to_the_limit(run):
    """The cursor is where another query goes on."""
    first = collections.get("visits", {"key": "*", "limit": 3, "pageSize": 2})({})["data"]
    assert [query["limit"] for query in run.queries] == [2, 1]
    assert (len(first), first.cursor) == (3, "2024-2")
    rest = collections.get("visits", "*", cursor=lambda _: first.cursor)({})["data"]
    assert [found["key"] for found in rest] == ["2024-3", "2024-4"]
    assert rest.cursor is None


def test_each_calls_the_callback_for_every_value(run):
    """The return value of the callback is ignored. The state before the operation stays as it was."""
    before = {"seen": []}
    after = collections.each(
        "visits",
        "*",
        lambda state, value, key: state["seen"].append((key, value["n"])),
        page_size=2,
    )(before)
    assert after["seen"][0] == ("2024-0", 0)
    assert len(after["seen"]) == 5
    assert after["data"] == {"cursor": None}
    assert "data" not in before


def test_each_takes_callbacks_with_fewer_parameters_and_those_that_the_engine_made_lazy(run):
    """A callback that uses the state outside of its parameters comes as a function of the state."""
    seen = []
    collections.each("visits", "2024-1", lambda state: seen.append(dict(state)))({"a": 1})
    collections.each("visits", "2024-1", lambda state, value: seen.append(value))({})
    collections.each(
        "visits",
        "2024-*",
        lambda state: lambda s, value, key: seen.append(state["x"] + value["n"]),
        limit=2,
    )({"x": 10})
    assert seen == [{"a": 1}, {"n": 1}, 10, 11]


def test_each_waits_for_an_asynchronous_callback(run):
    """The values come one after the other."""
    import asyncio

    seen = []

    async def callback(state, value, key):
        await asyncio.sleep(0)
        seen.append(key)

    async def whole():
        return await collections.each("visits", "*", callback)({})

    assert asyncio.run(whole())["data"] == {"cursor": None}
    assert seen == sorted(run.values["visits"])


@pytest.mark.parametrize(
    ("key", "values", "kept"),
    [
        ("city", {"NY": 1}, {"city": {"NY": 1}}),
        ("list", [1, 2], {"list": [1, 2]}),
        (lambda row: row["id"], [{"id": "a"}, {"id": "b"}], {"a": {"id": "a"}, "b": {"id": "b"}}),
        (lambda row, state, index: f"{state['p']}{index}", [7, 8], {"p0": 7, "p1": 8}),
        (lambda row, state: state["p"] + row, ["a"], {"pa": "a"}),
        (lambda state: f"k-{state['p']}", {"x": 1}, {"k-p": {"x": 1}}),
        (lambda state: lambda row: state["p"] + row["id"], [{"id": "a"}], {"pa": {"id": "a"}}),
        (lambda row: row["id"], {"id": "one"}, {"one": {"id": "one"}}),
        (lambda row: "same", [1, 2], {"same": 2}),
        ("lazy", lambda state: state["p"], {"lazy": "p"}),
        (lambda row: row, [], {}),
    ],
)
def test_set_makes_keys(run, key, values, kept):
    """A text is the key of one value; a function makes the key of each value."""
    state = {"p": "p"}
    assert collections.set("new", key, values)(state) is state
    assert run.values.get("new", {}) == kept


def test_remove_needs_a_query_and_keeps_the_state(run):
    """A dry run gives the keys, and removes nothing."""
    state = {"data": 1}
    assert collections.remove("visits", "2024-[!0]", dry_run=False)(state) is state
    dry = collections.remove("visits", "*", dry_run=True)(state)
    assert dry["data"] == ["2024-0"]
    collections.remove("visits", key="*", created_before="2024")(state)
    assert run.values["visits"] == {}
    assert run.queries[-1]["created_before_ms"] == start_of("", "2024")


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (collections.remove("visits"), "write '*' for all values"),
        (collections.remove("visits", {"key": "*", "limit": 1}), "remove has no option 'limit'"),
        (collections.get("visits", 7), "a query is a key, a pattern or a dict, not int"),
        (collections.get("visits", {"sort": "key"}), "a query has no option 'sort'; there are"),
        (collections.get("visits", {"lmit": 1}), "option 'lmit'; did you mean 'limit'"),
        (collections.get("visits", {7: 1}), "a query has no option 7; there are"),
        (collections.each("visits", {"pagesize": 1}, print), "did you mean 'page_size'"),
        (collections.get("visits", "a", key="b"), "key is given twice"),
        (collections.get("visits", {"createdAfter": "2024"}, created_after="2025"), "given twice"),
        (collections.get("visits", ""), "key is a text that is not empty"),
        (collections.get("visits", limit=0), "limit is a whole number from 1"),
        (
            collections.get("visits", page_size=10_001),
            "page_size is a whole number from 1 to 10000",
        ),
        (collections.get("visits", limit=True), "limit is a whole number"),
        (collections.get("visits", cursor=3), "cursor is the text"),
        (collections.get("visits", created_after="soon"), "created_after is not a date: 'soon'"),
        (collections.get("visits", created_after="2024-13"), "is not a date: '2024-13'"),
        (collections.get("visits", created_after=20240101), "is a date as text, not int"),
        (collections.get(7), "the name of a collection is text, not int"),
        (collections.each("visits"), "the callback is a function of state, value and key"),
        (collections.set("v", 7, 1), "the key is a text, or a function"),
        (collections.set("v", lambda row: 7, [1]), "returned int, and a key is text"),
        (collections.get("v", lambda s: _endless), "functions without end"),
    ],
)
def test_a_wrong_argument_says_what_is_right(run, operation, text):
    """Another attempt would fail as well."""
    with pytest.raises(ArgumentError, match=r".") as caught:
        operation({})
    assert text in str(caught.value)
    assert caught.value.retryable is False
    assert run.queries == []


def _endless(state):
    return _endless


def test_a_refusal_has_the_class_of_this_package(run):
    """A job can name it; the fix is a part of the text and of the details."""
    with pytest.raises(CollectionError, match=r"^it is closed; open it$") as caught:
        collections.get("closed", "x")({})
    assert caught.value.details == {"fix": "open it"}
    assert caught.value.retryable is False


def test_outside_of_a_run_the_error_says_so():
    """The adaptor itself keeps nothing."""
    with pytest.raises(CollectionError, match="kept by the program that runs a job"):
        collections.get("visits", "x")({})


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ("1970", 0, 365 * DAY_MS),
        ("197002", 31 * DAY_MS, 59 * DAY_MS),
        ("1970-02", 31 * DAY_MS, 59 * DAY_MS),
        ("1970-12", 334 * DAY_MS, 365 * DAY_MS),
        ("19700102", DAY_MS, 2 * DAY_MS),
        ("1970-01-02", DAY_MS, 2 * DAY_MS),
        (dt.date(1970, 1, 2), DAY_MS, 2 * DAY_MS),
        ("1970-01-02T00:00:01.5Z", DAY_MS + 1500, DAY_MS + 1500),
        ("1970-01-02T01:00:00+01:00", DAY_MS, DAY_MS),
        ("1970-01-02 00:00", DAY_MS, DAY_MS),
        (dt.datetime(1970, 1, 2), DAY_MS, DAY_MS),  # noqa: DTZ001 - without a zone it is UTC
    ],
)
def test_a_date_is_a_period_and_a_time_is_a_point(given, start, end):
    """`created_after` means the end of a period, and `created_before` its start."""
    assert (start_of("x", given), end_of("x", given)) == (start, end)


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        (collections.get, "lmit"),
        (collections.each, "createdAfter"),
        (collections.remove, "limit"),
        (collections.remove, "cursor"),
    ],
)
def test_an_unknown_keyword_is_an_error_of_the_call(verb, option):
    """So the check of a plan and an editor find it, before anything runs."""
    with pytest.raises(TypeError, match=option):
        verb("visits", "*", **{option: 1})
