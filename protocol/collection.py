"""Queries and values of collections, as they travel between a child, the engine and a manager."""

import re
from typing import Annotated, Final

import msgspec

from protocol.limits import (
    MAX_COLLECTION_BYTES,
    MAX_COLLECTION_ITEMS,
    MAX_COLLECTION_KEY,
    MAX_COLLECTION_NAME,
    MAX_COLLECTION_STARS,
)

_NAME: Final = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_COLLECTION_NAME - 1}}}"

NAME_RULE: Final = (
    f"a name has letters, digits, '.', '_' and '-', begins with a letter or a digit, and has at most"
    f" {MAX_COLLECTION_NAME} characters"
)

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_COLLECTION_KEY)]
_Time = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class CollectionItem(msgspec.Struct, frozen=True, array_like=True):
    """A value of a collection with its key."""

    key: str
    value: bytes
    """The value as msgpack, encoded by the rules for states."""
    created_ms: int = 0
    """The time at which the key was set first, in milliseconds since 1970."""
    updated_ms: int = 0
    """The time at which the value was set last."""

    def __repr__(self) -> str:
        return f"<CollectionItem {self.key!r}: {len(self.value)} bytes>"


class CollectionQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values that a job asks for; each condition that is given must hold."""

    key: _Key = "*"
    """A key; or a pattern, in which each ``*`` matches any text."""
    created_after_ms: _Time | None = None
    """The earliest time at which the key was set first, in milliseconds since 1970."""
    created_before_ms: _Time | None = None
    """The latest such time."""
    updated_after_ms: _Time | None = None
    """The earliest time at which the value was set last."""
    updated_before_ms: _Time | None = None
    """The latest such time."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_COLLECTION_ITEMS)] = MAX_COLLECTION_ITEMS
    """The largest number of values in the answer."""
    cursor: Annotated[str, msgspec.Meta(max_length=MAX_COLLECTION_KEY)] | None = None
    """The cursor of the page before, where the answer is to go on."""

    @property
    def is_pattern(self) -> bool:
        """Whether the key is a pattern."""
        return "*" in self.key


class CollectionPage(msgspec.Struct, frozen=True):
    """An answer to a query: values in the order of their keys."""

    items: tuple[CollectionItem, ...] = ()
    cursor: str | None = None
    """The place at which the next page goes on; None if there are no further values."""


def is_name(text: str) -> bool:
    """Return whether a collection can have this name."""
    # Compiled at the first use: every child imports this module.
    return re.fullmatch(_NAME, text, re.ASCII) is not None


def problem_of_key(key: str) -> str | None:
    """Return what is wrong with the key of a value; None if it is right."""
    if not key:
        return "the key is empty"
    if len(key) > MAX_COLLECTION_KEY:
        return f"the key has {len(key)} characters; allowed: {MAX_COLLECTION_KEY}"
    if "*" in key:
        return "the key has a '*', which only a pattern may have"
    return _unprintable(key)


def problem_of_query(query: CollectionQuery) -> str | None:
    """Return what is wrong with the key and the cursor of a query; None if they are right."""
    if (stars := query.key.count("*")) > MAX_COLLECTION_STARS:
        return f"the pattern has {stars} '*'; allowed: {MAX_COLLECTION_STARS}"
    return _unprintable(query.key) or _unprintable(query.cursor or "")


def _unprintable(text: str) -> str | None:
    # A database cannot keep the first one, and UTF-8 cannot encode a lone surrogate.
    if "\0" in text:
        return "it has a character NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "it has half of a surrogate pair"
    return None


def size_of(items: tuple[CollectionItem, ...]) -> int:
    """Return the bytes that values take in a message; see ``MAX_COLLECTION_BYTES``."""
    return sum(len(item.key) + len(item.value) for item in items)


MAX_PAGE_BYTES: Final = MAX_COLLECTION_BYTES
"""Most bytes of the values of a page; a page has at least one value."""
