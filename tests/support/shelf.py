"""Collections in memory, for tests of the engine: the manager's side in thirty lines."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Sequence

from engine import CollectionItem, CollectionPage, CollectionQuery, CollectionsError


class Shelf:
    """Keeps values in a dict, and a list of all calls.

    Args:
        fails: Every call is refused.
        blocked: If given, every call waits until it is set.

    """

    def __init__(self, *, fails: bool = False, blocked: threading.Event | None = None) -> None:
        self.values: dict[str, dict[str, CollectionItem]] = {}
        self.calls: list[tuple[str, str]] = []
        self.called = threading.Event()
        self._fails = fails
        self._blocked = blocked

    def get(self, name: str, query: CollectionQuery) -> CollectionPage:
        self._begin("get", name)
        found = self._find(name, query)
        if query.cursor is not None:
            found = [key for key in found if key > query.cursor]
        page = found[: query.limit]
        cursor = page[-1] if len(page) < len(found) else None
        return CollectionPage(tuple(self.values[name][key] for key in page), cursor)

    def set(self, name: str, items: Sequence[CollectionItem]) -> int:
        self._begin("set", name)
        self.values.setdefault(name, {}).update({item.key: item for item in items})
        return len(items)

    def remove(
        self, name: str, query: CollectionQuery, *, dry_run: bool = False
    ) -> tuple[int, list[str]]:
        self._begin("remove", name)
        found = self._find(name, query)
        if not dry_run:
            for key in found:
                del self.values[name][key]
        return len(found), found

    def _find(self, name: str, query: CollectionQuery) -> list[str]:
        pattern = query.key.replace("[", "[[]").replace("?", "[?]")
        return sorted(key for key in self.values.get(name, {}) if fnmatch.fnmatchcase(key, pattern))

    def _begin(self, verb: str, name: str) -> None:
        self.calls.append((verb, name))
        self.called.set()
        if self._blocked is not None:
            self._blocked.wait()
        if self._fails:
            raise CollectionsError("the shelf is closed", fix="open it")
