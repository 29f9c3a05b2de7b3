"""The requests to the program that runs the job, with the errors of this package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .errors import CollectionError


def get(name: str, query: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of values, and the cursor of the next page.

    Raises:
        CollectionError: The request was refused, or has failed.

    """
    found: tuple[list[dict[str, Any]], str | None] = _call("get", name, query)
    return found


def set_values(name: str, items: Sequence[tuple[str, Any]]) -> int:
    """Set values; return their number.

    Raises:
        CollectionError: The request was refused, or has failed.

    """
    count: int = _call("set", name, items)
    return count


def remove(name: str, query: dict[str, Any], *, dry_run: bool) -> tuple[int, list[str]]:
    """Remove values; return their number, and for a dry run their keys.

    Raises:
        CollectionError: The request was refused, or has failed.

    """
    found: tuple[int, list[str]] = _call("remove", name, query, dry_run)
    return found


def _call(verb: str, *arguments: Any) -> Any:
    try:
        import jobcell_collections  # it exists in a run only
    except ImportError:
        raise CollectionError(
            "collections are kept by the program that runs a job; this is not a run",
            retryable=False,
        ) from None
    call: Callable[..., Any] = getattr(jobcell_collections, verb)
    try:
        return call(*arguments)
    except jobcell_collections.CollectionError as error:
        _raise(error)


def _raise(error: Any) -> NoReturn:
    """Raise the error with the class of this package, which a job can name."""
    raise CollectionError(str(error), fix=error.fix, retryable=error.retryable) from None
