"""The manager's collections carry out requests; wrong answers and exceptions become failures."""

from __future__ import annotations

import threading

import pytest
from shelf import Shelf

from engine import CollectionItem, CollectionPage, CollectionQuery, CollectionsError, Resolvers
from engine.running.collections import answer, carry_out
from protocol.collection_messages import (
    CollectionFailed,
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
    SentItem,
)
from protocol.state import encode_state

GET = CollectionGet(number=3, name="visits", query=CollectionQuery(limit=2))
REMOVE = CollectionRemove(number=3, name="visits", query=CollectionQuery(limit=2), dry_run=True)
ITEM = CollectionItem("a", b"\xc0", 1, 2)


def put(*values: bytes) -> CollectionSet:
    items = tuple(SentItem(f"k{n}", memoryview(value)) for n, value in enumerate(values))
    return CollectionSet(number=3, name="visits", items=items)


class Answers:
    """Collections that give one answer to everything, or raise it."""

    def __init__(self, given):
        self.given = given

    def get(self, name, query):
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given

    def set(self, name, items):
        return self.get(name, items)

    def remove(self, name, query, *, dry_run=False):
        return self.get(name, query)


def test_values_go_in_and_come_out():
    """Set, get and remove reach the manager's object as they were sent."""
    shelf = Shelf()
    assert answer(shelf, put(encode_state(1), encode_state([2]))).count == 2
    given = answer(shelf, GET)
    assert [(item.key, item.value) for item in given.items] == [
        ("k0", b"\x01"),
        ("k1", b"\x91\x02"),
    ]
    found = answer(shelf, REMOVE)
    assert (found.count, [item.key for item in found.items]) == (2, ["k0", "k1"])
    query = CollectionQuery(key="k0")
    removed = answer(shelf, CollectionRemove(number=4, name="visits", query=query))
    assert (removed.count, removed.items) == (1, ())
    assert list(shelf.values["visits"]) == ["k1"]


def test_an_asynchronous_manager_is_served():
    """As with resolvers, a method may be a coroutine function."""

    class Later(Shelf):
        async def get(self, name, query):
            return CollectionPage((ITEM,))

    assert answer(Later(), GET).items == (ITEM,)


@pytest.mark.parametrize("value", [b"\x91", b"\xc1", b"", b"\x81\x91\x01\x01", b"\xc0\xc0"])
def test_bytes_that_are_not_a_value_are_refused(value):
    """Another run could not read them back."""
    shelf = Shelf()
    failed = answer(shelf, put(encode_state(1), value))
    assert isinstance(failed, CollectionFailed)
    assert "the value under 'k1' is not valid" in failed.reason
    assert shelf.values == {}


BAD = {
    "None": (GET, None, "NoneType, not a CollectionPage"),
    "too many": (GET, CollectionPage((ITEM,) * 3), "3 values; asked for: 2"),
    "no item": (GET, CollectionPage(("a",)), "not a CollectionItem"),
    "text as bytes": (GET, CollectionPage((CollectionItem("a", "b"),)), "not a CollectionItem"),
    "a pattern": (GET, CollectionPage((CollectionItem("*", b"\xc0"),)), "no collection can have"),
    "a cursor": (GET, CollectionPage((), 7), "a cursor that is not text"),
    "a count": (put(b"\xc0"), True, "bool in place of a number"),
    "less than nothing": (put(b"\xc0"), -1, "int in place of a number"),
    "no pair": (REMOVE, 3, "no pair of a number and keys"),
    "bad keys": (REMOVE, (1, [2]), "keys that no collection can have"),
}


@pytest.mark.parametrize(("request_", "given", "text"), BAD.values(), ids=BAD)
def test_a_wrong_answer_of_the_manager_is_a_failure_that_says_so(request_, given, text):
    """The job gets an error about the collections, and the engine goes on."""
    failed = answer(Answers(given), request_)
    assert isinstance(failed, CollectionFailed)
    assert failed.number == 3
    assert text in failed.reason


@pytest.mark.parametrize(
    ("error", "reason", "refused"),
    [
        (CollectionsError("full", fix="wait"), "full", True),
        (CollectionsError("away", retryable=True), "away", False),
        (KeyError("x"), "the collections raised KeyError: 'x'", False),
        (SystemExit(3), "the collections raised SystemExit: 3", False),
        (ValueError("\ud800"), "the collections raised ValueError: \\ud800", False),
    ],
    ids=["own", "retryable", "error", "exit", "surrogate"],
)
def test_an_exception_of_the_manager_is_a_failure(error, reason, refused):
    """A `CollectionsError` is for the author; of any other the class is shown as well."""
    failed = answer(Answers(error), GET)
    assert (failed.reason, failed.refused) == (reason, refused)
    assert failed.fix == getattr(error, "fix", None)


def test_a_call_has_a_thread_of_its_own_and_is_left_out_if_nobody_wants_it():
    """The supervisor's thread does not wait for the manager's code."""
    threads, answers, done = [], [], threading.Event()

    class Notes(Shelf):
        def get(self, name, query):
            threads.append(threading.current_thread())
            return CollectionPage()

    def take(given):
        answers.append(given)
        done.set()

    carry_out(Notes(), GET, take)
    assert done.wait(10)
    assert threads[0] is not threading.current_thread()
    done.clear()
    carry_out(Notes(), GET, take, wanted=lambda: False)
    assert done.wait(10)
    assert len(threads) == 1
    assert [type(given) for given in answers] == [CollectionGiven, CollectionFailed]


def test_without_collections_the_author_gets_one_clear_error():
    """The default is that a run has none."""
    answers = []
    carry_out(None, GET, answers.append)
    [failed] = answers
    assert failed.reason == "this run has no collections"
    assert "Resolvers(collections=...)" in failed.fix


def test_resolvers_name_the_method_that_is_missing():
    """The mistake is found before a run starts."""
    Resolvers(collections=Shelf())
    with pytest.raises(TypeError, match="dict has no set"):
        Resolvers(collections={})
    assert repr(Resolvers(collections=Shelf())) == "Resolvers(collections=...)"
