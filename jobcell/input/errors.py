"""Errors that end the command with a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class BadInputError(Exception):
    """Something that the user gave is wrong; nothing was started.

    Attributes:
        lines: A line for each problem: what is wrong, where, and what would be right.

    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: tuple[str, ...] = tuple(_one_line(line) for line in lines)
        super().__init__("\n".join(self.lines))


class ReaderGoneError(Exception):
    """Nobody reads our output any more, as after ``| head``.

    Raised in place of BrokenPipeError, which the library that calls our commands turns into an exit
    code of its own.
    """


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
