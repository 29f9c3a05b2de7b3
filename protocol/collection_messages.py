"""The messages about collections, which a job may read and write while it runs.

A child has one open request.  A value travels as msgpack within msgpack, in a byte string, and the
engine passes it on without decoding it.
"""

from typing import Annotated, Final

import msgspec

from protocol.collection import CollectionItem, CollectionQuery
from protocol.limits import MAX_COLLECTION_ITEMS, MAX_COLLECTION_KEY, MAX_COLLECTION_NAME
from protocol.message import Message
from protocol.words import kebab_case

_CollectionName = Annotated[str, msgspec.Meta(max_length=MAX_COLLECTION_NAME)]


class SentItem(msgspec.Struct, frozen=True, array_like=True):
    """A value for a collection, as a child sends it; the engine does not decode the value."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_COLLECTION_KEY)]
    value: memoryview


class CollectionGet(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Ask for values of a collection.  The number of the first request of a child is 1, then 2, ..."""

    number: int
    name: _CollectionName
    query: CollectionQuery


class CollectionSet(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Set values of a collection: all of them, or none."""

    number: int
    name: _CollectionName
    items: Annotated[
        tuple[SentItem, ...], msgspec.Meta(min_length=1, max_length=MAX_COLLECTION_ITEMS)
    ]


class CollectionRemove(Message, frozen=True, kw_only=True, tag=kebab_case):
    """Remove values of a collection, or ask which ones would be removed."""

    number: int
    name: _CollectionName
    query: CollectionQuery
    dry_run: bool = False
    """Whether the values stay; the answer has their keys."""


# --- engine to child ---


class CollectionGiven(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The answer to `CollectionGet`, `CollectionSet` or `CollectionRemove`."""

    number: int
    items: tuple[CollectionItem, ...] = ()
    cursor: str | None = None
    """The place at which the next page goes on; None if there are no further values."""
    count: int = 0
    """The number of values that were set, or removed."""


class CollectionFailed(Message, frozen=True, kw_only=True, tag=kebab_case):
    """The same for a request that was refused, or that failed.  The run goes on."""

    number: int
    reason: str
    fix: str | None = None
    refused: bool = False
    """Whether it is certain that another attempt would fail as well."""


COLLECTION_REQUESTS: Final = (CollectionGet, CollectionSet, CollectionRemove)
CollectionRequest = CollectionGet | CollectionSet | CollectionRemove
CollectionAnswer = CollectionGiven | CollectionFailed
