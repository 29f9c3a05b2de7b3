"""A hostile child asks for collections by its own frames; the engine decides, outside of the child.

The layer is the check of `engine.running.session.collecting`, and the manager's object, which is made for
one tenant.  The twins have the permission, or the object of the other tenant: the same frames then work.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from shelf import Shelf

import engine
from engine import CollectionItem, Permissions, Resolvers, RunOptions
from protocol import codec
from protocol.collection import CollectionQuery
from protocol.collection_messages import (
    CollectionGet,
    CollectionGiven,
    CollectionRemove,
    CollectionSet,
    SentItem,
)
from protocol.framing import header
from protocol.limits import ANSWERS_FD, REQUESTS_FD
from protocol.messages import JobComplete
from protocol.state import encode_state

CALM = "def main(state):\n    return {**state, 'calm': True}"
TREASURE = "the other tenant's value"
EVERYTHING = CollectionQuery()


def frame(message) -> bytes:
    body = codec.encode(message)
    return header(len(body)) + body


def ask(data: bytes, *, answers: int = 1) -> str:
    """Return a job that writes frames by itself, and returns the bytes that come back."""
    return f"""
def main(state):
    import os, zlib
    os.set_blocking({REQUESTS_FD}, True)
    data = zlib.decompress({zlib.compress(data)!r})
    while data:
        data = data[os.write({ANSWERS_FD}, data):]
    read = b""
    for _ in range({answers}):
        length = b""
        while len(length) < 4:
            length += os.read({REQUESTS_FD}, 4 - len(length))
        body = b""
        while len(body) < int.from_bytes(length, "little"):
            body += os.read({REQUESTS_FD}, 65536)
        read += body
    return {{"read": read}}
"""


@pytest.fixture(scope="module")
def eng():
    with engine.Engine(
        max_runs=2,
        policy=engine.Policy(language=False),
        options=RunOptions(timeout_s=30, memory_mb=200),
    ) as made:
        made.execute(CALM).result(timeout_s=30)
        yield made


@pytest.fixture
def shelf() -> Shelf:
    filled = Shelf()
    for name in ("visits", "secret"):
        filled.set(name, [CollectionItem("k", encode_state(TREASURE))])
    filled.calls.clear()
    return filled


def run(eng, source, shelf, *rules, **options):
    return eng.execute(
        source,
        options=RunOptions(
            permissions=Permissions(collections=rules), timeout_s=30, memory_mb=200, **options
        ),
        resolvers=Resolvers(collections=shelf),
    )


STEALS = {
    "reads": CollectionGet(number=1, name="secret", query=EVERYTHING),
    "looks at keys": CollectionRemove(number=1, name="secret", query=EVERYTHING, dry_run=True),
    "removes": CollectionRemove(number=1, name="secret", query=EVERYTHING),
    "overwrites": CollectionSet(
        number=1, name="secret", items=(SentItem("k", memoryview(b"\xc0")),)
    ),
}


@pytest.mark.parametrize("name", STEALS)
def test_a_collection_without_permission_is_out_of_reach(eng, shelf, name):
    """The manager's code is not even called."""
    result = run(eng, ask(frame(STEALS[name])), shelf, "visits").result(60)
    assert result.reason == "success", result.error
    assert b"collection-failed" in result.state["read"]
    assert TREASURE.encode() not in result.state["read"]
    assert shelf.calls == []
    assert shelf.values["secret"]["k"].value == encode_state(TREASURE)


@pytest.mark.parametrize("name", STEALS)
def test_twin_with_the_permission_the_same_frames_work(eng, shelf, name):
    """The permission alone has stopped them."""
    result = run(eng, ask(frame(STEALS[name])), shelf, "visits", "secret").result(60)
    assert b"collection-given" in result.state["read"]
    assert len(shelf.calls) == 1
    changed = shelf.values["secret"].get("k") != CollectionItem("k", encode_state(TREASURE))
    assert changed == (name in ("removes", "overwrites"))
    assert (TREASURE.encode() in result.state["read"]) == (name == "reads")


@pytest.fixture
def stores(tmp_path: Path):
    """The collections of two tenants of one store."""
    from jobcell.store import Store

    with Store.open(tmp_path / "store.db") as store:
        acme, evil = store.collections("acme"), store.collections("evil")
        acme.set("visits", [CollectionItem("k", encode_state(TREASURE))])
        yield acme, evil


