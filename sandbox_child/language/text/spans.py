"""Positions in the author's text, in lines and characters counted from 1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from protocol.report import Position

if TYPE_CHECKING:
    import ast

    Placed = ast.expr | ast.stmt | ast.arg
    Node = TypeVar("Node", bound=Placed)

_LINE_BREAK = r"\r\n|\r|\n"
_MAX_SOURCE_CHARS = 500


def place(node: Node, at: Placed) -> Node:
    """Give *node*, which is not in the author's text, the position of *at*, and return it.

    `ast.copy_location` looks up which attributes exist, and takes ten times as long.
    """
    node.lineno, node.col_offset = at.lineno, at.col_offset
    node.end_lineno, node.end_col_offset = at.end_lineno, at.end_col_offset
    return node


class SourceText:
    """The text of a job, split into lines like Python's tokenizer does it.

    ``str.splitlines`` would also split at form feeds and U+2028, and lines below such a character
    would get a wrong number.
    """

    __slots__ = ("_encoded", "_lines", "_reached", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: list[str] | None = None
        self._encoded: tuple[int, bytes] = (0, b"")
        self._reached: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """The whole text."""
        return self._text

    @property
    def lines(self) -> list[str]:
        """The lines without their line breaks; they are split at the first use."""
        if self._lines is None:
            self._lines = re.split(_LINE_BREAK, self._text)
        return self._lines

    def line(self, number: int | None) -> str | None:
        """Return line *number* (from 1), or None if it does not exist."""
        if number is None or not 1 <= number <= len(self.lines):
            return None
        return self.lines[number - 1]

    def column(self, line: int | None, byte_offset: int | None) -> int | None:
        """Convert the parser's offset in bytes of UTF-8 into a column in characters."""
        if byte_offset is None or byte_offset < 0:
            return None
        text = self.line(line)
        if line is None or text is None or text.isascii():
            return byte_offset + 1
        if self._encoded[0] != line:
            self._encoded, self._reached = (line, text.encode("utf-8", "replace")), (0, 0)
        # Go on from the end of the last question: a line may have a hundred thousand operations.
        encoded = self._encoded[1]
        start, characters = self._reached if self._reached[0] <= byte_offset else (0, 0)
        characters += len(encoded[start:byte_offset].decode("utf-8", "ignore"))
        self._reached = (byte_offset, characters)
        return characters + 1

    def position(
        self,
        line: int,
        column: int | None,
        end_line: int | None = None,
        end_column: int | None = None,
    ) -> Position:
        """Return the position that starts at *line* and *column*, with the text of its line."""
        source = self.line(line)
        if source is not None:
            source = source[:_MAX_SOURCE_CHARS]
        return Position(line, column, end_line, end_column, source)

    def span(
        self, line: int, offset: int | None, end_line: int | None, end_offset: int | None
    ) -> Position:
        """Like :meth:`position`, from offsets in bytes."""
        return self.position(
            line, self.column(line, offset), end_line, self.column(end_line, end_offset)
        )

    def of(self, node: ast.AST) -> Position:
        """Return the position of a node of the syntax tree."""
        return self.span(
            getattr(node, "lineno", 1),
            getattr(node, "col_offset", None),
            getattr(node, "end_lineno", None),
            getattr(node, "end_col_offset", None),
        )
