"""Asks the manager for credentials and stored states by their ids, as late as possible.

A resolver is the manager's code: it may raise, block, or never return.  So every call has a thread
of its own, which is abandoned when the deadline has passed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import msgspec

from engine.api import Collections
from engine.running.session import Kind, Resolution, not_loaded
from protocol.report import ErrorReport
from protocol.state import StateNotCarriedError, encode_state

_MAX_REASON: Final = 500


class Resolved(msgspec.Struct, frozen=True):
    """A value from a resolver, in place of the bare value; it is valid for *ttl_s* seconds."""

    value: Any
    ttl_s: float | None = None

    def __repr__(self) -> str:
        return f"Resolved(<hidden>, ttl_s={self.ttl_s!r})"


class Resolvers(msgspec.Struct, frozen=True, kw_only=True):
    """The manager's code that a run calls.

    ``credential`` and ``state`` are functions from an id to a value: plain or async callables of one
    argument.  ``collections`` has the methods of `Collections`.
    """

    credential: Callable[[str], Any] | None = None
    state: Callable[[str], Any] | None = None
    collections: Collections | None = None

    def __post_init__(self) -> None:
        for kind in ("credential", "state"):
            resolver = getattr(self, kind)
            if resolver is not None and not callable(resolver):
                raise TypeError(f"Resolvers.{kind} must be callable, not {resolver!r}")
        for verb in ("get", "set", "remove") if self.collections is not None else ():
            if not callable(getattr(self.collections, verb, None)):
                kind = type(self.collections).__name__
                raise TypeError(
                    f"Resolvers.collections must have the methods get, set and remove; {kind} has no"
                    f" {verb}"
                )

    def __repr__(self) -> str:
        known = [kind for kind in self.__struct_fields__ if getattr(self, kind) is not None]
        return f"Resolvers({', '.join(f'{kind}=...' for kind in known)})"


_asker: ContextVar[Callable[[], object] | None] = ContextVar("jobcell-asker", default=None)


def current_asker() -> object:
    """Return the asker of the resolver that runs in this thread or task, or None."""
    asker = _asker.get()
    return None if asker is None else asker()


def resolve(
    resolver: Callable[[str], Any] | None,
    kind: Kind,
    value_id: str,
    step_id: str,
    done: Callable[[Resolution | ErrorReport], None],
    wanted: Callable[[], bool] = lambda: True,
    asker: Callable[[], object] = lambda: None,
) -> None:
    """Call *resolver* in a thread of its own; *done* is called there with the outcome.

    The caller keeps the deadline, and must ignore an outcome after it.

    Args:
        resolver: The manager's callable.
        kind: The kind of the value.
        value_id: The id that the resolver is called with.
        step_id: The step that needs the value.
        done: Called once with the outcome, if the value is still wanted.
        wanted: Called in the new thread just before the resolver, because the run may have been
            cancelled while the thread was starting.
        asker: The result of `current_asker` while the resolver runs.

    """
    if resolver is None:
        reason = f"no {kind} resolver was given to the engine"
        fix = f"pass Resolvers({kind}=...) with the plan"
        done(not_loaded(kind, value_id, step_id, reason, fix=fix, option=kind))
        return

    def call() -> None:
        if not wanted():
            return
        _asker.set(asker)
        try:
            value = resolver(value_id)
            value = awaited(value)
            outcome = _checked(kind, value_id, step_id, value)
        # The manager's code may raise anything, even SystemExit, and the run must get an answer.
        except BaseException as error:  # noqa: BLE001
            reason = f"the resolver raised {type(error).__name__}: {_text(error)}"
            outcome = not_loaded(kind, value_id, step_id, reason)
        done(outcome)

    thread = threading.Thread(target=call, name=f"jobcell-resolve-{kind}", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the manager has used up its threads
        done(not_loaded(kind, value_id, step_id, f"the resolver was not called: {error}"))


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_REASON]
    except Exception:  # noqa: BLE001 - an exception class of the manager
        return "an exception without a text"


def awaited(awaitable: Any) -> Any:
    """Return the value of an awaitable; anything else is a value already."""
    import inspect  # an engine without resolvers does not wait for it

    if not inspect.isawaitable(awaitable):
        return awaitable

    import asyncio  # only asynchronous resolvers pay for it

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


def _checked(kind: Kind, value_id: str, step_id: str, value: Any) -> Resolution | ErrorReport:
    expires = None
    if isinstance(value, Resolved):
        expires = None if value.ttl_s is None else time.monotonic() + value.ttl_s
        value = value.value
    if kind == "credential" and not isinstance(value, dict):
        reason = f"the resolver returned {type(value).__name__}, a credential must be a dict"
        return not_loaded(kind, value_id, step_id, reason)
    if kind == "state" and value is None:
        return not_loaded(kind, value_id, step_id, "the resolver returned None: no such state")
    try:
        encoded = encode_state(value, root=kind)
    except StateNotCarriedError as error:
        return not_loaded(kind, value_id, step_id, f"the resolver's value cannot be used: {error}")
    return Resolution(value, encoded, expires)