def test_another_tenant_is_out_of_reach_with_every_permission(eng, stores):
    """No message names a tenant: the manager's object has one."""
    acme, evil = stores
    source = ask(frame(CollectionGet(number=1, name="visits", query=EVERYTHING)))
    result = run(eng, source, evil, "*").result(60)
    assert b"collection-given" in result.state["read"]
    assert TREASURE.encode() not in result.state["read"]
    wipe = ask(frame(CollectionRemove(number=1, name="visits", query=EVERYTHING)))
    assert run(eng, wipe, evil, "*").result(60).reason == "success"
    [kept] = acme.get("visits", EVERYTHING).items
    assert kept.value == encode_state(TREASURE)


def test_twin_with_the_object_of_the_other_tenant_the_same_frame_works(eng, stores):
    """The object of the run decides, and nothing else."""
    acme, _ = stores
    source = ask(frame(CollectionGet(number=1, name="visits", query=EVERYTHING)))
    assert TREASURE.encode() in run(eng, source, acme, "*").result(60).state["read"]


OFFENCES = {
    "an answer of its own": frame(CollectionGiven(number=1)),
    "a number that is not due": frame(CollectionGet(number=7, name="visits", query=EVERYTHING)),
    "the name of a tenant": frame(CollectionGet(number=1, name="acme/visits", query=EVERYTHING)),
    "a name of a megabyte": frame(CollectionGet(number=1, name="v" * 900_000, query=EVERYTHING)),
    "a key of 8 MB": frame(
        CollectionSet(
            number=1, name="visits", items=(SentItem("k" * 7_900_000, memoryview(b"\xc0")),)
        )
    ),
    "a set of 9 MB": frame(
        CollectionSet(
            number=1,
            name="visits",
            items=tuple(SentItem(f"k{n}", memoryview(bytes(900_000))) for n in range(10)),
        )
    ),
    "20,000 values": frame(
        CollectionSet(
            number=1,
            name="visits",
            items=tuple(SentItem(f"k{n}", memoryview(b"\xc0")) for n in range(20_000)),
        )
    ),
    "a request after the end of its job": frame(
        JobComplete(state=None, state_bytes=1, next=(), duration_ms=1)
    )
    + frame(CollectionGet(number=1, name="visits", query=EVERYTHING)),
    "two requests at once": frame(CollectionGet(number=1, name="visits", query=EVERYTHING))
    + frame(CollectionGet(number=2, name="visits", query=EVERYTHING)),
}


@pytest.mark.parametrize("name", OFFENCES)
def test_an_offence_ends_its_own_run_only(eng, shelf, name):
    """The run ends with `ProtocolError`, nothing was set, and a neighbour goes on."""
    neighbour = eng.execute(CALM)
    # The engine may read the second request only after the answer to the first one.
    data = OFFENCES[name] * (50 if name == "two requests at once" else 1)
    result = run(eng, ask(data, answers=1000), shelf, "visits").result(60)
    assert result.error.name == "ProtocolError", result
    assert all(verb == "get" for verb, _ in shelf.calls)
    assert neighbour.result(60).state["calm"] is True
    assert eng.execute(CALM).result(60).state["calm"] is True


def test_twin_a_request_by_the_rules_is_carried_out(eng, shelf):
    """The job that sends the offences can send requests at all."""
    items = tuple(SentItem(f"k{n}", memoryview(b"\xc0")) for n in range(10_000))
    source = ask(frame(CollectionSet(number=1, name="visits", items=items)))
    assert b"collection-given" in run(eng, source, shelf, "visits").result(60).state["read"]
    assert len(shelf.values["visits"]) == 10_001


def test_a_flood_of_requests_ends_at_its_limit(eng, shelf):
    """Each one is answered before the next, so nothing piles up, and all of them are counted."""
    source = f"""
def main(state):
    import os
    from protocol import codec
    from protocol.collection import CollectionQuery
    from protocol.collection_messages import CollectionGet
    from protocol.framing import header
    os.set_blocking({REQUESTS_FD}, True)
    number = 0
    while True:
        number += 1
        body = codec.encode(CollectionGet(number=number, name="secret", query=CollectionQuery()))
        os.write({ANSWERS_FD}, header(len(body)) + body)
        os.read({REQUESTS_FD}, 65536)
"""
    neighbour = eng.execute(CALM)
    result = run(eng, source, shelf, "visits", max_collection_requests=2_000).result(60)
    assert (result.error.name, result.error.option) == (
        "OutputLimitError",
        "max_collection_requests",
    ), result.error
    assert shelf.calls == []
    assert neighbour.result(60).state["calm"] is True
