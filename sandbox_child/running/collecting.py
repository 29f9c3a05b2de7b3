"""Sends the requests of a step for collections, and waits for the answers of the engine.

The engine decides about each request.  The checks here only give the author an error with the value
that was wrong, because the engine ends a run whose child sends it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from protocol import collection_messages as m
from protocol.collection import (
    NAME_RULE,
    CollectionQuery,
    is_name,
    problem_of_key,
    problem_of_query,
)
from protocol.limits import (
    MAX_COLLECTION_BYTES,
    MAX_COLLECTION_ITEMS,
    MAX_COLLECTION_KEY,
    MAX_COLLECTION_NAME,
    MAX_COLLECTION_VALUE,
)
from protocol.state import StateNotCarriedError, decode_state, encode_state
from sandbox_child.facts.collections import CollectionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox_child.pipes.channel import Channel

_ITEM_BYTES: Final = 20
"""Most bytes of an item in a message besides its key and its value."""

_PART_BYTES: Final = MAX_COLLECTION_BYTES - 1_000
"""Most bytes of the items of a message."""


class Collecting:
    """The requests of the steps of a run.

    Args:
        channel: Carries them.

    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = 0
        self._owed = False
        """Whether the engine will answer a request that nobody waits for any more."""

    def begin_step(self) -> None:
        """Take note that a step begins: the engine does not answer requests of the one before."""
        self._owed = False

    def get(self, name: str, query: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        """See `sandbox_child.facts.collections.get`."""
        asked = _query(query)
        answer = self._ask(m.CollectionGet(number=self._next(name), name=name, query=asked))
        items = [
            {
                "key": item.key,
                "value": _decoded(name, item.key, item.value),
                "created_ms": item.created_ms,
                "updated_ms": item.updated_ms,
            }
            for item in answer.items
        ]
        return items, answer.cursor

    def set(self, name: str, items: Sequence[tuple[str, Any]]) -> int:
        """See `sandbox_child.facts.collections.set_values`."""
        count = 0
        for part in _parts({key: _encoded(key, value) for key, value in items}):
            request = m.CollectionSet(number=self._next(name), name=name, items=part)
            count += self._ask(request).count
        return count

    def remove(self, name: str, query: dict[str, Any], dry_run: bool) -> tuple[int, list[str]]:
        """See `sandbox_child.facts.collections.remove`."""
        asked = _query(query)
        answer = self._ask(
            m.CollectionRemove(
                number=self._next(name), name=name, query=asked, dry_run=dry_run is True
            )
        )
        return answer.count, [item.key for item in answer.items]

    def _next(self, name: Any) -> int:
        """Check what all requests have in common, and return the number of the next one."""
        if threading.current_thread() is not threading.main_thread():
            raise _wrong("collections can be used only in the thread of the job")
        if not isinstance(name, str) or not is_name(name):
            shown = name[:MAX_COLLECTION_NAME] if isinstance(name, str) else name
            raise _wrong(f"{shown!r} is not the name of a collection: {NAME_RULE}")
        channel = self._channel
        channel.check_cancelled()
        if self._owed:  # the wait for the last answer was broken off
            self._receive()
        self._number += 1
        return self._number

    def _ask(self, request: m.CollectionRequest) -> m.CollectionGiven:
        """Send a request, and return the answer.

        Raises:
            CollectionError: The request was refused, or has failed.
            RunCancelledError: The engine wants the run to end.

        """
        self._owed = True
        self._channel.send(request)
        answer = self._receive()
        if isinstance(answer, m.CollectionFailed):
            raise CollectionError(answer.reason, answer.fix, False if answer.refused else None)
        return answer

    def _receive(self) -> m.CollectionAnswer:
        collected = self._channel.collected
        while True:
            while collected:
                answer = collected.pop(0)
                if answer.number == self._number:
                    self._owed = False
                    return answer
            self._channel.wait_for_collected()


def _wrong(message: str) -> CollectionError:
    return CollectionError(message, retryable=False)


def _query(given: dict[str, Any]) -> CollectionQuery:
    """Return the query of an adaptor.

    Raises:
        CollectionError: It has a value that no query may have.

    """
    try:
        query = msgspec.convert(given, CollectionQuery)
    except msgspec.ValidationError as error:
        raise _wrong(f"the query of a collection is not valid: {error}") from None
    problem = problem_of_query(query)
    if problem is not None:
        raise _wrong(f"the query of a collection is not valid: {problem}")
    return query


def _encoded(key: Any, value: Any) -> bytes:
    if not isinstance(key, str):
        raise _wrong(f"the key of a value must be text, not {type(key).__name__}")
    problem = problem_of_key(key)
    if problem is not None:
        raise _wrong(f"a value cannot have the key {key[:MAX_COLLECTION_KEY]!r}: {problem}")
    try:
        encoded = encode_state(value, root="value")
    except StateNotCarriedError as error:
        raise _wrong(f"the value under {key!r} cannot be kept: {error}") from None
    if len(encoded) > MAX_COLLECTION_VALUE:
        raise _wrong(
            f"the value under {key!r} has {len(encoded)} bytes; allowed: {MAX_COLLECTION_VALUE}"
        )
    return encoded


def _decoded(name: str, key: str, value: bytes) -> Any:
    try:
        return decode_state(value)  # another run has written it
    except ValueError as error:
        raise _wrong(f"the value under {key!r} of {name!r} cannot be read back: {error}") from None


def _parts(values: dict[str, bytes]) -> Iterator[tuple[m.SentItem, ...]]:
    """Yield values in parts, each of which fits into one request."""
    part: list[m.SentItem] = []
    part_bytes = 0
    for key, value in values.items():
        item_bytes = len(key.encode()) + len(value) + _ITEM_BYTES
        if part and (len(part) >= MAX_COLLECTION_ITEMS or part_bytes + item_bytes > _PART_BYTES):
            yield tuple(part)
            part, part_bytes = [], 0
        part.append(m.SentItem(key, memoryview(value)))
        part_bytes += item_bytes
    if part:
        yield tuple(part)
