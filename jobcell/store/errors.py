"""Errors of a store: one for each way in which a caller can react."""

from __future__ import annotations

from engine.api import EngineError


class StoreError(EngineError):
    """A store cannot be used; the text says why, and what would be right."""


class StoreUrlError(StoreError, ValueError):
    """The address of a store is wrong: another kind of database, no such database, no right to it."""


class StoreVersionError(StoreError):
    """A newer jobcell has made the store, or has changed its tables, and this one cannot use them."""


class StoreKeyError(StoreError):
    """The key of a store is missing, wrong, or not a key."""


class StoreDamagedError(StoreError):
    """The store does not hold what was written: a damaged file, or a content with another hash."""


class StoreReplacedError(StoreError):
    """The file of the store is not there any more, or is another one; open the store again."""


class StoreUnavailableError(StoreError):
    """The store is out of reach.  The same call may succeed later, and handles stay good."""


class StoreBusyError(StoreUnavailableError):
    """Another process holds the lock of a SQLite file for too long."""


class RunConflictError(StoreError):
    """The store has a run with the same id, but with another plan, state or tenant."""


class UnknownRunError(StoreError, LookupError):
    """The store has no run with this id; it may have been pruned."""


class RunNotOverError(StoreError):
    """The run is not over yet, and the call needs a run that is."""


class UnknownCollectionError(StoreError, LookupError):
    """The store has no collection with this name of this tenant."""


class ScheduleConflictError(StoreError):
    """The store has a schedule with the same name, but with another plan, time or state."""


class UnknownScheduleError(StoreError, LookupError):
    """The store has no schedule with this name."""
