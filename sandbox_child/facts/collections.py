"""The module `jobcell_collections`: the requests with which an adaptor reaches collections.

The values are in the engine's hands, and only the function that a running step has set can ask for
them.  There is one module for all adaptors, and it keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from sandbox_child.facts.module import find_access

if TYPE_CHECKING:
    from sandbox_child.facts.access import Access

COLLECTIONS: Final = "jobcell_collections"


class CollectionError(Exception):
    """A request for a collection was refused, or has failed.

    Attributes:
        fix: The change that would help, if it is known.
        retryable: Whether another attempt may succeed.

    """

    def __init__(self, message: str, fix: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.fix = fix
        self.retryable = retryable


def _access() -> Access:
    found = find_access()
    if found is None:
        raise CollectionError("collections can be used only while a step runs", retryable=False)
    return found


def make_collections_module() -> ModuleType:
    """Return a module with the requests; nothing can be set or deleted in it."""

    class Requests(ModuleType):
        """The requests for collections, for adaptors: `get`, `set` and `remove`."""

        __all__ = ("CollectionError", "get", "remove", "set")

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{COLLECTIONS} cannot be changed: {name!r}")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{COLLECTIONS} cannot be changed: {name!r}")

    module = Requests(COLLECTIONS, Requests.__doc__)
    functions: dict[str, Callable[..., Any]] = {"get": get, "set": set_values, "remove": remove}
    vars(module).update({"CollectionError": CollectionError, **functions})
    return module


def get(name: str, query: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of values in the order of their keys, and the cursor of the next page.

    Args:
        name: The collection.
        query: ``key`` (a key or a pattern), ``limit``, ``cursor``, and ``created_after_ms``,
            ``created_before_ms``, ``updated_after_ms``, ``updated_before_ms``.

    Returns:
        Dicts with ``key``, ``value``, ``created_ms`` and ``updated_ms``.

    Raises:
        CollectionError: The request was refused, or has failed.

    """
    return _access().get(name, query)


def set_values(name: str, items: Sequence[tuple[str, Any]]) -> int:
    """Set pairs of a key and a value, all of them or none; return their number.

    Raises:
        CollectionError: The request was refused, or has failed.

    """
    return _access().set(name, items)


def remove(name: str, query: dict[str, Any], dry_run: bool = False) -> tuple[int, list[str]]:
    """Remove values; return their number, and for a dry run the keys, which then stay.

    Raises:
        CollectionError: The request was refused, or has failed.

    """
    return _access().remove(name, query, dry_run)
