"""The workloads W1 to W6: a plan, an initial state, and the expected final state."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

ADD_ONE = "def main(state):\n    state.data.x += 1\n    return state\n"
SUM_OF_SQUARES = """\
def main(state):
    state["data"]["sum"] = sum(i * i for i in range(1, 1_000_001))
    return state
"""
SUM = 333_333_833_333_500_000


class Workload(NamedTuple):
    """A kind of run."""

    name: str
    what: str
    plan: dict[str, Any]
    make_state: Callable[[], dict[str, Any]]
    right: Callable[[Any], bool]
    """Whether a final state is the expected one."""


def chain(length: int, source: str = ADD_ONE) -> dict[str, Any]:
    """Return a plan of *length* steps, one after another."""
    steps: list[dict[str, Any]] = [
        {"id": f"s{i}", "expression": source, "next": f"s{i + 1}"} for i in range(length)
    ]
    del steps[-1]["next"]
    return {"workflow": {"steps": steps}, "options": {"timeout": 600_000}}


def fan(children: int) -> dict[str, Any]:
    """Return a plan of one root, and of children behind an edge condition each."""
    following = {f"c{i}": {"condition": "state.data.x > 1"} for i in range(children)}
    steps = [{"id": "root", "expression": ADD_ONE, "next": following}]
    steps += [{"id": f"c{i}", "expression": ADD_ONE} for i in range(children)]
    return {"workflow": {"steps": steps}}


def small() -> dict[str, Any]:
    return {"data": {"x": 1}}


def large_state(json_bytes: int) -> dict[str, Any]:
    """Return nested records whose JSON has about *json_bytes* bytes, the same ones every time."""
    numbers = random.Random(42)
    items: list[dict[str, Any]] = []
    size = 0
    while size < json_bytes:
        items.append(_item(len(items), numbers))
        text = json.dumps(items[-1], separators=(",", ":"), ensure_ascii=False)
        size += len(text.encode()) + 1
    return {"data": {"x": 1, "items": items}}


@functools.cache
def ten_megabytes() -> dict[str, Any]:
    return large_state(10_000_000)


def _item(number: int, numbers: random.Random) -> dict[str, Any]:
    return {
        "id": number,
        "uuid": f"{numbers.getrandbits(128):032x}",
        "name": f"Person {number}",
        "active": number % 3 == 0,
        "score": numbers.random() * 1000,
        "tags": ["alpha", "beta", f"t{number % 97}"],
        "address": {
            "street": f"{number % 999} Main Street",
            "city": f"City-{number % 53}",
            "zip": f"{number % 99999:05d}",
            "geo": {"lat": numbers.random() * 180 - 90, "lon": numbers.random() * 360 - 180},
        },
        "history": [
            {
                "at": 1_700_000_000 + number * 7 + visit,
                "event": "visit",
                "value": numbers.randrange(10_000),
                "note": None,
            }
            for visit in range(3)
        ],
        "text": "lorem ipsum dolor sit amet é " * 3,
    }


def _x_is(expected: int) -> Callable[[Any], bool]:
    return lambda state: state == {"data": {"x": expected}}


def _right_large(state: Any) -> bool:
    given = ten_megabytes()["data"]["items"]
    return bool(state["data"]["x"] == 4 and state["data"]["items"] == given)


def _right_fan(state: Any) -> bool:
    return bool(state == {f"c{i}": {"data": {"x": 3}} for i in range(20)})


WORKLOADS = {
    load.name: load
    for load in (
        Workload("W1", "one trivial job", chain(1), small, _x_is(2)),
        Workload("W2", "a chain of 10 such jobs", chain(10), small, _x_is(11)),
        Workload("W3", "a chain of 100 such jobs", chain(100), small, _x_is(101)),
        Workload("W4", "10 MB of state through 3 jobs", chain(3), ten_megabytes, _right_large),
        Workload("W5", "a root and 20 children behind a condition", fan(20), small, _right_fan),
        Workload(
            "W6",
            "one job: the sum of a million squares",
            chain(1, SUM_OF_SQUARES),
            small,
            lambda state: state == {"data": {"x": 1, "sum": SUM}},
        ),
    )
}
