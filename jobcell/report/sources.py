"""Reads a file of events, as `jobcell run --events FILE` or ``--json`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from engine import AnyEvent, Usage, event_from_json
from jobcell.input.errors import BadInputError

_SHOWN: Final = 80
"""Number of characters of a wrong line that a message shows."""


class Counted(msgspec.Struct):
    """What the result of a run says of the machine."""

    usage: Usage = Usage()
    children: int = 1


def read_events(path: Path) -> tuple[list[AnyEvent], Counted | None]:
    """Return the events in a file, and what the result in it says; None without a result.

    A last line that is not complete is left out: the run may still be writing it.

    Raises:
        BadInputError: The file cannot be read, or a line in it is not an event.

    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise BadInputError([f"{path}: cannot be read: {error.strerror}"]) from None
    events: list[AnyEvent] = []
    counted = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if _is_result(line):
                counted = msgspec.json.decode(line, type=Counted)
            else:
                events.append(event_from_json(line))
        except (ValueError, RecursionError) as error:
            if number == len(lines) and events:
                break
            shown = line[:_SHOWN].decode(errors="replace")
            message = (
                f"{path}: line {number} is not an event ({error}): {shown!r}; give a file of"
                " jobcell run --events FILE, a journal, or the id of a run in a store"
            )
            raise BadInputError([message]) from None
    if not events:
        raise BadInputError([f"{path}: holds no event"])
    return events, counted


def _is_result(line: bytes) -> bool:
    if b'"result"' not in line:
        return False  # to decode each line twice would double the time
    found: Any = msgspec.json.decode(line)
    return isinstance(found, dict) and found.get("type") == "result"
