"""Spreadsheets for workflow jobs: XLSX and CSV, from bytes in the state and to bytes in the state.

The verbs return operations: functions from state to state.  Any of their arguments may be a function of
state.  In the state that an operation returns, `data` has the rows or the bytes of the file, and the value
that `data` had before is the last item of `references`.
"""

from __future__ import annotations

from typing import Any

from . import columns as _columns
from . import text_tables as _text
from .arguments import Operation, State
from .arguments import content_of as _content_of
from .arguments import flag as _flag
from .arguments import next_state as _next_state
from .arguments import positive as _positive
from .arguments import resolve as _resolve
from .arguments import written as _written
from .errors import ArgumentError, FileError, SheetsError, TooLargeError, ValueTypeError
from .workbooks import Book as _Book
from .workbooks import write_book as _write_book

__version__ = "1.0.0"

__all__ = [
    "ArgumentError",
    "FileError",
    "SheetsError",
    "TooLargeError",
    "ValueTypeError",
    "list_sheets",
    "read_csv",
    "read_xlsx",
    "write_csv",
    "write_xlsx",
]

_ALL = "*"


def read_xlsx(
    content: Any,
    *,
    sheet: Any = 1,
    header: Any = True,
    types: Any = None,
    formulas: bool = False,
    max_mb: float = 50,
    max_cells: float = 2_000_000,
) -> Operation:
    """Read a workbook; `data` becomes the rows of a sheet.

    Dates, times, numbers and booleans keep their types, and an empty cell is None.  Rows without a value
    are left out.

    Args:
        content: The bytes of the file, or text in base64.
        sheet: The name or the number (from 1) of a sheet.  A list of these, or `"*"` for all sheets, makes
            `data` a dict of name to rows.
        header: True: the first row has the names of the columns.  A number: this row has them.  A list:
            the names.  False: rows are lists.
        types: A dict of column to `"text"`, `"int"`, `"float"`, `"decimal"`, `"bool"`, `"date"`,
            `"datetime"` or `"time"`.
        formulas: True gives the text of a formula in place of its value.
        max_mb: Most megabytes of the file when it is unpacked.
        max_cells: Most cells.

    Raises:
        ArgumentError: An argument is wrong.
        FileError: The content is not a workbook, or is damaged.
        TooLargeError: It is too large.
        ValueTypeError: A value does not have the type of its column.

    Example:
        `read_xlsx(state.data.file, sheet="Visits", types={"patient": "text"})`

    """
    _flag("formulas", formulas)

    def run(state: State) -> State:
        given, wanted, names, kinds = _resolve(state, [content, sheet, header, types])
        names, kinds = _columns.checked_header(names), _columns.checked_types(kinds)
        counter = _columns.Counter(_positive("max_cells", max_cells))
        book = _Book(_content_of(given), max_mb=_positive("max_mb", max_mb), formulas=formulas)
        try:
            several = wanted == _ALL or isinstance(wanted, list)

            def read(name: str) -> list[Any]:
                rows = counter.count(book.rows(name))
                return _columns.as_rows(rows, names, kinds, one_of_many=several)

            if several:
                chosen = book.names if wanted == _ALL else [book.name_of(one) for one in wanted]
                data: Any = {name: read(name) for name in chosen}
            else:
                data = read(book.name_of(wanted))
        finally:
            book.close()
        return _next_state(state, data)

    return run


def list_sheets(content: Any, *, max_mb: float = 50) -> Operation:
    """List the names of the sheets of a workbook.

    Args:
        content: As for `read_xlsx`.
        max_mb: As for `read_xlsx`.

    Raises:
        ArgumentError: An argument is wrong.
        FileError: The content is not a workbook, or is damaged.
        TooLargeError: It is too large.

    Example:
        `list_sheets(state.data.file)`

    """

    def run(state: State) -> State:
        given = _content_of(_resolve(state, content))
        book = _Book(given, max_mb=_positive("max_mb", max_mb), formulas=False)
        names = book.names
        book.close()
        return _next_state(state, names)

    return run


def write_xlsx(
    rows: Any,
    *,
    sheet: Any = "Sheet1",
    columns: Any = None,
    header: bool = True,
    types: Any = None,
    formulas: bool = False,
    as_base64: bool = False,
) -> Operation:
    """Write a workbook; `data` becomes its bytes.

    Text stays text, also if it begins with `=` or looks like a number.  A number with more than 15 digits
    becomes text, because Excel would round it.  A time with a zone becomes UTC.

    Args:
        rows: A list of dicts or of lists, or a dict of sheet name to such a list.
        sheet: The name of the sheet, if *rows* is a list.
        columns: The names of the columns in their order; all keys if it is not given.
        header: Whether the first row has the names.
        types: A dict of column to type, as for `read_xlsx`: a state has dates as text, and
            `{"born": "date"}` makes them dates of the workbook.
        formulas: True makes a text that begins with `=` a formula.
        as_base64: True makes `data` a text in base64.

    Raises:
        ArgumentError: An argument is wrong.
        ValueTypeError: A value cannot be in a cell, or does not have the type of its column.

    Example:
        `write_xlsx(state.data.visits, sheet="Visits", types={"day": "date", "paid": "decimal"})`

    """
    for name, value in (("header", header), ("formulas", formulas), ("as_base64", as_base64)):
        _flag(name, value)

    def run(state: State) -> State:
        given, name, order, kinds = _resolve(state, [rows, sheet, columns, types])
        sheets = given if isinstance(given, dict) else {name: given}
        if not sheets:
            raise ArgumentError("a workbook has at least one sheet")
        kinds = _columns.checked_types(kinds)
        several = len(sheets) > 1
        tables = {
            one: _columns.table(found, order, header, kinds, one_of_many=several)
            for one, found in sheets.items()
        }
        content = _write_book(tables, header=header, formulas=formulas)
        return _written(state, content, as_base64=as_base64)

    return run


