"""The `print` of adaptors, whose lines become log events of the run."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from sandbox_child.linker.records import Log
from sandbox_child.pipes import streams

if TYPE_CHECKING:
    from protocol.words import LogLevel

_MAX_HELD_CHARS: Final = 100_000
"""A longer line is written in parts."""


class Printer:
    """The `print` of a realm.

    Text is held back until it ends in a line break, so that a line that is printed in parts is one
    event.  Each of the two streams has a line of its own.  If `sys.stdout` was replaced, the
    replacement gets the text, as in Python.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._held: dict[LogLevel, list[str]] = {}
        """Unfinished lines by level.  A line for the standard error is a warning, in print and in
        write."""
        self._held_chars = 0

    def print(
        self,
        *values: object,
        sep: str | None = None,
        end: str | None = None,
        file: Any = None,
        flush: bool = False,
    ) -> None:
        """Print like the built-in ``print``, but log text for a standard stream."""
        for name, value in (("sep", sep), ("end", end)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be None or a string, not {type(value).__name__}")
        if file is None:
            file = sys.stdout
            if file is None:
                return
        text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
        if not streams.is_own(file):
            file.write(text)
            if flush:
                file.flush()
            return
        level: LogLevel = "warning" if streams.is_error(file) else "info"
        with self._lock:
            self._held.setdefault(level, []).append(text)
            self._held_chars += len(text)
            if text.endswith("\n") or flush or self._held_chars > _MAX_HELD_CHARS:
                self._write(level)

    def flush(self) -> None:
        """Write the text that is held back."""
        if self._held:
            with self._lock:
                for level in tuple(self._held):
                    self._write(level)

    @property
    def held(self) -> dict[LogLevel, str]:
        """The text that is held back, by level."""
        return {level: "".join(texts) for level, texts in self._held.items()}

    @held.setter
    def held(self, texts: dict[LogLevel, str]) -> None:
        self._held = {level: [text] for level, text in texts.items()}
        self._held_chars = sum(map(len, texts.values()))

    def _write(self, level: LogLevel) -> None:
        text = "".join(self._held.pop(level))
        self._held_chars -= len(text)
        if text:
            self._log(level, "adaptor", text.removesuffix("\n"))
