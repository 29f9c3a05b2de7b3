"""The `print` of adaptors: what it writes becomes log events of the run."""

from __future__ import annotations

import sys
import threading
from typing import Any, Final

from sandbox_child import streams
from sandbox_child.linker.records import Log

_MAX_HELD_CHARS: Final = 100_000
"""A line that is longer is written in parts."""


class Printer:
    """The `print` of one realm.

    Text is held back until it ends in a line break, so that a line which is printed in parts is one
    event.  Where `sys.stdout` was replaced, the replacement gets the text, as in Python.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._held: list[str] = []
        self._held_chars = 0

    def print(
        self,
        *values: object,
        sep: str | None = None,
        end: str | None = None,
        file: Any = None,
        flush: bool = False,
    ) -> None:
        """Do what the built-in ``print`` does; what would go to a standard stream is logged."""
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
        with self._lock:
            self._held.append(text)
            self._held_chars += len(text)
            if text.endswith("\n") or flush or self._held_chars > _MAX_HELD_CHARS:
                self._write()

    def flush(self) -> None:
        """Write what is held back."""
        if self._held:
            with self._lock:
                self._write()

    def _write(self) -> None:
        text = "".join(self._held)
        self._held.clear()
        self._held_chars = 0
        if text:
            self._log("info", "adaptor", text.removesuffix("\n"))
