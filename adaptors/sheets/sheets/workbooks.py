"""Workbooks (XLSX) from and to bytes, on openpyxl; this module does not know states.

A workbook is a zip file of XML, and a few kilobytes can unpack to gigabytes.  So the sizes in the zip file
are added up before anything is unpacked.  The module `zipfile` never gives out more than these sizes.
Documents with entities are refused by defusedxml.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import io
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import openpyxl
from defusedxml import DefusedXmlException
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._writer import WorksheetWriter
from openpyxl.writer.excel import ExcelWriter

from .errors import ArgumentError, FileError, TooLargeError, ValueTypeError, kind

MEGABYTE: Final = 1_000_000
MOST_PARTS: Final = 10_000
MOST_ROWS: Final = 1_048_576
MOST_COLUMNS: Final = 16_384
LONGEST_TEXT: Final = 32_767
NO_CHARACTERS: Final = re.compile("[\ud800-\udfff\ufffe\uffff]")
"""Codes that a text of Python can have and XML cannot.  Source: XML 1.0, section 2.2."""

LONGEST_NAME: Final = 31
EXACT_DIGITS: Final = 15
"""Digits of a number that Excel keeps."""

_OLD_FILE: Final = b"\xd0\xcf\x11\xe0"
_NOT_IN_A_NAME: Final = re.compile(r"[\\*?:/\[\]]")


class Book:
    """A workbook to read."""

    def __init__(self, content: bytes, *, max_mb: float, formulas: bool) -> None:
        """Open a workbook.

        Raises:
            FileError: The content is not a workbook.
            TooLargeError: It is too large.

        """
        _check_sizes(content, max_mb)
        if not openpyxl.DEFUSEDXML:
            raise FileError("defusedxml is missing, without which no workbook is read")
        with _translated(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which do not matter here
            self._book = openpyxl.load_workbook(
                io.BytesIO(content), read_only=True, data_only=not formulas, keep_links=False
            )

    @property
    def names(self) -> list[str]:
        """The names of the sheets with cells, in their order."""
        return [sheet.title for sheet in self._book.worksheets]

    def name_of(self, wanted: Any) -> str:
        """Return the name of a sheet.

        Args:
            wanted: A name, or a number from 1.

        Raises:
            ArgumentError: The workbook does not have it.
            FileError: The workbook does not have any sheet.

        """
        names = self.names
        if not names:
            raise FileError("the workbook has no sheet with cells")
        if isinstance(wanted, str) and wanted in names:
            return wanted
        if type(wanted) is int and 0 < wanted <= len(names):
            return names[wanted - 1]
        shown = ", ".join(map(repr, names))[:300]
        raise ArgumentError(f"the workbook does not have the sheet {wanted!r:.100}; it has {shown}")

    def rows(self, name: str) -> Iterator[list[Any]]:
        """Yield the rows of a sheet, each as long as its last cell."""
        sheet = self._book[name]
        sheet.reset_dimensions()  # the size that the file claims
        with _translated(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for cells in sheet.iter_rows():
                yield [_read(cell) for cell in cells]

    def close(self) -> None:
        """Let go of the file."""
        self._book.close()


def _read(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, dt.datetime) and _is_a_day(cell, value):
        return value.date()
    return value


def _is_a_day(cell: Any, value: dt.datetime) -> bool:
    """Return whether the format of a cell shows a date without a time."""
    if value.time() != dt.time():
        return False
    shown = re.sub(r'"[^"]*"|\[[^\]]*\]|\\.', "", str(cell.number_format)).lower()
    return "h" not in shown and "s" not in shown


def _check_sizes(content: bytes, max_mb: float) -> None:
    if content.startswith(_OLD_FILE):
        raise FileError(
            "the content is an old file of Excel (.xls) or an encrypted one; save it as .xlsx"
            " without a password"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise FileError(f"the content is not a workbook (.xlsx): {error}") from None
    size = sum(part.file_size for part in parts)
    if size > max_mb * MEGABYTE or len(parts) > MOST_PARTS:
        raise TooLargeError(
            f"the workbook is {size / MEGABYTE:.1f} MB in {len(parts)} parts when it is unpacked;"
            f" allowed: {max_mb:g} MB (max_mb) in {MOST_PARTS:,} parts",
            max_mb=max_mb,
        )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of damaged files into those of this package."""
    try:
        yield
    except (
        DefusedXmlException,
        *(InvalidFileException, zipfile.BadZipFile, SyntaxError, EOFError, KeyError),
        *(ValueError, TypeError, AttributeError, IndexError, OSError),
    ) as error:
        # The library passes on some errors as a ValueError with a cause.
        causes = (error, error.__cause__, error.__context__)
        forbidden = next((one for one in causes if isinstance(one, DefusedXmlException)), None)
        if forbidden is not None:
            what = type(forbidden).__name__
            raise FileError(f"the workbook has a forbidden part: {what}") from None
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise FileError(f"the workbook is damaged: {what}") from None


