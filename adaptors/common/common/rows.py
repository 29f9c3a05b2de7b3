"""Turns CSV text into rows, all at once or in chunks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import ArgumentError, CsvError, kind
from .flow import Operation, State, run_all
from .references import bind, dereference, resolve
from .verbs import compose_next_state

_DEFAULTS: dict[str, Any] = {
    "delimiter": ",",
    "quote": '"',
    "escape": '"',
    "columns": True,
    "bom": True,
    "trim": True,
    "ltrim": True,
    "rtrim": True,
    "chunk_size": None,
    "skip_empty_lines": True,
}


def parse_csv(
    csv_data: Any,
    parsing_options: Any = None,
    callback: Callable[[State, list[Any]], Any] | None = None,
    **more_options: Any,
) -> Operation:
    """Parse CSV and put its rows into the state.

    Without *callback*, `data` becomes the rows, and the data before goes to the end of
    `references`. With a `chunk_size`, that happens for each chunk.

    Args:
        csv_data: Text, UTF-8 bytes, or a series of either (the parts of a stream); or a function of
            state.
        parsing_options: A dict, or a function of state. The defaults are `delimiter`: `","`,
            `quote`: `'"'`, `escape`: `'"'`, `columns`: True, `bom`: True, `trim`: True,
            `chunk_size`: None (all rows at once), `skip_empty_lines`: True. If `columns` is True,
            the first row has the names; a list has the names itself. A function gets the first row
            and returns the names. False gives rows as lists. With `bom` a byte order mark is
            dropped; with `trim` (or `ltrim`, `rtrim`) spaces around a value are dropped.
        callback: Called with the state and the rows of a chunk; returns the next state, or an
            awaitable of it.
        more_options: The same options as keywords; they win.

    Raises:
        CsvError: Raised by the operation: a row has too many or too few values, or a quote is not
            closed.

    Example:
        `parse_csv(state.data, {"chunk_size": 100}, lambda state, rows: {**state, "rows": rows})`

    """

    def run(state: State) -> Any:
        options = _options({**(dereference(state, parsing_options) or {}), **more_options}, state)
        rows = _rows(_text(dereference(state, csv_data), bom=options["bom"]), options)
        handle = compose_next_state if callback is None else bind(callback, state)
        chunks = _chunks(rows, options["chunk_size"])
        return run_all((_step(handle, chunk) for chunk in chunks), state)

    return run


def _step(handle: Callable[[State, list[Any]], Any], chunk: list[Any]) -> Operation:
    return lambda state: handle(state, chunk)


def _options(given: Mapping[str, Any] | None, state: State) -> dict[str, Any]:
    options = dict(_DEFAULTS)
    for name, value in (given or {}).items():
        wanted = "chunk_size" if name == "chunkSize" else name
        if wanted not in options:
            known = ", ".join(_DEFAULTS)
            raise ArgumentError(
                f"parse_csv: unknown option {name!r}; there are {known}", option=name
            )
        options[wanted] = value if wanted == "columns" else resolve(state, value)
    size = options["chunk_size"]
    if size is not None and (not isinstance(size, int | float) or size < 1):
        raise ArgumentError("chunk_size must be at least 1", chunk_size=size)
    return options


def _text(data: Any, *, bom: bool) -> str:
    if isinstance(data, str):
        text = data
    elif isinstance(data, bytes | bytearray):
        text = data.decode()
    elif isinstance(data, Iterable) and not isinstance(data, Mapping):
        parts = list(data)
        whole = b"".join(parts) if all(isinstance(part, bytes) for part in parts) else None
        text = "".join(parts) if whole is None else whole.decode()
    else:
        raise ArgumentError(f"parse_csv: needs a text, not {kind(data)}", got=kind(data))
    return text.removeprefix("\ufeff") if bom else text


def _rows(text: str, options: dict[str, Any]) -> Iterator[Any]:
    # A quote is escaped by doubling, as in RFC 4180, if the options do not name another character.
    doubled = options["escape"] == options["quote"]
    reader = csv.reader(
        text.splitlines(keepends=True),
        delimiter=options["delimiter"],
        quotechar=options["quote"],
        doublequote=doubled,
        escapechar=None if doubled else options["escape"],
        skipinitialspace=bool(options["trim"] and options["ltrim"]),
        strict=True,
    )
    columns = options["columns"]
    names = list(columns) if isinstance(columns, list | tuple) else None
    try:
        for raw in reader:
            if options["skip_empty_lines"] and not any(value.strip() for value in raw):
                continue
            row = [_trimmed(value, options) for value in raw]
            if columns is False:
                yield row
            elif names is None:
                names = list(columns(row)) if callable(columns) else row
            elif len(row) != len(names):
                raise CsvError(
                    f"Invalid Record Length: columns length is {len(names)}, "
                    f"got {len(row)} on line {reader.line_num}",
                    line=reader.line_num,
                    expected=len(names),
                    got=len(row),
                )
            else:
                yield dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise CsvError(f"{error} on line {reader.line_num}", line=reader.line_num) from None


def _trimmed(value: str, options: dict[str, Any]) -> str:
    if not options["trim"]:
        return value
    value = value.lstrip() if options["ltrim"] else value
    return value.rstrip() if options["rtrim"] else value


def _chunks(rows: Iterator[Any], size: float | None) -> Iterator[list[Any]]:
    """Yield the rows in lists of *size*; at least one list, unless a size was given."""
    chunk: list[Any] = []
    given = False
    for row in rows:
        chunk.append(row)
        if size is not None and len(chunk) >= size:
            yield chunk
            chunk, given = [], True
    if chunk or not given:
        yield chunk
