"""Log lines on the author's terminal, at the moment at which they are written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from protocol.words import LEVEL_RANK
from sandbox_child.running import LogSender

if TYPE_CHECKING:
    from protocol.words import LogLevel, LogSource

_TERMINAL = 1


class TerminalLogs(LogSender):
    """Sends log lines as every child does, and shows them.

    A line that came over the engine would appear late, in the middle of a prompt.
    """

    def add(self, level: LogLevel, source: LogSource, message: str) -> None:
        """Send and show a line."""
        super().add(level, source, message)
        if LEVEL_RANK[level] >= self._lowest:
            place = "" if source == "job" else f" ({source})"
            say(f"{level}{place}: {printable(message)}")


def say(line: str) -> None:
    """Write a line; also right for a signal handler, because it takes no lock."""
    data = f"{line}\n".encode(errors="backslashreplace")
    while data:
        data = data[os.write(_TERMINAL, data) :]


def printable(text: str) -> str:
    """Return a text that cannot control the terminal."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text
    )
