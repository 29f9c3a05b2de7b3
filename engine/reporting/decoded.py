"""Decoded states of a run: each is decoded once, for as long as it is used.

A decoded state takes up to seventy times its bytes.  So events and the result that have the same
state share one object.  When the last of them is gone, so is the decoded state.
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
"""Types of values that cannot change, and so need not be shared."""


class DecodedStates:
    """Finds the decoded form of encoded states.  Any thread may use it.

    Args:
        max_items: The most items that a state of the run may have.

    """

    def __init__(self, max_items: int = MAX_STATE_ITEMS) -> None:
        self.max_items = max_items
        self._lock = threading.Lock()
        self._owners: dict[int, tuple[msgspec.Raw, weakref.ref[Any]]] = {}
        """Owners by the id of their encoded state, which is kept too, so that another object cannot
        get the id."""

    def into(self, owner: _Owner, encoded: msgspec.Raw) -> _Owner:
        """Return *owner* with its state decoded, or with the same state from another owner.

        Raises:
            TooManyItemsError: The state has too many items.
            ValueError: *encoded* is not the encoding of a state.

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
        """Take note that the run does not keep *encoded* any more."""
        with self._lock:
            self._owners.pop(id(encoded), None)


def _replaced(owner: _Owner, state: Any) -> _Owner:
    changed: _Owner = msgspec.structs.replace(owner, state=state)  # type: ignore[type-var]
    return changed
