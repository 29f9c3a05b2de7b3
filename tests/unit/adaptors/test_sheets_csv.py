"""`sheets` reads and writes CSV: dialects, encodings, types, and formulas."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sheets import ArgumentError, FileError, TooLargeError, ValueTypeError, read_csv, write_csv

from examples import examples

pytestmark = pytest.mark.slow


def read(content: Any, **options: Any) -> Any:
    return read_csv(content, **options)({})["data"]


def write(rows: Any, **options: Any) -> bytes:
    content = write_csv(rows, **options)({})["data"]
    assert isinstance(content, bytes)
    return content


def test_rows_are_dicts_of_text():
    """An empty value is None, and so is a missing one at the end of a row."""
    found = read(b'id,name\r\n1,"a ""b""\nc"\r\n2,\r\n3\r\n\r\n')
    assert found == [
        {"id": "1", "name": 'a "b"\nc'},
        {"id": "2", "name": None},
        {"id": "3", "name": None},
    ]
    assert read("a,b\n1,2\n", header=False) == [["a", "b"], ["1", "2"]]
    assert read("a title\nid\n1\n", header=2) == [{"id": "1"}]
    assert read("") == []


def test_types_are_made_of_text():
    """A value of another type is an error with its place."""
    types = {"n": "int", "p": "decimal", "f": "float", "d": "date", "t": "datetime", "ok": "bool"}
    [found] = read("n,p,f,d,t,ok\n07,1.50,1e3,2024-05-06,2024-05-06T07:08:00Z,yes\n", types=types)
    assert found == {
        "n": 7,
        "p": Decimal("1.50"),
        "f": 1000.0,
        "d": dt.date(2024, 5, 6),
        "t": dt.datetime(2024, 5, 6, 7, 8, tzinfo=dt.UTC),
        "ok": True,
    }
    for name, text in (("n", "1.5"), ("p", "x"), ("p", "NaN"), ("d", "6.5.2024"), ("ok", "2")):
        with pytest.raises(
            ValueTypeError, match=f"row 2, column '{name}': '{text}' is not a value"
        ):
            read(f"{name}\n{text}\n", types={name: types[name]})


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str):
    """Also if values hold other ones."""
    text = f'id{delimiter}name\n1{delimiter}"a,b;c"\n2{delimiter}1|2\n'.replace("1|2", "x")
    assert read(text) == [{"id": "1", "name": "a,b;c"}, {"id": "2", "name": "x"}]
    assert read(f"a{delimiter}b\n", delimiter=delimiter, header=False) == [["a", "b"]]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252", "latin-1"]
)
def test_encodings(encoding: str):
    """A byte order mark is recognised and taken away; without one it is UTF-8 or the given one."""
    rows = [{"Größe": "é"}]
    content = write(rows, encoding=encoding)
    assert read(content, encoding=encoding) == rows
    if encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert read(content) == rows


def test_wrong_encodings_are_told():
    """With the byte, and with what to write."""
    with pytest.raises(
        FileError, match=r"is not utf-8: byte 2 is 0xe9; give its encoding, such as"
    ):
        read(b"a\n\xe9\n")
    with pytest.raises(ArgumentError, match="unknown encoding 'utf-9'"):
        read(b"a\n", encoding="utf-9")
    with pytest.raises(ArgumentError, match="unknown encoding 'base64'"):
        write([["a"]], encoding="base64")
    with pytest.raises(
        ArgumentError, match="cp1252 lacks the character '日'; write encoding='utf-8'"
    ):
        write([["日"]], encoding="cp1252")
    with pytest.raises(
        ArgumentError, match="which is half of a surrogate pair and not a character"
    ):
        write([["a\ud800"]])


def test_dialects():
    """Quotes, escapes and ends of lines."""
    rows = [["a'b", "c,d", 1]]
    assert write(rows, header=False, quote="'", line_end="\n") == b"'a''b','c,d',1\n"
    assert read(b"'a''b','c,d',1\n", header=False, quote="'") == [["a'b", "c,d", "1"]]
    escaped = write(rows, header=False, quote=None, escape="\\")
    assert escaped == b"a'b,c\\,d,1\r\n"
    assert read(escaped, header=False, delimiter=",", quote=None, escape="\\") == [
        ["a'b", "c,d", "1"]
    ]
    assert read(b" a , b \n", header=False, trim=True) == [["a", "b"]]
    with pytest.raises(ArgumentError, match=r"need to escape.*; give a quote or an escape"):
        write(rows, header=False, quote=None)
    for options in ({"delimiter": ",,"}, {"delimiter": "\n"}, {"quote": ""}, {"delimiter": '"'}):
        with pytest.raises(ArgumentError, match=r"delimiter|quote"):
            write(rows, **options)
    with pytest.raises(ArgumentError, match="line_end is"):
        write_csv(rows, line_end="\r")


@pytest.mark.parametrize("text", ['a\n"b', 'a\n"b"c\n'], ids=["open", "after"])
def test_a_broken_quote_is_an_error_with_its_line(text: str):
    """The module csv would take the rest of the file as one value."""
    with pytest.raises(FileError, match=r"line [23]: ") as caught:
        read(text)
    assert caught.value.line in (2, 3)


@pytest.mark.parametrize(
    "text", ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\r=x", "=cmd|' /C calc'!A0"]
)
def test_a_formula_is_escaped_unless_it_is_wanted(text: str):
    """With an apostrophe, which reading can take away again."""
    content = write([[text]], header=False)
    [[found]] = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert found == f"'{text}"
    assert read(content, header=False, delimiter=",", unescape_formulas=True) == [[text]]
    [[found]] = list(
        csv.reader(
            io.StringIO(write([[text]], header=False, escape_formulas=False).decode(), newline="")
        )
    )
    assert found == text


@pytest.mark.parametrize("value", ["-5", "+4.2", "-1,5", "-1e5", "-5%", -5, "a=b", "'x", "x-y"])
def test_numbers_and_other_texts_are_not_escaped(value: object):
    """A number with a sign is harmless."""
    assert read(write([[value]], header=False), header=False, delimiter=";") == [[str(value)]]


def test_values_are_written_as_text():
    """None is empty; dates are ISO 8601."""
    row = [None, True, 1, 1.5, Decimal("1.50"), dt.date(2024, 5, 6), dt.time(7, 8), "x"]
    assert write([row], header=False) == b",true,1,1.5,1.50,2024-05-06,07:08:00,x\r\n"
    assert write([{"b": 1}, {"a": 2}]) == b"b,a\r\n1,\r\n,2\r\n"
    assert write([{"b": 1, "a": 2}], columns=["a", "c"]) == b"a,c\r\n2,\r\n"
    assert write([{"d": "2024-05-06"}], types={"d": "date"}) == b"d\r\n2024-05-06\r\n"
    with pytest.raises(ValueTypeError, match="row 2, column 1: a value of type list"):
        write([{"a": [1]}])


def test_cells_are_counted():
    """Before the rows are kept."""
    with pytest.raises(TooLargeError, match=r"more than 10 cells \(max_cells\)"):
        read("a,b\n" * 6, max_cells=10)
    assert len(read("a,b\n" * 5, max_cells=10)) == 4


def test_a_long_value_is_read():
    """The module csv has a limit of 131,072 characters."""
    before = csv.field_size_limit()
    assert read(f"a\n{'x' * 300_000}\n")[0]["a"] == "x" * 300_000
    assert csv.field_size_limit() == before


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@examples(150)
@given(
    st.lists(st.lists(CELLS | st.none(), min_size=2, max_size=3), max_size=5),
    st.sampled_from([",", ";", "\t"]),
)
def test_what_was_written_is_read_again(rows: list[list[str | None]], delimiter: str):
    """Any text, with the apostrophes taken away; trailing empty values have no place in a row."""
    content = write(rows, header=False, delimiter=delimiter)

    found = read(content, header=False, delimiter=delimiter, unescape_formulas=True)

    def without_end(row: list[str | None]) -> list[str | None]:
        while row and row[-1] is None:
            row = row[:-1]
        return row

    wanted = [without_end(row) for row in rows if any(row)]
    ambiguous = any(cell and cell[0] == "'" for row in rows for cell in row)
    assert found == wanted or ambiguous