def write_book(sheets: dict[str, list[list[Any]]], *, header: bool, formulas: bool) -> bytes:
    """Return a workbook.

    Args:
        sheets: The rows of each sheet by its name.
        header: Whether the first row of each sheet is bold, and stays in view.
        formulas: Whether a text that begins with `=` becomes a formula.

    Raises:
        ArgumentError: A name cannot be that of a sheet, or a sheet is too large.
        ValueTypeError: A value cannot be in a cell.

    """
    book = openpyxl.Workbook(write_only=False)
    for sheet in list(book.worksheets):
        book.remove(sheet)
    for name, rows in sheets.items():
        _check_sheet(name, rows, list(book.sheetnames))
        sheet = book.create_sheet(name)
        for number, row in enumerate(rows, 1):
            for at, value in enumerate(row, 1):
                if value is not None:
                    _write_cell(sheet, number, at, value, formulas=formulas)
        if header and rows:
            sheet.freeze_panes = "A2"
            for cell in sheet[1]:
                cell.font = openpyxl.styles.Font(bold=True)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        _MemoryWriter(book, archive).save()
    return out.getvalue()


class _MemoryWriter(ExcelWriter):  # type: ignore[misc]  # the library has no types
    """Writes the sheets in memory: the one of the library needs a temporary file for each."""

    def write_worksheet(self, ws: Any) -> None:
        ws._drawing = openpyxl.drawing.spreadsheet_drawing.SpreadsheetDrawing()  # noqa: SLF001
        ws._drawing.charts, ws._drawing.images = ws._charts, ws._images  # noqa: SLF001
        out = io.BytesIO()
        writer = WorksheetWriter(ws, out)
        writer.write()
        ws._rels = writer._rels  # noqa: SLF001
        self._archive.writestr(ws.path[1:], out.getvalue())
        self.manifest.append(ws)


def _check_sheet(name: Any, rows: list[list[Any]], others: list[str]) -> None:
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= LONGEST_NAME
        or _NOT_IN_A_NAME.search(name)
        or ILLEGAL_CHARACTERS_RE.search(name)
        or NO_CHARACTERS.search(name)
        or name != name.strip("'")
    ):
        raise ArgumentError(
            f"{name!r:.100} cannot be the name of a sheet: 1 to {LONGEST_NAME} characters without"
            " \\ * ? : / [ ], without control characters, and without ' at its ends"
        )
    if name.lower() in (other.lower() for other in others):
        raise ArgumentError(f"two sheets have the name {name!r}")
    widest = max(map(len, rows), default=0)
    if len(rows) > MOST_ROWS or widest > MOST_COLUMNS:
        raise ArgumentError(
            f"the sheet {name!r} has {len(rows):,} rows and {widest:,} columns; Excel has"
            f" {MOST_ROWS:,} and {MOST_COLUMNS:,}"
        )


def _write_cell(sheet: Any, row: int, column: int, value: Any, *, formulas: bool) -> None:
    value = _cell_value(value, row, column)
    cell = sheet.cell(row, column)
    if isinstance(value, str) and not (formulas and value.startswith("=")):
        cell.value = value
        cell.data_type = "s"  # the library takes some texts for formulas and errors
        return
    cell.value = value
    if isinstance(value, dt.datetime):
        cell.number_format = "yyyy-mm-dd hh:mm:ss"
    elif isinstance(value, dt.date):
        cell.number_format = "yyyy-mm-dd"


def _cell_value(value: Any, row: int, column: int) -> Any:
    """Return a value that a cell can have.  Numbers that Excel would round become text."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, (bool, dt.datetime, dt.date, dt.time, dt.timedelta)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**EXACT_DIGITS else str(value)
    if isinstance(value, decimal.Decimal) and value.is_finite():
        exact = len(value.normalize().as_tuple().digits) <= EXACT_DIGITS
        return value if exact else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            reason = f"a text of {len(value):,} characters; a cell holds {LONGEST_TEXT:,}"
        elif ILLEGAL_CHARACTERS_RE.search(value):
            reason = "a text with a control character, which XML cannot hold"
        elif NO_CHARACTERS.search(value):
            reason = "a text with half of a surrogate pair or another code that is not a character"
        else:
            return value
    elif isinstance(value, (int, float, decimal.Decimal)):
        reason = f"{value}, which is not a number of Excel"
    else:
        reason = f"a value of type {kind(value)}; a cell holds text, numbers, booleans and dates"
    raise ValueTypeError(f"row {row}, column {column}: {reason}", row=row, column=column)
