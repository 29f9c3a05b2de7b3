"""Collections in the memory of a test, in place of those of a store."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from engine import CollectionItem, CollectionPage, CollectionQuery
from protocol.collection import MAX_PAGE_BYTES
from protocol.state import copy_state, encode_state


class MemoryCollections(dict[str, dict[str, Any]]):
    """The collections of a test, as dicts: ``collections["visits"] = {"p-7": {"day": "2024-05-06"}}``.

    They stay for all runs of the test.
    """

    def __init__(self) -> None:
        super().__init__()
        self._times: dict[tuple[str, str], tuple[int, int]] = {}
        self._begun_ms = _now_ms()

    def get(self, name: str, query: CollectionQuery) -> CollectionPage:  # type: ignore[override]  # of dict
        """See `Collections.get`."""
        found = self._find(name, query)
        if query.cursor is not None:
            found = [key for key in found if key > query.cursor]
        items: list[CollectionItem] = []
        page_bytes = 0
        for key in found[: query.limit]:
            value = encode_state(self[name][key], root=f"collections[{name!r}][{key!r}]")
            page_bytes += len(key) + len(value)
            if items and page_bytes > MAX_PAGE_BYTES:
                break
            items.append(CollectionItem(key, value, *self._times_of(name, key)))
        is_last = len(items) == len(found)
        return CollectionPage(tuple(items), None if is_last else items[-1].key)

    def set(self, name: str, items: Sequence[CollectionItem]) -> int:
        """See `Collections.set`."""
        now = _now_ms()
        values = self.setdefault(name, {})
        for item in items:
            created = self._times_of(name, item.key)[0] if item.key in values else now
            self._times[name, item.key] = (created, now)
            values[item.key] = copy_state(item.value)
        return len(items)

    def remove(
        self, name: str, query: CollectionQuery, *, dry_run: bool = False
    ) -> tuple[int, Sequence[str]]:
        """See `Collections.remove`."""
        found = self._find(name, query)
        for key in () if dry_run else found:
            del self[name][key]
            self._times.pop((name, key), None)
        return len(found), found

    def _find(self, name: str, query: CollectionQuery) -> list[str]:
        pattern = re.compile(".*".join(map(re.escape, query.key.split("*"))), re.DOTALL)
        return sorted(
            key
            for key in self.setdefault(name, {})
            if pattern.fullmatch(key) and _is_within(query, *self._times_of(name, key))
        )

    def _times_of(self, name: str, key: str) -> tuple[int, int]:
        """Return the times of a value; those that the test has put there are as old as the test."""
        return self._times.get((name, key), (self._begun_ms, self._begun_ms))


def _is_within(query: CollectionQuery, created_ms: int, updated_ms: int) -> bool:
    bounds = (
        (query.created_after_ms, created_ms),
        (created_ms, query.created_before_ms),
        (query.updated_after_ms, updated_ms),
        (updated_ms, query.updated_before_ms),
    )
    return all(low is None or high is None or low <= high for low, high in bounds)


def _now_ms() -> int:
    return int(time.time() * 1000)
