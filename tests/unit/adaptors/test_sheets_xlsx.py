"""`sheets` reads and writes workbooks: types, headers, several sheets, and files that attack it."""

from __future__ import annotations

import base64
import datetime as dt
import io
import math
import zipfile
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from sheets import (
    ArgumentError,
    FileError,
    TooLargeError,
    ValueTypeError,
    list_sheets,
    read_xlsx,
    write_xlsx,
)

pytestmark = pytest.mark.slow

ROWS = [
    {"id": 7, "name": "Ada", "born": dt.date(1815, 12, 10), "paid": Decimal("12.50"), "ok": True},
    {"id": 8, "name": None, "born": None, "paid": 0.5, "ok": False},
]
DAY = dt.datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001 - a cell has no zone


def write(rows: Any, **options: Any) -> bytes:
    state = write_xlsx(rows, **options)({"data": 1})
    assert state["references"] == [1]
    content = state["data"]
    assert isinstance(content, bytes)
    return content


def read(content: Any, **options: Any) -> Any:
    state = read_xlsx(content, **options)({"data": 1})
    assert state["references"] == [1]
    return state["data"]


def book(*rows: list[Any], formats: dict[str, str] | None = None) -> bytes:
    """Return a workbook that the library itself has written."""
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for cell, number_format in (formats or {}).items():
        made.active[cell].number_format = number_format
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_what_was_written_is_read_again():
    """Dates, numbers, booleans and empty cells keep their types; a decimal is a number in a file."""
    found = read(write(ROWS))
    assert found == [{**ROWS[0], "paid": 12.5}, ROWS[1]]
    assert [type(value) for value in found[0].values()] == [int, str, dt.date, float, bool]
    assert read(write(ROWS), types={"paid": "decimal"})[0]["paid"] == Decimal("12.5")


@pytest.mark.parametrize(
    "value",
    [
        *(0, -3, 1.25, True, "text", "é\n日本", " spaces ", "=1+1", "007", "1e5", "#REF!"),
        *(dt.date(2024, 2, 29), DAY, dt.time(7, 8, 9), dt.timedelta(hours=30), 123456789012345),
        *("'quoted", "@x", "-5"),
    ],
    ids=repr,
)
def test_a_value_stays_the_same(value: object):
    """A text stays a text, whatever it looks like."""
    [[found]] = read(write([[value]]), header=False)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (12345678901234567, "12345678901234567"),
        (Decimal("1.2345678901234567"), "1.2345678901234567"),
        (Decimal("12.50"), 12.5),
        (
            dt.datetime(2024, 5, 6, 7, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(2024, 5, 6, 5),  # noqa: DTZ001 - as above
        ),
        (dt.datetime(2024, 5, 6), dt.datetime(2024, 5, 6)),  # noqa: DTZ001 - as above
        ("", None),
    ],
    ids=str,
)
def test_what_a_workbook_cannot_keep_is_changed_in_a_known_way(value: object, found: object):
    """More than 15 digits become text, and a zone becomes UTC."""
    assert read(write([[value, "x"]]), header=False) == [[found, "x"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "nan, which is not a number of Excel"),
        (math.inf, "inf, which is not"),
        (b"x", "a value of type bytes; a cell holds text"),
        ({"a": 1}, "a value of type dict"),
        ("a\x00b", "a text with a control character"),
        ("a\ud800", "a text with half of a surrogate pair"),
        ("a\uffff", "a text with half of a surrogate pair or another code"),
        ("x" * 32768, "a text of 32,768 characters; a cell holds 32,767"),
    ],
)
def test_a_value_that_a_cell_cannot_hold_is_refused_with_its_place(value: object, text: str):
    """The library would cut a long text silently."""
    with pytest.raises(ValueTypeError, match=f"row 2, column 2: {text}") as caught:
        write([{"a": 1, "b": value}])
    assert (caught.value.row, caught.value.column) == (2, 2)
    assert caught.value.retryable is False


def test_types_make_dates_of_the_texts_of_a_state():
    """A state carries a date as text; the column says what it is."""
    rows = [
        {"born": "2024-05-06", "at": "2024-05-06T07:08:09", "paid": "1.50", "n": "7", "ok": "no"}
    ]
    types = {"born": "date", "at": "datetime", "paid": "decimal", "n": "int", "ok": "bool"}
    [found] = read(write(rows, types=types))
    assert found == {"born": dt.date(2024, 5, 6), "at": DAY, "paid": 1.5, "n": 7, "ok": False}
    with pytest.raises(ValueTypeError, match="row 1, column 'n': 'x' is not a value of type int"):
        write([{"n": "x"}], types={"n": "int"})
    with pytest.raises(ArgumentError, match=r"is one of text, int, .*; not 'integer'"):
        write([{"n": 1}], types={"n": "integer"})
    with pytest.raises(ArgumentError, match="types has 'm', which is not a column"):
        write([{"n": 1}], types={"m": "int"})
    two = write({"A": [{"n": "1"}], "B": [{"m": "2"}]}, types={"n": "int", "m": "int"})
    assert read(two, sheet="*", types={"n": "text"}) == {"A": [{"n": "1"}], "B": [{"m": 2}]}
    with pytest.raises(ArgumentError, match="types has 'm', which is not a column; there are n"):
        read(write([{"n": 1}]), types={"m": "int"})


