"""The form of the object that carries out requests for collections; only for type checkers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Access(Protocol):
    """Sends requests for the step that runs."""

    def get(self, name: str, query: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of values, and the cursor of the next page."""
        ...

    def set(self, name: str, items: Sequence[tuple[str, Any]]) -> int:
        """Set values, and return their number."""
        ...

    def remove(self, name: str, query: dict[str, Any], dry_run: bool) -> tuple[int, list[str]]:
        """Remove values; return their number, and for a dry run their keys."""
        ...
