"""The verbs of collections."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from . import access
from .arguments import (
    MOST,
    Callback,
    Lazy,
    Number,
    Operation,
    Query,
    State,
    Text,
    Time,
    key_maker,
    key_of,
    name_of,
    query_of,
    resolve,
)

_log = logging.getLogger("collections")


class Items(list[Any]):
    """The values that `get` has found, as dicts with ``key`` and ``value``.

    Attributes:
        cursor: The place at which another query goes on; None if there are no further values.

    """

    cursor: str | None = None


def get(
    name: Text,
    query: Text | dict[str, Any] | None = None,
    *,
    key: Text | None = None,
    created_after: Time | None = None,
    created_before: Time | None = None,
    updated_after: Time | None = None,
    updated_before: Time | None = None,
    limit: Number | None = None,
    page_size: Number | None = None,
    cursor: Text | None = None,
) -> Operation:
    """Fetch one value, or several values, of a collection into ``data``.

    A key without ``*`` and without other options fetches one value; ``data`` is then the value, or
    ``{}`` if the collection does not have it.  Otherwise ``data`` is a list of dicts with ``key`` and
    ``value``, in the order of the keys.  Its attribute ``cursor`` is None if there are no further values.

    Args:
        name: The name of the collection.
        query: A key; a pattern in which ``*`` matches any text; or a dict of the options below, which may
            have the names of OpenFn (``createdAfter``).
        key: A key or a pattern, in place of *query*.
        created_after: Only values whose key was set first after the end of this year, month or day.
        created_before: Only values whose key was set first before its start.
        updated_after: Only values that were set last after its end.
        updated_before: Only values that were set last before its start.
        limit: The largest number of values; all if it is left out.
        page_size: The number of values that are fetched at once: 1,000, and 10,000 at most.
        cursor: The cursor of an earlier query.

    Example:
        `collections.get("visits", "2024-*", created_after="2024-01", limit=100)`

    """
    options = {
        "key": key,
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
        "updated_before": updated_before,
        "limit": limit,
        "page_size": page_size,
        "cursor": cursor,
    }

    def operation(state: State) -> State:
        collection = name_of(state, name)
        asked = query_of(state, query, options)
        if asked.single:
            items, _ = access.get(collection, asked.page(1, None))
            if items:
                return {**state, "data": items[0]["value"]}
            _log.warning("%r has no key %r; data is {}", collection, asked.key)
            return {**state, "data": {}}
        pages = _Pages(collection, asked)
        found = Items({"key": item["key"], "value": item["value"]} for item in pages)
        found.cursor = pages.cursor
        _log.info("fetched %d values of %r", len(found), collection)
        return {**state, "data": found}

    return operation


def each(  # long: each option is written out, so that an editor knows it
    name: Text,
    query: Text | dict[str, Any] | None = None,
    callback: Callable[..., Any] | None = None,
    *,
    key: Text | None = None,
    created_after: Time | None = None,
    created_before: Time | None = None,
    updated_after: Time | None = None,
    updated_before: Time | None = None,
    limit: Number | None = None,
    page_size: Number | None = None,
    cursor: Text | None = None,
) -> Operation:
    """Call a function for each value of a collection that a query finds.

    The values come in pages, so that they need not be in memory together.  The function may change the
    state that it gets; what it returns is ignored.  After the last value ``data`` is a dict with the
    key ``cursor``, which is None if there are no further values.

    Args:
        name: The name of the collection.
        query: As for `get`, and so are the options.
        callback: A function of the state, the value and the key, or of the first of these.
        key: A key or a pattern, in place of *query*.
        created_after: Only values whose key was set first after the end of this year, month or day.
        created_before: Only values whose key was set first before its start.
        updated_after: Only values that were set last after its end.
        updated_before: Only values that were set last before its start.
        limit: The largest number of values; all if it is left out.
        page_size: The number of values that are fetched at once: 1,000, and 10,000 at most.
        cursor: The cursor of an earlier query.

    Example:
        `collections.each("visits", "2024-*", lambda state, value, key: state.update(last=key))`

    """
    options = {
        "key": key,
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
        "updated_before": updated_before,
        "limit": limit,
        "page_size": page_size,
        "cursor": cursor,
    }

    def operation(state: State) -> State | Awaitable[State]:
        collection = name_of(state, name)
        asked = query_of(state, query, options)
        call = Callback(callback)
        state = {**state}
        pages = _Pages(collection, asked)
        for item in pages:
            result = call(state, item["value"], item["key"])
            if inspect.isawaitable(result):
                return _go_on(result, state, pages, call)
        return _ended(state, pages)

    return operation


async def _go_on(first: Awaitable[Any], state: State, pages: _Pages, call: Callback) -> State:
    """Do the rest of `each` for a callback that is asynchronous."""
    await first
    for item in pages:
        result = call(state, item["value"], item["key"])
        if inspect.isawaitable(result):
            await result
    return _ended(state, pages)


def _ended(state: State, pages: _Pages) -> State:
    _log.info("went through %d values of %r", pages.count, pages.name)
    return {**state, "data": {"cursor": pages.cursor}}


def set(  # noqa: A001 - the name of OpenFn
    name: Text, key: str | Callable[..., Any], values: Any
) -> Operation:
    """Set one value, or several values, of a collection; a key that exists gets the new value.

    The state stays as it is.  Up to 10,000 values and 8 MB are set together: all of them, or none.

    Args:
        name: The name of the collection.
        key: The key of a single value, which may be a list; or a function that makes the key of each
            value from the value, the state and the index.
        values: The value, or for a function the list of values.

    Example:
        `collections.set("visits", lambda visit: visit["id"], state.visits)`

    """

    def operation(state: State) -> State:
        collection = name_of(state, name)
        made = key_maker(state, key)
        found = resolve(state, values)
        if isinstance(made, str):
            items = [(made, found)]
        else:
            rows = found if isinstance(found, list) else [found]
            items = [(key_of(made(row, index)), row) for index, row in enumerate(rows)]
        count = access.set_values(collection, items)
        _log.info("set %d values of %r", count, collection)
        return state

    return operation


def remove(
    name: Text,
    query: Text | dict[str, Any] | None = None,
    *,
    dry_run: bool | Lazy = False,
    key: Text | None = None,
    created_after: Time | None = None,
    created_before: Time | None = None,
    updated_after: Time | None = None,
    updated_before: Time | None = None,
) -> Operation:
    """Remove the values of a collection that a query finds: all of them, or none.

    The state stays as it is.  After a dry run ``data`` is the list of the keys.

    Args:
        name: The name of the collection.
        query: As for `get`; ``"*"`` is needed to remove all values.
        dry_run: Keep the values, and only fetch the keys of those that would be removed: at most the
            first 10,000 keys.
        key: A key or a pattern, in place of *query*.
        created_after: Only values whose key was set first after the end of this year, month or day.
        created_before: Only values whose key was set first before its start.
        updated_after: Only values that were set last after its end.
        updated_before: Only values that were set last before its start.

    Example:
        `collections.remove("visits", "2024-*", created_before="2024-02")`

    """
    options = {
        "key": key,
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
        "updated_before": updated_before,
    }

    def operation(state: State) -> State:
        collection = name_of(state, name)
        asked = query_of(state, query, options, whole=False)
        asked.refuse_paging()
        only_look = bool(resolve(state, dry_run))
        count, keys = access.remove(collection, asked.page(MOST, None), dry_run=only_look)
        if not only_look:
            _log.info("removed %d values of %r", count, collection)
            return state
        _log.info("would remove %d values of %r", count, collection)
        return {**state, "data": keys}

    return operation


class _Pages:
    """The values that a query finds, fetched page by page."""

    def __init__(self, name: str, query: Query) -> None:
        self.name = name
        self.cursor: str | None = query.cursor
        self.count = 0
        self._items = self._fetch(query)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return the values that were not taken yet."""
        return self._items

    def _fetch(self, query: Query) -> Iterator[dict[str, Any]]:
        while True:
            size = min(query.page_size, query.limit - self.count)
            items, self.cursor = access.get(self.name, query.page(size, self.cursor))
            for item in items:
                self.count += 1
                yield item
            if self.cursor is None or self.count >= query.limit:
                return