def test_a_column_of_numbers_can_be_read_as_text():
    """Numbers with leading zeros in their format, and numbers that are names."""
    content = book(["id"], [7], [7.5], ["x"], [True], [dt.date(2024, 5, 6)])
    assert [row["id"] for row in read(content, types={"id": "text"})][:4] == [
        "7",
        "7.5",
        "x",
        "true",
    ]


def test_a_date_is_told_from_a_time_by_its_format():
    """Excel keeps both as a number."""
    day = dt.datetime(2024, 5, 6)  # noqa: DTZ001 - as above
    content = book(
        [day, day, day],
        formats={"A1": "dd/mm/yyyy", "B1": "yyyy-mm-dd hh:mm", "C1": '[$-407]d. mmmm "Tags" yyyy'},
    )
    assert read(content, header=False) == [[day.date(), day, day.date()]]


def test_headers():
    """The first row, another row, given names, or none."""
    content = book(["a title", None], ["id", "name"], [1, "a"], [None, None], [2, None])
    assert read(content, header=2) == [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
    assert read(content, header=["x", "y"])[0] == {"x": "a title", "y": None}
    assert read(content, header=False)[:2] == [["a title"], ["id", "name"]]
    names = book(["id", None, "id", " n ", 5], [1, 2, 3, 4, 5])
    assert read(names) == [{"id": 1, "column_2": 2, "id_2": 3, "n": 4, "5": 5}]
    assert read(book()) == []
    with pytest.raises(ValueTypeError, match="row 2 has 3 values, and the header 2 names"):
        read(book(["a", "b"], [1, 2, 3]))
    with pytest.raises(ArgumentError, match="header is row 9, but the table has fewer rows"):
        read(content, header=9)
    for wrong in (0, -1, [], ["a", "a"], "a", None, 1.5):
        with pytest.raises(ArgumentError, match="header"):
            read(content, header=wrong)


def test_several_sheets():
    """By name, by number, some, or all; a dict of rows is written as sheets."""
    content = write({"First": [{"a": 1}], "Zweites Blatt": [{"b": 2}], "Empty": []})
    assert list_sheets(content)({})["data"] == ["First", "Zweites Blatt", "Empty"]
    assert read(content) == read(content, sheet=1) == read(content, sheet="First") == [{"a": 1}]
    assert read(content, sheet=2) == [{"b": 2}]
    assert read(content, sheet=["Zweites Blatt", 1]) == {
        "Zweites Blatt": [{"b": 2}],
        "First": [{"a": 1}],
    }
    assert read(content, sheet="*")["Empty"] == []
    for wrong in ("other", 0, 4, None, True):
        with pytest.raises(
            ArgumentError, match=r"does not have the sheet .*; it has 'First', 'Zwei"
        ):
            read(content, sheet=wrong)
    for name in ("", "x" * 32, "a/b", "a[b]", 5, "a\x01", "a\ud800", "'a"):
        with pytest.raises(ArgumentError, match="cannot be the name of a sheet"):
            write([[1]], sheet=name)
    with pytest.raises(ArgumentError, match="two sheets have the name 'a'"):
        write({"A": [[1]], "a": [[1]]})
    with pytest.raises(ArgumentError, match="at least one sheet"):
        write({})


def test_columns_have_an_order():
    """All keys in the order in which they come, or those that are named."""
    rows = [{"b": 1}, {"a": 2, "b": 3}]
    assert list(read(write(rows))[0]) == ["b", "a"]
    assert read(write(rows, columns=["a"])) == [{"a": 2}]
    assert read(write(rows, header=False), header=False) == [[1], [3, 2]]
    assert read(write([[1, 2]], columns=["x", "y"])) == [{"x": 1, "y": 2}]
    for wrong in ("x", [1], [{"a": 1}, [1]], None):
        with pytest.raises(ArgumentError, match="row"):
            write(wrong)


def test_a_formula_is_text_unless_it_is_wanted():
    """A text of the data never runs in the program that opens the file."""
    content = write([["=1+1"]], header=False)
    assert openpyxl.load_workbook(io.BytesIO(content)).active["A1"].data_type == "s"
    content = write([["=1+1"]], header=False, formulas=True)
    assert openpyxl.load_workbook(io.BytesIO(content)).active["A1"].data_type == "f"
    assert read(content, header=False, formulas=True) == [["=1+1"]]
    assert read(content, header=False) == []  # no program has computed its value yet


def test_the_content_may_be_base64():
    """JSON has no bytes."""
    state = write_xlsx([[1]], header=False, as_base64=True)({})
    assert isinstance(state["data"], str)
    assert read(state["data"], header=False) == [[1]]
    assert read(lambda s: state["data"], header=False) == [[1]]
    with pytest.raises(ArgumentError, match="bytes, or text in base64; this text is not"):
        read("no base64!")
    with pytest.raises(ArgumentError, match="bytes, or text in base64, not None"):
        read(None)


def changed(content: bytes, name: str, text: str | bytes) -> bytes:
    """Return a workbook with another part in place of its own."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for part in old.namelist():
            new.writestr(part, text if part == name else old.read(part))
    return out.getvalue()


GOOD = write_xlsx([{"a": "text"}])({})["data"]
SHEET = "xl/worksheets/sheet1.xml"
NAMESPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def sheet(rows: str) -> bytes:
    text = f"<worksheet {NAMESPACE}><sheetData>{rows}</sheetData></worksheet>"
    return changed(GOOD, SHEET, text)


def test_a_bomb_is_refused_before_it_is_unpacked():
    """Its sizes are added up; the twin with a higher limit is read."""
    bomb = sheet('<row r="1"><c r="A1"><v>1</v></c></row>' + " " * 60_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(
        TooLargeError, match=r"is 60\.\d MB in \d+ parts .*; allowed: 50 MB \(max_mb\)"
    ):
        read(bomb)
    assert read(bomb, header=False, max_mb=100) == [[1]]


def test_a_size_that_is_a_lie_does_not_help():
    """The zip file names a small size, and the module zipfile gives out no more than that."""
    bomb = bytearray(sheet('<row r="1"><c r="A1"><v>1</v></c></row>' + " " * 60_000_000))
    with zipfile.ZipFile(io.BytesIO(bytes(bomb))) as archive:
        [part] = [one for one in archive.infolist() if one.filename == SHEET]
    size = part.file_size.to_bytes(4, "little")
    for _ in range(bomb.count(size)):
        at = bomb.index(size)
        bomb[at : at + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(FileError):
        read(bytes(bomb), header=False)


@pytest.mark.parametrize(
    "entities",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
    ids=["laughs", "external"],
)
@pytest.mark.parametrize("part", [SHEET, "xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml"])
def test_entities_are_refused(part: str, entities: str):
    """In every part; the twin without them is read."""
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        text = archive.read(part).decode()
    start = text.index("?>") + 2 if text.startswith("<?xml") else 0
    bad = changed(GOOD, part, text[:start] + entities + text[start:])
    with pytest.raises(FileError, match="forbidden part: EntitiesForbidden"):
        read(bad)
    assert read(changed(GOOD, part, text)) == [{"a": "text"}]


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in (1, 2, 3)),
    ],
    ids=["far", "wide"],
)
def test_cells_that_are_far_away_are_counted(rows: str):
    """A cell at the end makes all cells before it empty ones."""
    with pytest.raises(TooLargeError, match=r"more than 40,000 cells \(max_cells\)"):
        read(sheet(rows), header=False, max_cells=40_000)


def test_the_size_that_a_sheet_claims_is_not_believed():
    """A sheet of one cell may claim to have a million rows."""
    text = f'<worksheet {NAMESPACE}><dimension ref="A1:XFD1048576"/><sheetData>'
    text += '<row r="1"><c r="A1"><v>1</v></c></row></sheetData></worksheet>'
    assert read(changed(GOOD, SHEET, text), header=False, max_cells=10) == [[1]]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not a workbook"),
        (b"id,name\n1,2\n", "is not a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old file of Excel"),
        (GOOD[:-30], "is not a workbook"),
        (changed(GOOD, SHEET, "<worksheet"), "is damaged"),
        (changed(GOOD, "xl/workbook.xml", "<a/>"), "has no sheet"),
        (changed(GOOD, "[Content_Types].xml", "<Types/>"), "is damaged"),
        (sheet('<row r="1"><c r="A1" t="s"><v>99</v></c></row>'), "is damaged"),
        (sheet('<row r="x"><c r="A1"><v>1</v></c></row>'), "is damaged"),
    ],
)
def test_a_damaged_file_is_one_clear_error(content: bytes, text: str):
    """Not one of many errors of the library."""
    with pytest.raises(FileError, match=text) as caught:
        read(content, header=False)
    assert caught.value.retryable is False


def test_an_empty_zip_file_is_not_a_workbook():
    """Nor is another file of Office."""
    out = io.BytesIO()
    zipfile.ZipFile(out, "w").close()
    with pytest.raises(FileError):
        read(out.getvalue())


def test_limits_and_flags_are_checked():
    """With the name and the value."""
    with pytest.raises(ArgumentError, match="max_mb is a number above 0, not 0"):
        read(GOOD, max_mb=0)
    with pytest.raises(ArgumentError, match="formulas is True or False, not str"):
        read_xlsx(GOOD, formulas="no")
    assert base64.b64decode(write_xlsx([[1]], as_base64=True)({})["data"]).startswith(b"PK")
