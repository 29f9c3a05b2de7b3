"""parse_csv turns text into rows and names a wrong line."""

from __future__ import annotations

import asyncio

import common
import pytest
from common import parse_csv

TEXT = "a,b,c\n1,2,3\n4,5,6\n7,8,9"
ROWS = [
    {"a": "1", "b": "2", "c": "3"},
    {"a": "4", "b": "5", "c": "6"},
    {"a": "7", "b": "8", "c": "9"},
]


def rows_of(text, **options):
    return parse_csv(text, options)({})["data"]


def test_rows_become_data_and_the_data_before_a_reference():
    """Without a callback, the rows come all at once, or chunk after chunk."""
    state = {"data": {"something": "came before"}, "references": []}
    assert parse_csv(TEXT)(state) == {"data": ROWS, "references": [{"something": "came before"}]}
    assert parse_csv(TEXT, {"chunkSize": 2})(state) == {
        "data": ROWS[2:],
        "references": [{"something": "came before"}, ROWS[:2]],
    }


def test_options_may_be_keywords():
    """They win over those of a dict, and an unknown one is named."""
    assert parse_csv("a;b\n1;2", delimiter=";")({})["data"] == [{"a": "1", "b": "2"}]
    operation = parse_csv("a;b\n1;2", {"delimiter": ",", "columns": False}, delimiter=";")
    assert operation({})["data"] == [["a", "b"], ["1", "2"]]
    with pytest.raises(common.ArgumentError, match="parse_csv: unknown option 'quotes'; there are"):
        parse_csv("a", quotes="'")({})


def test_a_callback_gets_every_chunk_in_turn():
    """The state from the callback goes on to the next chunk; a callback may be asynchronous."""

    def add(state, rows):
        return {"sums": [*state["sums"], sum(int(row["b"]) for row in rows)]}

    async def add_later(state, rows):
        await asyncio.sleep(0)
        return add(state, rows)

    assert parse_csv(TEXT, {"chunk_size": 2}, add)({"sums": []}) == {"sums": [7, 8]}
    operation = parse_csv(lambda state: TEXT, lambda state: {"chunk_size": 1}, add_later)
    assert asyncio.run(operation({"sums": []})) == {"sums": [2, 5, 8]}


@pytest.mark.parametrize(
    ("text", "options", "rows"),
    [
        pytest.param(b"a,b\n1,2", {}, [{"a": "1", "b": "2"}], id="bytes"),
        pytest.param(["a,b\n1", ",2\n"], {}, [{"a": "1", "b": "2"}], id="stream"),
        pytest.param([b"a\n\xc3", b"\xa4"], {}, [{"a": "ä"}], id="stream-of-bytes"),
        pytest.param("\ufeffa\n1", {}, [{"a": "1"}], id="bom"),
        pytest.param("a;b\r\n1;2\r\n", {"delimiter": ";"}, [{"a": "1", "b": "2"}], id="delimiter"),
        pytest.param("a , b\n 1 ,\t2 ", {}, [{"a": "1", "b": "2"}], id="trim"),
        pytest.param("a\n 1 ", {"trim": False}, [{"a": " 1 "}], id="no-trim"),
        pytest.param("a\n 1 ", {"rtrim": False}, [{"a": "1 "}], id="ltrim-only"),
        pytest.param("a\n\n1\n\n", {}, [{"a": "1"}], id="empty-lines"),
        pytest.param('a,b\n"x,\n""y""",2', {}, [{"a": 'x,\n"y"', "b": "2"}], id="quoted"),
        pytest.param("a\n'it\\'s'", {"quote": "'", "escape": "\\"}, [{"a": "it's"}], id="escape"),
        pytest.param("1,2", {"columns": False}, [["1", "2"]], id="lists"),
        pytest.param("1,2", {"columns": ["x", "y"]}, [{"x": "1", "y": "2"}], id="names"),
        pytest.param("a\n1", {"columns": lambda row: ["A"]}, [{"A": "1"}], id="names-by-function"),
        pytest.param("", {}, [], id="nothing"),
    ],
)
def test_options_say_what_the_text_is(text, options, rows):
    """The options are those of language-common, in Python's spelling."""
    assert rows_of(text, **options) == rows


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a,b,c\n1,2,3,8\n4,5,6", "Invalid Record Length: columns length is 3, got 4 on line 2", 2),
        ("a,b\n1,2\n3", "columns length is 2, got 1 on line 3", 3),
        ('a\n"x', "on line 2", 2),
    ],
)
def test_a_wrong_line_is_named(text, message, line):
    """The error has the line as data, too."""
    with pytest.raises(common.CsvError, match=message) as caught:
        rows_of(text)
    assert caught.value.details["line"] == line


def test_arguments_are_checked():
    """The test tries sizes below 1, unknown options and values that are not text."""
    with pytest.raises(common.ArgumentError, match="chunk_size must be at least 1"):
        rows_of(TEXT, chunk_size=0)
    with pytest.raises(common.ArgumentError, match="unknown option 'sep'"):
        rows_of(TEXT, sep=";")
    with pytest.raises(common.ArgumentError, match="needs a text, not dict"):
        rows_of({})


def test_what_a_callback_raises_comes_through():
    """An error of the job stays an error of the job."""

    def fail(state, rows):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        parse_csv(TEXT, {}, fail)({})
