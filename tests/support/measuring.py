"""Coverage of some files of tests, while other files run in the same forks: see `parallel.py`.

A tracer makes a test slower, so it runs during the collection, which imports most modules, and while a fork runs one of
these files. So the suite need not run its quick tests once more under `coverage run`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from coverage import Coverage


class Measuring:
    """The plugin that starts and stops the tracer. Each process writes a file of its own for `coverage combine`."""

    def __init__(self, files: list[str]) -> None:
        """Start the tracer for the collection; `files` are beginnings of the names of files."""
        self._files = tuple(files)
        self._of_collection = _new()
        self._of_collection.start()
        self._of_fork: Coverage | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Stop the tracer, so that no fork begins with it."""
        self._of_collection.stop()

    def save(self) -> None:
        """Write what the collection has run. The first process calls this at its end."""
        self._of_collection.stop()
        self._of_collection.save()

    @contextlib.contextmanager
    def of_file(self, name: str) -> Iterator[None]:
        """Trace what a fork runs for a file, if this is one of those to measure."""
        if not name.startswith(self._files):
            yield
            return
        self._of_fork = self._of_fork or _new()
        self._of_fork.start()
        try:
            yield
        finally:
            self._of_fork.stop()

    def save_fork(self) -> None:
        """Write what a fork has run: it ends without the functions of `atexit` that would do this."""
        if self._of_fork:
            self._of_fork.save()


def _new() -> Coverage:
    from coverage import Coverage

    return Coverage(data_suffix=True)