def read_csv(
    content: Any,
    *,
    header: Any = True,
    types: Any = None,
    encoding: Any = None,
    delimiter: Any = None,
    quote: Any = '"',
    escape: Any = None,
    trim: bool = False,
    unescape_formulas: bool = False,
    max_cells: float = 2_000_000,
) -> Operation:
    """Read CSV; `data` becomes its rows.  Values are text, unless *types* says otherwise; no value is None.

    Args:
        content: The bytes of the file, or its text.
        header: As for `read_xlsx`.
        types: As for `read_xlsx`.
        encoding: The encoding of the bytes; if it is not given, a byte order mark decides, and else UTF-8.
        delimiter: A character; if it is not given, the most likely of `,`, `;`, `|` and tab.
        quote: A character, or None.
        escape: A character, or None: a quote inside of a value is then written twice.
        trim: True takes spaces around values away.
        unescape_formulas: True takes away the apostrophe that `write_csv` writes.
        max_cells: Most cells.

    Raises:
        ArgumentError: An argument is wrong.
        FileError: The content is not in that encoding, or a quote is not closed.
        TooLargeError: It has too many cells.
        ValueTypeError: A value does not have the type of its column.

    Example:
        `read_csv(state.data.file, delimiter=";", types={"age": "int", "paid": "decimal"})`

    """
    for name, value in (("trim", trim), ("unescape_formulas", unescape_formulas)):
        _flag(name, value)

    def run(state: State) -> State:
        given, names, kinds = _resolve(state, [content, header, types])
        names, kinds = _columns.checked_header(names), _columns.checked_types(kinds)
        chosen = None if encoding is None else _text.codec(_resolve(state, encoding))
        if isinstance(given, str):
            text = given.removeprefix("\ufeff")
        else:
            text = _text.decoded(_content_of(given), chosen)
        dialect = _text.Dialect(delimiter=_resolve(state, delimiter), quote=quote, escape=escape)
        found = _text.read(text, dialect, trim=trim, unescape=unescape_formulas)
        counted = _columns.Counter(_positive("max_cells", max_cells)).count(found)
        return _next_state(state, _columns.as_rows(counted, names, kinds))

    return run


def write_csv(
    rows: Any,
    *,
    columns: Any = None,
    header: bool = True,
    types: Any = None,
    encoding: Any = "utf-8",
    delimiter: Any = ",",
    quote: Any = '"',
    escape: Any = None,
    line_end: str = "\r\n",
    escape_formulas: bool = True,
    as_base64: bool = False,
) -> Operation:
    """Write CSV; `data` becomes its bytes.

    A program for spreadsheets runs a text that begins with `=`, `+`, `-`, `@`, tab or a line break as a
    formula.  Such a text gets an apostrophe before it, unless it is a number.

    Args:
        rows: A list of dicts or of lists.
        columns: The names of the columns in their order; all keys if it is not given.
        header: Whether the first row has the names.
        types: As for `write_xlsx`.
        encoding: The encoding; `"utf-8-sig"` writes a byte order mark, with which Excel knows UTF-8.
        delimiter: A character.
        quote: A character, or None.
        escape: A character, or None.
        line_end: The characters after each row: a carriage return and a line feed, or a line feed.
        escape_formulas: False leaves every text as it is.
        as_base64: True makes `data` a text in base64.

    Raises:
        ArgumentError: An argument is wrong, or the encoding lacks a character.
        ValueTypeError: A value cannot be in a cell, or does not have the type of its column.

    Example:
        `write_csv(state.data.visits, columns=["id", "name"], delimiter=";", encoding="utf-8-sig")`

    """
    for name, value in (
        ("header", header),
        ("escape_formulas", escape_formulas),
        ("as_base64", as_base64),
    ):
        _flag(name, value)
    if line_end not in ("\r\n", "\n"):
        raise ArgumentError(f"line_end is '\\r\\n' or '\\n', not {line_end!r:.100}")

    def run(state: State) -> State:
        given, order, kinds = _resolve(state, [rows, columns, types])
        chosen = _text.codec(_resolve(state, encoding))
        table = _columns.table(given, order, header, _columns.checked_types(kinds))
        dialect = _text.Dialect(delimiter=_resolve(state, delimiter), quote=quote, escape=escape)
        text = _text.write(table, dialect, line_end=line_end, escape_formulas=escape_formulas)
        try:
            content = text.encode(chosen)
        except UnicodeEncodeError as error:
            lacking = text[error.start]
            fix = "; write encoding='utf-8'"
            if "\ud800" <= lacking <= "\udfff":
                fix = ", which is half of a surrogate pair and not a character"
            raise ArgumentError(f"{chosen} lacks the character {lacking!r}{fix}") from None
        return _written(state, content, as_base64=as_base64)

    return run
