"""The file of a SQLite store: whether it is still the one that was opened.

A file that somebody has removed or replaced stays open, and takes all writes.  But nobody else sees
them: a run that was accepted there would be lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from jobcell.store.errors import StoreReplacedError

_Identity = tuple[int, int]


class SameFile:
    """Checks each use of a connection.  All databases of one opened store share it.

    Args:
        path: The file.

    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._known: _Identity | None = None

    def listen(self, engine: sa.Engine) -> None:
        """Check the connections of an engine."""
        sa.event.listen(engine, "do_connect", self._before)
        sa.event.listen(engine, "connect", self._after)
        sa.event.listen(engine, "checkout", self._check)

    def _before(self, *_of_the_event: Any) -> None:
        # Without the file, SQLite would make an empty one.
        if self._known is not None:
            self._compare()

    def _after(self, *_of_the_event: Any) -> None:
        if self._known is None:
            self._known = self._identity()

    def _check(self, *_of_the_event: Any) -> None:
        self._compare()

    def _compare(self) -> None:
        if self._identity() != self._known:
            raise StoreReplacedError(
                f"the file {self._path} of the store was removed or replaced while it was open; open the"
                " store again"
            )

    def _identity(self) -> _Identity | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
