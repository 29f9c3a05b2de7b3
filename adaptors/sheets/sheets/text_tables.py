"""CSV from and to bytes, with the module csv; this module does not know states."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import decimal
import io
import re
from collections.abc import Iterator
from typing import Any, Final

from .errors import ArgumentError, FileError, ValueTypeError, kind

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE: Final = 20
"""Number of lines in which the delimiter is searched."""

_FORMULA: Final = re.compile(r"[=+\-@\t\r]")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:[eE][+-]?\d+)?%?")
_ESCAPED: Final = re.compile(r"'[=+\-@\t\r]")


class Dialect:
    """The form of a CSV file."""

    def __init__(self, *, delimiter: Any, quote: Any, escape: Any = None) -> None:
        """Check the characters.

        Raises:
            ArgumentError: An option is not a single character, or two are the same.

        """
        for name, value in (("delimiter", delimiter), ("quote", quote), ("escape", escape)):
            if value is None:
                continue
            if not isinstance(value, str) or len(value) != 1 or value in "\r\n\0":
                raise ArgumentError(f"{name} is one character, not {value!r:.100}")
        if delimiter is not None and delimiter in (quote, escape):
            raise ArgumentError(f"delimiter and quote are both {delimiter!r}")
        self.delimiter: str | None = delimiter
        self.quote: str | None = quote
        self.escape: str | None = escape

    def options(self) -> dict[str, Any]:
        """Return the options of the module csv."""
        return {
            "delimiter": self.delimiter,
            "quotechar": self.quote,
            "quoting": csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            "escapechar": self.escape,
        }


def codec(name: Any) -> str:
    """Return the name of an encoding of text.

    Raises:
        ArgumentError: Python has no such encoding.

    """
    try:
        "".encode(name)
    except (LookupError, TypeError):
        raise ArgumentError(
            f"unknown encoding {name!r:.100}; write for example 'utf-8', 'utf-16' or 'cp1252'"
        ) from None
    return str(name)


def decoded(content: bytes, encoding: str | None) -> str:
    """Return the text of a file; without an encoding, a byte order mark decides, and else UTF-8.

    Raises:
        FileError: The bytes are not in that encoding.

    """
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    chosen = encoding or marked or "utf-8"
    if chosen.lower().replace("_", "-") in ("utf-8", "utf8") and marked == "utf-8-sig":
        chosen = marked
    try:
        return content.decode(chosen)
    except UnicodeDecodeError as error:
        raise FileError(
            f"the content is not {chosen}: byte {error.start} is {content[error.start]:#04x};"
            " give its encoding, such as encoding='cp1252'"
        ) from None


def read(text: str, dialect: Dialect, *, trim: bool, unescape: bool) -> Iterator[list[Any]]:
    """Yield the rows; a value without characters is None.

    Raises:
        FileError: A quote is not closed, or follows a value.

    """
    if dialect.delimiter is None:
        dialect.delimiter = _found_delimiter(text, dialect.quote)
    old = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect.options())
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise FileError(f"line {reader.line_num}: {error}", line=reader.line_num) from None
            yield [_value(value, trim=trim, unescape=unescape) for value in row]
    finally:
        csv.field_size_limit(old)


def _value(value: str, *, trim: bool, unescape: bool) -> str | None:
    if trim:
        value = value.strip(" ")
    if unescape and _ESCAPED.match(value):
        value = value[1:]
    return value or None


def _found_delimiter(text: str, quote: str | None) -> str:
    """Return the delimiter that most lines have, equally often."""
    sample = text[:100_000]
    if quote:
        sample = re.sub(f"{re.escape(quote)}[^{re.escape(quote)}]*{re.escape(quote)}", "", sample)
    lines = [line for line in sample.splitlines() if line.strip()][:_SAMPLE]

    def score(delimiter: str) -> tuple[int, int]:
        counts = [line.count(delimiter) for line in lines]
        most = max(counts, default=0)
        return (sum(count == most for count in counts) if most else 0, most)

    best = max(_DELIMITERS, key=score)
    return best if score(best)[1] else ","


def write(rows: list[list[Any]], dialect: Dialect, *, line_end: str, escape_formulas: bool) -> str:
    """Return the text of a file.

    Raises:
        ValueTypeError: A value cannot be in a cell.

    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end, **dialect.options())
    for number, row in enumerate(rows, 1):
        try:
            writer.writerow(
                [
                    _written(value, number, at, escape_formulas=escape_formulas)
                    for at, value in enumerate(row, 1)
                ]
            )
        except csv.Error as error:
            raise ArgumentError(
                f"row {number}: {error}; give a quote or an escape", row=number
            ) from None
    return out.getvalue()


def _written(value: Any, row: int, column: int, *, escape_formulas: bool) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, (int, float, decimal.Decimal)):
        return value
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, str):
        danger = escape_formulas and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
        return f"'{value}" if danger else value
    raise ValueTypeError(
        f"row {row}, column {column}: a value of type {kind(value)};"
        " a cell holds text, numbers, booleans and dates",
        row=row,
        column=column,
    )
