"""Every line of the tables in docs/state.md is the result of a real run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from runs import make_engine

PAGE = (Path(__file__).parents[2] / "docs" / "state.md").read_text()
PRELUDE = """
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from uuid import UUID

class Colour(Enum):
    RED = "red"

class Level(IntEnum):
    HIGH = 3

@dataclass
class Person:
    name: str
    born: object = None

class Stamp(datetime):
    pass

class Money(Decimal):
    pass

"""


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the two columns of the table below a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.*?)` \| `(.*?)` \|$", section, re.MULTILINE)


@pytest.fixture(scope="module")
def shared():
    """All tests of the page share this engine."""
    with make_engine("zygote", max_runs=1) as engine:
        assert engine.execute("import time\ndef main(state): time.sleep(0.3)").result(20)
        yield engine


@pytest.mark.parametrize(
    ("heading", "shape"), [("How values are carried", "{}"), ("Keys", "{{{}: 1}}")]
)
def test_each_type_becomes_what_the_page_says(shared, heading, shape):
    """The value and the type are those of the page."""
    table = rows(heading)
    assert len(table) > 8
    values = ", ".join(shape.format(value) for value, _ in table)
    result = shared.execute(PRELUDE + f"def main(state): return {{'data': [{values}]}}").result(20)
    assert result.error is None, result.error
    for (value, expected), found in zip(table, result.state["data"], strict=True):
        assert repr(found) == repr(eval(shape.format(expected))), value


def test_each_error_is_the_one_of_the_page(shared):
    """The page quotes the whole message of each error."""
    table = rows("Values that cannot be carried")
    assert len(table) > 3
    for value, message in table:
        source = PRELUDE + f"def main(state): return {{'data': {value}}}"
        error = shared.execute(source).result(20).error
        assert (error.name, error.message) == ("StateError", message)


def test_the_depth_of_the_page_is_right(shared):
    """The depths are those of a small and of a large integer."""
    source = "def main(state):\n    d = {}\n    for _ in range(850):\n        d = [d]\n    return d"
    for leaf in ("1", "2**70"):
        assert shared.execute(source.format(leaf)).result(20).error is None
