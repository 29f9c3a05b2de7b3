"""A ``.env`` file, read strictly: every line that is not understood is an error.

Programs differ in what such a file may contain. This reader takes what they agree on. It replaces no
``$NAME``, and it does not change the environment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from engine.api import PlanError
from engine.plan import read_text_file
from jobcell.input.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=[ \t]*")
_SINGLE: Final = re.compile(r"'([^'\n]*)'")
_DOUBLE: Final = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE: Final = re.compile(r"\\(.)")
_SPECIAL: Final = re.compile(r"""['"$`\\]""")
_COMMENT: Final = re.compile(r"\s+#.*$")
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file.

    Raises:
        BadInputError: The file cannot be read, or a line is not ``NAME=value``. The message has line
            and column, and does not show a value.

    """
    try:
        text = read_text_file(path)
    except PlanError as error:
        raise BadInputError(map(str, error.problems)) from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = _read_line(line.rstrip("\r"))
        except _WrongLineError as error:
            raise BadInputError([f"{path}:{number}:{error.column}: {error.reason}"]) from None
        if name in found:
            raise BadInputError([f"{path}:{number}:1: has the variable {name} for the second time"])
        found[name] = value
    return found


class _WrongLineError(Exception):
    """A line is not one of a ``.env`` file."""

    def __init__(self, reason: str, position: int) -> None:
        self.reason = reason
        self.column = position + 1
        super().__init__(reason)


def _read_line(line: str) -> tuple[str, str]:
    start = _NAME.match(line)
    if start is None:
        raise _WrongLineError("must be NAME=value, a comment, or empty", 0)
    position = start.end()
    value, end = _read_value(line, position)
    rest = line[end:]
    if rest.strip() and not _COMMENT.fullmatch(rest):
        raise _WrongLineError("has text after the closing quote", end)
    return start[1], value


def _read_value(line: str, position: int) -> tuple[str, int]:
    """Return the value at a position, and where it ends."""
    first = line[position : position + 1]
    if first == "'":
        found = _SINGLE.match(line, position)
        if found is None:
            raise _WrongLineError("has no closing quote; a value has one line", position)
        return found[1], found.end()
    if first == '"':
        found = _DOUBLE.match(line, position)
        if found is None:
            raise _WrongLineError("has no closing quote; a value has one line", position)
        return _ESCAPE.sub(lambda part: _unescaped(part, position), found[1]), found.end()
    value = _COMMENT.sub("", line[position:]).strip()
    special = _SPECIAL.search(value)
    if special is not None or value.startswith("#"):
        # Other programs replace, unescape or cut here, each in its own way.
        where = position if special is None else position + special.start()
        raise _WrongLineError(
            f"has a {line[where]!a}, so the value must be in single quotes", where
        )
    return value, len(line)


def _unescaped(part: re.Match[str], position: int) -> str:
    try:
        return _ESCAPES[part[1]]
    except KeyError:
        where = position + 1 + part.start()
        raise _WrongLineError(
            'may have only \\n, \\t, \\r, \\", \\$ and \\\\ as escapes', where
        ) from None
