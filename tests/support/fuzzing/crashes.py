"""Keeps the findings of a target: the smallest input for each place of a fault."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from fuzzing.target import Target, name_of


class Crashes:
    """A directory of inputs, each with its traceback beside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._smallest: dict[tuple[str, ...], bytes] = {}

    def __len__(self) -> int:
        return len(self._smallest)

    def run(self, target: Target, data: bytes) -> None:
        """Give an input to the target; keep it if a promise is broken, and go on."""
        try:
            target.run(data)
        except Exception as error:
            self._keep(target, data, error)

    def _keep(self, target: Target, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        place = (type(error).__name__, *(f"{frame.filename}:{frame.lineno}" for frame in frames))
        known = self._smallest.get(place)
        if known is not None and len(known) <= len(data):
            return
        self._smallest[place] = data
        if known is not None:
            self._path(known).unlink(missing_ok=True)
            self._path(known).with_suffix(".txt").unlink(missing_ok=True)
        else:
            print(f"{target.name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._path(data).write_bytes(data)
        self._path(data).with_suffix(".txt").write_text(
            f"{data!r}\n\n" + "".join(traceback.format_exception(error)), errors="backslashreplace"
        )

    def _path(self, data: bytes) -> Path:
        return self._directory / name_of(data)
