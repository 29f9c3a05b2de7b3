"""Decoded states of one run: each is decoded once, for as long as somebody uses it.

A decoded state takes up to seventy times its bytes.  So what an event, another event and the result have
in common is one object; when the last of them is gone, so is the decoded state.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, Final, Protocol, TypeVar

import msgspec

from protocol.limits import MAX_STATE_ITEMS
from protocol.state import decode_state


class _WithState(Protocol):
    @property
    def state(self) -> Any: ...


_Owner = TypeVar("_Owner", bound=_WithState)

_NOT_SHARED: Final = (type(None), bool, int, float, str, bytes)
"""Types of values that cannot change: there is nothing to share."""


class DecodedStates:
    """Finds the decoded form of encoded states.  For any thread.

    Args:
        max_items: The items that a state of the run may have.

    """

    def __init__(self, max_items: int = MAX_STATE_ITEMS) -> None:
        self.max_items = max_items
        self._lock = threading.Lock()
        self._owners: dict[int, tuple[msgspec.Raw, weakref.ref[Any]]] = {}
        """By the id of the encoded state, which is kept with it, so that no other object gets the id."""

    def into(self, owner: _Owner, encoded: msgspec.Raw) -> _Owner:
        """Return *owner* with its state decoded, or with the state that another owner has.

        Raises:
            TooManyItemsError: The state has too many items.
            ValueError: It is not the encoding of a state.

        """
        with self._lock:
            known = self._owners.get(id(encoded))
            other = known[1]() if known else None
            if other is not None:
                return _replaced(owner, other.state)
            filled = _replaced(owner, decode_state(encoded, max_items=self.max_items))
            if not isinstance(filled.state, _NOT_SHARED):
                self._owners[id(encoded)] = (encoded, weakref.ref(filled))
            return filled

    def forget(self, encoded: msgspec.Raw) -> None:
        """Take note that the run does not keep these bytes any more."""
        with self._lock:
            self._owners.pop(id(encoded), None)


def _replaced(owner: _Owner, state: Any) -> _Owner:
    changed: _Owner = msgspec.structs.replace(owner, state=state)  # type: ignore[type-var]
    return changed
